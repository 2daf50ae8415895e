from pathlib import Path

import pytest

from blipvid.core.errors import ConfigError
from blipvid.media.folder import find_media


def test_media_are_found_at_every_depth_in_order(tmp_path: Path):
    names = ["b.MP4", "a/z.gif", "a/b/c.webp", "a.jpeg", "d.avi"]
    for name in [*names, "a/notes.txt", ".hidden.mp4", "a/._b.jpg", "list.csv"]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "folder.mp4").mkdir()
    found = find_media(tmp_path)
    assert [clip.id for clip in found] == ["a/b/c.webp", "a/z.gif", "a.jpeg", "b.MP4", "d.avi"]
    assert all(clip.path == tmp_path / clip.id for clip in found)


def test_one_file_may_have_any_ending(tmp_path: Path):
    (tmp_path / "clip.bin").touch()
    (found,) = find_media(tmp_path / "clip.bin")
    assert (found.id, found.path) == ("clip.bin", tmp_path / "clip.bin")


def test_nothing_there(tmp_path: Path):
    with pytest.raises(ConfigError, match="no such file or folder"):
        find_media(tmp_path / "nothing")
    with pytest.raises(ConfigError, match="holds no picture and no video"):
        find_media(tmp_path)
