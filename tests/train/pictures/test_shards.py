import re
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import webdataset
from hypothesis import given
from hypothesis import strategies as st

from blipvid.core.config import validate
from blipvid.core.errors import ConfigError, DataError
from blipvid.train.pictures.samples import BrokenSampleError
from blipvid.train.pictures.settings import ShardSettings
from blipvid.train.pictures.shards import WINDOW, ShardSet, WindowOrder, find_shards, index_file
from tests.train.files import encoded, number_of, picture, sample, write_shards


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BLIPVID_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "shards"


def open_set(said: dict[str, Any]) -> ShardSet:
    return ShardSet(validate(ShardSettings, said, "test"))


def write_tar(path: Path, samples: list[dict[str, Any]]) -> ShardSet:
    with webdataset.TarWriter(str(path)) as tar:
        for one in samples:
            tar.write(one)
    return open_set({"kind": "shards", "tars": str(path)})


def read(own: ShardSet, number: int) -> tuple[int, str]:
    found = own.read(number, np.random.default_rng(0))
    assert found.id == number
    return number_of(np.moveaxis(np.asarray(found.pictures[0]), -1, 0)), found.said


def test_samples_are_those_that_webdataset_reads(tmp_path: Path) -> None:
    own = open_set(write_shards(tmp_path, (3, 1, 4)))
    urls = str(tmp_path / "{00000..00002}.tar")
    streamed = list(webdataset.WebDataset(urls, shardshuffle=False, empty_check=False).decode("pil"))
    assert len(own) == len(streamed) == 8
    for number, wanted in enumerate(streamed):
        pixels = np.moveaxis(np.asarray(wanted["png"]), -1, 0)
        assert read(own, number) == (number_of(pixels), wanted["txt"].lower().rstrip("."))
        assert number_of(pixels) == number


def test_the_index_is_made_once_and_again_for_a_shard_that_changed(tmp_path: Path, cache: Path) -> None:
    said = write_shards(tmp_path, (2, 2))
    open_set(said)
    made = {path: path.stat().st_mtime_ns for path in cache.iterdir()}
    assert len(made) == 2
    open_set(said)
    assert {path: path.stat().st_mtime_ns for path in cache.iterdir()} == made
    own = write_tar(tmp_path / "00001.tar", [sample(number) for number in range(7, 12)])
    assert [read(own, number)[0] for number in range(5)] == [7, 8, 9, 10, 11]


@pytest.mark.parametrize("suffix", ["jpg", "jpeg", "webp", "png"])
def test_each_format_of_pictures_is_read(tmp_path: Path, suffix: str) -> None:
    own = write_tar(tmp_path / "a.tar", [{"__key__": "a", suffix: encoded(picture(9)), "json": {"caption": "Told."}}])
    assert read(own, 0) == (9, "told")


BROKEN: list[tuple[dict[str, Any], str]] = [
    ({"png": b"no picture", "txt": "a"}, "a.tar: 07: the picture cannot be read"),
    ({"png": encoded(picture(3))[:40], "txt": "a"}, "a.tar: 07: the picture cannot be read"),
    ({"png": encoded(picture(3))}, "a.tar: 07: no caption"),
    ({"png": encoded(picture(3)), "txt": " \n"}, "a.tar: 07: no caption"),
    ({"png": encoded(picture(3)), "json": {"caption": None}}, "a.tar: 07: no caption"),
    ({"png": encoded(picture(3)), "json": b"{"}, "a.tar: 07: the caption cannot be read"),
    ({"png": encoded(picture(3)), "json": b"[]"}, "a.tar: 07: the caption cannot be read"),
    ({"png": encoded(picture(3)), "txt": b"\xff\xfe"}, "a.tar: 07: the caption cannot be read"),
    ({"txt": "a"}, "a.tar: 07: no picture"),
]


@pytest.mark.parametrize(("members", "message"), BROKEN)
def test_what_is_wrong_with_a_sample_is_said(tmp_path: Path, members: dict[str, Any], message: str) -> None:
    own = write_tar(tmp_path / "a.tar", [sample(1), {"__key__": "07", **members}, sample(2)])
    assert [read(own, number)[0] for number in (0, 2)] == [1, 2]
    with pytest.raises(BrokenSampleError, match=message):
        own.read(1, np.random.default_rng(0))


def test_patterns_name_shards(tmp_path: Path) -> None:
    write_shards(tmp_path, (1, 1, 1))
    every = [tmp_path / f"0000{number}.tar" for number in range(3)]
    assert find_shards(str(tmp_path / "*.tar")) == every
    assert find_shards(str(tmp_path / "{00000..00002}.tar")) == every
    assert find_shards([str(every[2]), str(tmp_path / "0000?.tar")]) == [every[2], *every[:2]]
    with pytest.raises(DataError, match=r"no shard matches \S+none\*\.tar; see key 'tars'"):
        find_shards(str(tmp_path / "none*.tar"))
    with pytest.raises(DataError, match=r"2 of 4 shards are missing: \S+00003\.tar, \S+00004\.tar"):
        find_shards(str(tmp_path / "{00001..00004}.tar"))


@pytest.mark.parametrize("pattern", ["x{00..tar", "x00}.tar", "x{00..01}}.tar", "${nothing}/{0..1}.tar"])
def test_a_pattern_that_cannot_be_read_is_named(pattern: str) -> None:
    with pytest.raises(ConfigError, match=rf"^'{re.escape(pattern)}' is no pattern of shards \(.+\); .*key 'tars'"):
        find_shards(["a.tar", pattern])


def test_odd_shards_are_named(tmp_path: Path) -> None:
    write_shards(tmp_path, (2,))
    whole = tmp_path / "00000.tar"
    (tmp_path / "cut.tar").write_bytes(whole.read_bytes()[:1200])
    (tmp_path / "none.tar").write_bytes(b"")
    with tarfile.open(tmp_path / "packed.tar", "w:gz") as tar:
        tar.add(whole, "inner.png")
    for name in ("cut", "none", "packed"):
        with pytest.raises(DataError, match=rf"{name}\.tar: is no whole, uncompressed tar file"):
            open_set({"kind": "shards", "tars": str(tmp_path / f"{name}.tar")})
    with tarfile.open(tmp_path / "empty.tar", "w"):
        pass
    with pytest.raises(DataError, match=r"1 shards hold no picture: \S+empty\.tar"):
        open_set({"kind": "shards", "tars": [str(whole), str(tmp_path / "empty.tar")]})


def test_a_cache_that_cannot_be_written_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_shards(tmp_path, (1,))
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("BLIPVID_CACHE", str(tmp_path / "file"))
    with pytest.raises(Exception, match=r"set \$BLIPVID_CACHE to another folder"):
        index_file(tmp_path / "00000.tar")


@given(st.lists(st.integers(1, 12), min_size=1, max_size=3 * WINDOW), st.integers(0, 2**32))
def test_an_epoch_shows_each_sample_once_and_reads_a_window_of_shards_at_a_time(counts: list[int], seed: int) -> None:
    ends = np.cumsum(counts)
    order = WindowOrder(ends, np.random.default_rng(seed))
    found = [order[place] for place in range(int(ends[-1]))]
    assert sorted(found) == list(range(int(ends[-1])))
    shards = ends.searchsorted(found, side="right")
    visits = [set(np.flatnonzero(shards == shard)) for shard in range(len(counts))]
    for number, own in enumerate(visits):
        apart = max(own) - min(own)
        assert apart < sum(sorted(counts)[-WINDOW:]), number
    at = np.random.default_rng(seed).integers(0, len(found), 5)
    fresh = WindowOrder(ends, np.random.default_rng(seed))
    assert [fresh[int(place)] for place in at] == [found[int(place)] for place in at]


def test_samples_of_a_window_are_mixed() -> None:
    ends = np.cumsum([50] * (2 * WINDOW))
    order = WindowOrder(ends, np.random.default_rng(0))
    shards = ends.searchsorted([order[place] for place in range(50 * WINDOW)], side="right")
    assert len(set(shards)) == WINDOW
    assert len(set(shards[:50])) > WINDOW // 2
    assert sorted(set(shards)) != list(range(WINDOW))
