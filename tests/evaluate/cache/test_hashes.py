import hashlib
import json
import os
import time
from pathlib import Path

import pytest

from blipvid.core.files import file_sha256
from blipvid.evaluate.cache import hashes
from blipvid.evaluate.cache.hashes import MEMORY, media_hashes, remembered

OLD = 1_600_000_000


@pytest.fixture
def media(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Two files that will not change any more."""
    monkeypatch.setattr(hashes, "SETTLED_S", 0.0)
    paths = [tmp_path / name for name in ("a.mp4", "b.mp4")]
    for path in paths:
        path.write_text(path.name)
        os.utime(path, (OLD, OLD))
    return paths


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files whose bytes were read."""
    names: list[str] = []

    def counted(path: Path) -> str:
        names.append(path.name)
        return file_sha256(path)

    monkeypatch.setattr(hashes, "file_sha256", counted)
    return names


def test_bytes_are_read_once(tmp_path: Path, media: list[Path], read: list[str]):
    expected = {path: _sha256(path.name) for path in media}
    assert media_hashes(tmp_path / "cache", [*media, media[0]]) == expected
    assert media_hashes(tmp_path / "cache", media) == expected
    assert sorted(read) == ["a.mp4", "b.mp4"]


def test_a_file_that_changed_is_read_again(tmp_path: Path, media: list[Path], read: list[str]):
    media_hashes(tmp_path, media)
    media[0].write_text("A.mp4")
    os.utime(media[0], (OLD + 1, OLD + 1))
    media[1].write_text("longer")
    os.utime(media[1], (OLD, OLD))
    assert list(media_hashes(tmp_path, media).values()) == [_sha256("A.mp4"), _sha256("longer")]
    assert len(read) == 4


def test_a_file_that_may_still_change_is_not_remembered(tmp_path: Path, media: list[Path], read: list[str]):
    os.utime(media[0], (time.time() + 60,) * 2)
    media_hashes(tmp_path, media)
    assert [state[0] for state in remembered(tmp_path)] == [str(media[1])]


def test_an_old_time_of_change_does_not_make_a_new_file_old(
    tmp_path: Path, media: list[Path], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(hashes, "SETTLED_S", 3600.0)
    media_hashes(tmp_path, media)
    assert remembered(tmp_path) == {}
    media[0].write_text("A.mp4")
    os.utime(media[0], (OLD, OLD))
    assert media_hashes(tmp_path, media)[media[0]] == _sha256("A.mp4")


def test_files_that_change_names_are_read_again(tmp_path: Path, media: list[Path]):
    """Neither size nor time of change of the content tells them apart."""
    media_hashes(tmp_path, media)
    assert len(remembered(tmp_path)) == 2
    time.sleep(0.05)  # a file system's clock takes steps of some milliseconds
    media[0].rename(tmp_path / "aside")
    media[1].rename(media[0])
    (tmp_path / "aside").rename(media[1])
    assert list(media_hashes(tmp_path, media).values()) == [_sha256("b.mp4"), _sha256("a.mp4")]


def test_a_file_that_cannot_be_read_has_no_hash(tmp_path: Path, media: list[Path]):
    asked = [tmp_path / "absent.mp4", media[0], tmp_path]
    assert list(media_hashes(tmp_path, asked)) == [media[0]]


def test_half_a_line_is_not_believed_and_spoils_no_other(tmp_path: Path, media: list[Path], read: list[str]):
    media_hashes(tmp_path, media[:1])
    memory = tmp_path / MEMORY
    content = memory.read_bytes().rstrip(b"\n")
    for length in range(len(content)):
        memory.write_bytes(content[:length])
        assert remembered(tmp_path) == {}
    media_hashes(tmp_path, media[1:])
    assert [Path(state[0]).name for state in remembered(tmp_path)] == ["b.mp4"]
    assert read == ["a.mp4", "b.mp4"]


@pytest.mark.parametrize(
    "line",
    ["{}", "[]", "3", '["a", 1, 2, 3, "abc"]', '["a", 1, 2, 3, 4]', f'["a", 1, 2, "{64 * "0"}"]', "\udcff"],
)
def test_a_line_of_another_kind_is_not_believed(tmp_path: Path, media: list[Path], line: str):
    media_hashes(tmp_path, media)
    with (tmp_path / MEMORY).open("a", encoding="utf-8", errors="surrogateescape") as file:
        file.write(f"{line}\n")
    assert len(remembered(tmp_path)) == 2


def test_names_that_are_no_unicode(tmp_path: Path, read: list[str], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(hashes, "SETTLED_S", 0.0)
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.mp4"))
    path.write_text("x")
    os.utime(path, (OLD, OLD))
    for _ in range(2):
        assert media_hashes(tmp_path / "cache", [path]) == {path: _sha256("x")}
    assert len(read) == 1
    assert json.loads((tmp_path / "cache" / MEMORY).read_text().split("\n")[1])[0] == str(path)


def test_a_folder_that_cannot_be_written_costs_nothing_but_time(tmp_path: Path, media: list[Path], read: list[str]):
    (tmp_path / "file").write_text("")
    for _ in range(2):
        assert len(media_hashes(tmp_path / "file" / "cache", media)) == 2
    assert len(read) == 4
