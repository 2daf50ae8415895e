from pathlib import Path

import numpy as np
import pytest
import torch

from blipvid.core.errors import BlipvidError
from blipvid.evaluate import store as store_module
from blipvid.evaluate.store import FeatureStore, scratch_array


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BLIPVID_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def _clips() -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(n, 5, generator=generator) for n in (4, 1, 7, 4, 1100, 2)]


@pytest.mark.parametrize("memory_bytes", [0, 100, 120, 10**9])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_ragged_clips_come_back(cache: Path, memory_bytes: int, dtype: torch.dtype) -> None:
    clips = _clips()
    with FeatureStore(dtype, "cpu", memory_bytes) as store:
        for clip in clips[:3]:
            store.add(clip)
        assert torch.equal(store.get(2), clips[2].to(dtype).float())  # reading between writes moves nothing
        for clip in clips[3:]:
            store.add(clip)
        assert len(store) == len(clips)
        for position in (5, 0, 4, 2, 1, 3, 0):
            got = store.get(position)
            assert got.dtype == torch.float32
            assert torch.equal(got, clips[position].to(dtype).float())
        width = 2 if dtype == torch.float16 else 4
        total = sum(clip.numel() for clip in clips) * width
        assert store.file_bytes >= total - memory_bytes
        assert (store.file_bytes == 0) == (memory_bytes >= total)


def test_the_file_leaves_nothing_behind(cache: Path) -> None:
    with FeatureStore(torch.float32, "cpu", 0) as store:
        store.add(torch.ones(3, 3))
        assert store.file_bytes == 36
        assert cache.is_dir()
        assert list(cache.iterdir()) == []  # unnamed from the first byte, so a killed process leaves nothing either
    assert store.file_bytes == 0
    assert list(cache.iterdir()) == []


def test_a_gpu_is_filled_before_memory(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The meta device, which holds no numbers, stands in for a GPU."""
    monkeypatch.setattr(store_module, "spare_bytes", lambda device: 100)
    with FeatureStore(torch.float32, "meta", 50) as store:
        places = []
        for _ in range(5):
            store.add(torch.ones(5, 2, device="meta" if len(places) < 2 else "cpu"))  # 40 bytes
            own = store._kept[len(places)]
            places.append(own.device.type if isinstance(own, torch.Tensor) else "file")
        assert places == ["meta", "meta", "cpu", "file", "file"]
        assert {store.get(position).device.type for position in range(5)} == {"meta"}
        store.drop(0)
        store.add(torch.ones(5, 2))
        assert store._kept[5].device.type == "meta"  # type: ignore[union-attr]


def test_what_is_kept_is_a_copy(cache: Path) -> None:
    tokens = torch.ones(2, 2)
    with FeatureStore(torch.float32, "cpu", 10**6) as store:
        store.add(tokens)
        tokens.zero_()
        assert store.get(0).sum() == 4


def test_arrays_above_the_budget_are_mapped(cache: Path) -> None:
    small, large = scratch_array((3, 4), 48), scratch_array((3, 4), 47)
    assert not isinstance(small, np.memmap)
    assert isinstance(large, np.memmap)
    large[:] = 2
    assert large.sum() == 24
    assert list(cache.iterdir()) == []


def test_a_cache_folder_that_cannot_be_made_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("BLIPVID_CACHE", str(tmp_path / "file" / "cache"))
    with FeatureStore(torch.float32, "cpu", 0) as store, pytest.raises(BlipvidError, match="set BLIPVID_CACHE"):
        store.add(torch.ones(1, 1))
