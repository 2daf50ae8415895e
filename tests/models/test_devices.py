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
