import pytest
import torch

from blipvid.core.errors import ConfigError
from blipvid.models.devices import choose_device


def test_auto_is_a_device_that_is_there():
    assert torch.empty(1, device=choose_device("auto")).numel() == 1
    assert choose_device("cpu") == "cpu"


@pytest.mark.parametrize("device", ["banana", "cuda:99", ""])
def test_a_device_that_is_not_there_is_named(device: str):
    with pytest.raises(ConfigError, match=f"device '{device}'.*choose auto, cpu"):
        choose_device(device)


@pytest.mark.parametrize(("local_rank", "device"), [(0, "cuda:0"), (1, "cuda:1"), (3, "cuda:1")])
def test_each_process_gets_a_gpu_of_its_machine(local_rank: int, device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    assert choose_device("auto") == "cuda"  # one that is alone takes the current one
    for name, value in {"RANK": 5, "WORLD_SIZE": 8, "LOCAL_RANK": local_rank, "LOCAL_WORLD_SIZE": 4}.items():
        monkeypatch.setenv(name, str(value))
    assert choose_device("auto") == choose_device("cuda") == device
