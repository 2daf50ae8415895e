import json
import os
import time
from pathlib import Path

import pytest

from blipvid.evaluate.cache import hashes
from blipvid.evaluate.cache.hashes import MEMORY, as_lines, remembered
from blipvid.evaluate.cache.keeping import RECIPE
from blipvid.evaluate.cache.upkeep import DAY_S, LEFT_OVER_S, check, check_media, collect, forget, leftovers, shelves
from tests.evaluate.cache.filled import a_cache, features_of, frames_of, write_clips
from tests.evaluate.replay import Loader

OLD = 1_600_000_000


@pytest.fixture
def filled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two shelves of four and two clips, and the hashes of four media files."""
    monkeypatch.setattr(hashes, "SETTLED_S", 0.0)
    folder, clips = tmp_path / "cache", write_clips(tmp_path / "media", 4)
    for count, n in ((2, 4), (3, 2)):
        cache = a_cache(
            folder, Loader(), made_by={"frames": {"count": count}}, used_for={"model": f"m{n}", "benchmark": "six"}
        )
        list(cache(clips[:n]))
        for number, clip in enumerate(clips[:n]):
            cache.keep(clip, features_of(number), frames_of(number))
    return folder


def _wrong(folder: Path) -> list[str]:
    return [f"{path.name}: {why}" for path, why in check(folder) if why]


def test_what_is_there(filled: Path):
    first, second = shelves(filled)
    assert (len(first.entries), len(second.entries)) == (4, 2)
    assert first.size == sum(path.stat().st_size for path in first.folder.glob("??/*"))
    assert first.made_by == {"frames": {"count": 2}, "kept_as": "fp32"}
    assert second.used_for == {"model": ["m2"], "benchmark": ["six"]}
    assert leftovers(filled) == []


def test_uses_add_up(filled: Path):
    list(a_cache(filled, Loader(), used_for={"model": "m9", "benchmark": "seven"})([]))
    assert shelves(filled)[0].used_for == {"model": ["m4", "m9"], "benchmark": ["seven", "six"]}


def test_nothing_there(tmp_path: Path):
    absent = tmp_path / "absent"
    assert (shelves(absent), leftovers(absent), list(check(absent)), list(check_media(absent))) == ([], [], [], [])
    assert collect(absent, 0, 0).entries == 0
    assert not absent.exists()


def test_a_whole_cache_has_nothing_wrong(filled: Path):
    assert len(list(check(filled))) == 6 + 2
    assert _wrong(filled) == []
    assert [why for _, why in check_media(filled)] == [None] * 4


def test_damage_is_named(filled: Path):
    (first, second), other = shelves(filled)[0].entries[:2], shelves(filled)[1].folder / RECIPE
    content = bytearray(first.path.read_bytes())
    content[-1] ^= 1
    first.path.write_bytes(content)
    second.path.write_bytes(b"")
    told = json.loads(other.read_text())
    other.write_text(json.dumps({**told, "made_by": {**told["made_by"], "kept_as": "fp16"}}))
    found = _wrong(filled)
    assert [line.split(":")[0] for line in found] == [path.name for path in (first.path, second.path, other)]
    assert found[0].endswith("(its checksum is wrong)")
    assert "cannot be read" in found[1]
    assert found[2].endswith("does not say what the features beside it were made by")


def test_features_on_another_shelf_are_named(filled: Path):
    theirs, own = shelves(filled)
    for entry in theirs.entries:
        place = own.folder / entry.path.relative_to(theirs.folder)
        place.parent.mkdir(exist_ok=True)
        place.write_bytes(entry.path.read_bytes())
    found = _wrong(filled)
    assert len(found) == 4
    assert all(line.endswith("does not say that it was made in the way of its folder") for line in found)


def test_features_of_which_nobody_knows_what_made_them_are_seen(filled: Path):
    shelf = shelves(filled)[0]
    (shelf.folder / RECIPE).unlink()
    assert len(shelves(filled)[0].entries) == 4
    assert _wrong(filled) == [f"{RECIPE}: does not say what the features beside it were made by"]
    collect(filled, 0, None, now=time.time() + 3600)
    assert shelves(filled) == []


def test_media_that_changed_in_secret_is_named_and_forgotten(filled: Path):
    known = remembered(filled)
    (state,) = (state for state in known if state[0].endswith("2.mp4"))
    (filled / MEMORY).write_bytes(as_lines({**known, state: 64 * "0"}.items()))
    wrong = [state for state, why in check_media(filled) if why]
    assert [Path(state[0]).name for state in wrong] == ["2.mp4"]
    forget(filled, set(wrong))
    assert sorted(Path(state[0]).name for state in remembered(filled)) == ["0.mp4", "1.mp4", "3.mp4"]


def test_what_was_unused_for_longest_goes_first(filled: Path):
    now = time.time()
    entries = [entry for shelf in shelves(filled) for entry in shelf.entries]
    for age, entry in enumerate(entries):
        os.utime(entry.path, (now - age * DAY_S, now - age * DAY_S))
    gone = collect(filled, sum(entry.size for entry in entries[:4]), None)
    assert (gone.entries, gone.size) == (2, sum(entry.size for entry in entries[4:]))
    assert [entry.path.is_file() for entry in entries] == [True] * 4 + [False] * 2
    assert collect(filled, None, 2.5).entries == 1
    assert [entry.path.is_file() for entry in entries] == [True] * 3 + [False] * 3
    assert collect(filled, None, None).entries == 0
    assert _wrong(filled) == []


def test_empty_shelves_go_once_no_run_can_be_filling_them(filled: Path):
    assert collect(filled, 0, None).entries == 6
    assert len(shelves(filled)) == 2
    collect(filled, 0, None, now=time.time() + 3600)
    assert shelves(filled) == []
    assert [path.name for path in filled.iterdir()] == ["media.jsonl"]


def test_a_shelf_that_is_being_filled_stays(filled: Path):
    shelf = shelves(filled)[0]
    entry = shelf.entries[0].path
    entry.with_name(f".{entry.name}.1").write_bytes(b"half")
    collect(filled, 0, None, now=time.time() + LEFT_OVER_S - 1)
    os.utime(shelf.folder, (OLD, OLD))
    collect(filled, 0, None)
    assert (shelf.folder / RECIPE).is_file()


def test_leftovers_go_and_files_being_written_stay(filled: Path):
    shelf = shelves(filled)[0]
    entry = shelf.entries[0].path
    kept, dead = entry.with_name(f".{entry.name}.1"), entry.with_name(f".{entry.name}.2")
    for path in (kept, dead, shelf.folder / f".{RECIPE}.3"):
        path.write_bytes(b"half")
    for path in (dead, shelf.folder / f".{RECIPE}.3"):
        os.utime(path, (OLD, OLD))
    assert len(leftovers(filled)) == 2
    assert _wrong(filled) == []
    gone = collect(filled, None, None)
    assert (gone.leftovers, gone.entries) == (2, 0)
    assert kept.is_file()
    assert leftovers(filled) == []


def test_media_that_is_gone_is_forgotten(filled: Path):
    (filled.parent / "media" / "0.mp4").unlink()
    collect(filled, None, None)
    assert len(remembered(filled)) == 3
