import itertools
import multiprocessing
import os
import random
import time
from pathlib import Path

import pytest
import torch

from blipvid.core.features import Features
from blipvid.evaluate.cache.entries import check_entry, entry_path, has_entry, read_entry, write_entry
from tests.evaluate.cache.filled import features_of

TOLD = {
    "clip": {"number": 3},
    "shelf": "shelf",
    "backend": "pyav",
    "notes": ["counted", "größer"],
    "rounding": 0.0,
    "indices": [0, 7],
}


@pytest.fixture
def entry(tmp_path: Path) -> Path:
    path = entry_path(tmp_path / "shelf", TOLD["clip"])
    write_entry(path, features_of(3), TOLD)
    return path


def test_what_is_written_is_read(entry: Path):
    found = read_entry(entry)
    assert found is not None
    known, told = found
    expected = features_of(3)
    assert torch.equal(known.features.tokens, expected.tokens)
    assert torch.equal(known.features.embeds, expected.embeds)
    assert (known.backend, known.notes, told) == ("pyav", ("counted", "größer"), TOLD)
    assert check_entry(entry) is None
    assert has_entry(entry)


def test_the_place_depends_on_every_word(tmp_path: Path):
    first = {"sha256": "ab", "start_s": None, "end_s": None}
    others = [{**first, "sha256": "ac"}, {**first, "start_s": 0.0}, {**first, "end_s": 2.5}]
    assert len({entry_path(tmp_path, words) for words in [first, *others]}) == 4
    assert entry_path(tmp_path, dict(reversed(first.items()))) == entry_path(tmp_path, first)


def test_reading_counts_as_use(entry: Path):
    os.utime(entry, (10, 10))
    read_entry(entry)
    assert entry.stat().st_mtime > time.time() - 60


@pytest.mark.parametrize("share", [0.0, 0.001, 0.5, 0.999])
def test_half_a_file_is_none(entry: Path, share: float):
    content = entry.read_bytes()
    entry.write_bytes(content[: int(share * len(content))])
    assert not has_entry(entry)
    assert read_entry(entry) is None
    assert "cannot be read" in str(check_entry(entry))


def test_another_safetensors_file_is_none(entry: Path):
    from safetensors.torch import save_file

    save_file({"tokens": torch.ones(2)}, entry)
    assert not has_entry(entry)
    assert read_entry(entry) is None
    assert "cannot be read" in str(check_entry(entry))


def test_every_flipped_bit_is_noticed(entry: Path):
    content = bytearray(entry.read_bytes())
    begin = 8 + int.from_bytes(content[:8], "little")
    for place in (begin, (begin + len(content)) // 2, len(content) - 1, content.index(b"pyav")):
        content[place] ^= 1
        entry.write_bytes(content)
        assert read_entry(entry) is None
        assert check_entry(entry) == "cannot be read (its checksum is wrong)"
        content[place] ^= 1
    entry.write_bytes(content)
    assert check_entry(entry) is None


@pytest.mark.parametrize(
    ("shelf", "number", "said"),
    [
        ("shelf", 4, "its name belongs to another clip"),
        ("other", 3, "does not say that it was made in the way of its folder"),
    ],
)
def test_a_file_in_the_place_of_another_is_none(tmp_path: Path, entry: Path, shelf: str, number: int, said: str):
    other = entry_path(tmp_path / shelf, {"number": number})
    other.parent.mkdir(parents=True, exist_ok=True)
    entry.rename(other)
    assert not has_entry(other)
    assert read_entry(other) is None
    assert check_entry(other) == said


def test_a_file_that_does_not_say_how_it_was_made_is_none(entry: Path):
    write_entry(entry, features_of(3), {word: value for word, value in TOLD.items() if word != "shelf"})
    assert not has_entry(entry)
    assert read_entry(entry) is None
    assert check_entry(entry) == "does not say that it was made in the way of its folder"


def _write_without_end(shelf: Path, features: list[Features], first: int) -> None:
    for number in itertools.count(first):
        clip = {"number": number % len(features)}
        told = {"clip": clip, "shelf": shelf.name, "backend": "drawn", "notes": [], "rounding": 0.0}
        write_entry(entry_path(shelf, clip), features[number % len(features)], told)


def test_writers_killed_at_any_moment_leave_whole_files(tmp_path: Path):
    """Two processes write the same clips and are killed, again and again; each file is there whole or not at all."""
    shelf, chance, fork = tmp_path / "shelf", random.Random(1), multiprocessing.get_context("fork")
    features = [features_of(number, tokens=20_000) for number in range(20)]  # 2.6 MB each
    for _ in range(12):
        writers = [fork.Process(target=_write_without_end, args=(shelf, features, first)) for first in (0, 7)]
        for writer in writers:
            writer.start()
        time.sleep(chance.uniform(0.1, 0.4))
        for writer in writers:
            assert writer.is_alive()
            writer.kill()
            writer.join()
        for path in shelf.glob("??/*.safetensors"):
            found = read_entry(path)
            assert found is not None, path
            known, told = found
            assert path == entry_path(shelf, told["clip"])
            assert torch.equal(known.features.tokens, features[told["clip"]["number"]].tokens)
            assert check_entry(path) is None
    assert len(list(shelf.glob("??/*.safetensors"))) > 2
    assert list(shelf.glob("??/.*"))  # some were killed in the middle of a file
