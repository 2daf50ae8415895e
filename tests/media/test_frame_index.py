"""Files that were cut off or damaged: refused where the rest would be sampled as if it were all."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from blipvid.core.errors import DecodeError
from blipvid.media.readers import open_video
from blipvid.media.readers.frame_index import index_frames
from blipvid.media.readers.wholeness import missing_bytes
from tests.media.conftest import Draw
from tests.media.drawing import read_numbers

FASTSTART = {"b_frames": 2, "mux_options": {"movflags": "faststart"}}
DECLARING: list[tuple[str, dict[str, Any]]] = [
    ("mp4", FASTSTART),
    ("mp4", {"mux_options": {"movflags": "frag_keyframe+empty_moov"}}),
    ("mkv", {"b_frames": 2}),
    ("webm", {"codec": "libvpx"}),
    ("avi", {}),
    ("avi", {"codec": "mpeg4"}),
    ("flv", {"b_frames": 2}),
    ("wmv", {"codec": "wmv2"}),
    ("gif", {"codec": "gif", "pix_fmt": "rgb8"}),
]


@pytest.mark.parametrize(("ending", "settings"), DECLARING)
@pytest.mark.parametrize("share", [0.3, 0.9])
@pytest.mark.parametrize("backend", ["auto", "decord", "pyav"])
def test_a_file_that_was_cut_off_is_refused(
    draw: Draw, tmp_path: Path, ending: str, settings: dict[str, Any], share: float, backend: str
) -> None:
    content = draw(ending, **settings).read_bytes()
    cut = tmp_path / f"cut.{ending}"
    cut.write_bytes(content[: int(len(content) * share)])
    assert missing_bytes(cut) > 0
    with pytest.raises(DecodeError) as caught:
        sample_all(cut, backend)
    assert str(cut) in str(caught.value)
    assert "\n" not in str(caught.value)


def sample_all(path: Path, backend: str) -> list[int]:
    reader = open_video(path, backend=backend)
    return read_numbers(reader.read([int(i) for i in np.linspace(0, reader.n_frames - 1, 8)]))


def test_the_message_says_what_is_missing(draw: Draw, tmp_path: Path) -> None:
    content = draw("mp4", **FASTSTART).read_bytes()
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(content[: len(content) // 2])
    with pytest.raises(DecodeError, match=r"was cut off \(\d+ of 100 frames are there, at least \d+ bytes are missing"):
        index_frames(cut)


@pytest.mark.parametrize(("ending", "settings"), DECLARING)
def test_whole_files_miss_nothing(draw: Draw, ending: str, settings: dict[str, Any]) -> None:
    assert missing_bytes(draw(ending, **settings)) == 0


@pytest.mark.parametrize("backend", ["auto", "pyav"])
def test_a_file_without_its_last_frame_is_still_read(draw: Draw, tmp_path: Path, backend: str) -> None:
    content = draw("mp4", **FASTSTART).read_bytes()
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(content[:-1])
    reader = open_video(cut, backend=backend)
    assert reader.n_frames == 99
    assert read_numbers(reader.read([0, 50, 98])) == [0, 50, 98]


@pytest.mark.parametrize("ending", ["mp4", "avi", "mkv"])
def test_pyav_never_gives_a_patched_up_picture_of_h264(draw: Draw, tmp_path: Path, ending: str) -> None:
    path = draw(ending, b_frames=2, width=96, height=64)
    whole = open_video(path, backend="pyav").read(range(100))
    content, rng = path.read_bytes(), np.random.default_rng(0)
    refused = 0
    for _ in range(12):
        at = int(rng.integers(len(content) // 4, len(content) * 3 // 4))
        damaged = tmp_path / f"damaged.{ending}"
        noise = rng.integers(0, 256, 40, dtype=np.uint8).tobytes()
        damaged.write_bytes(content[:at] + noise + content[at + len(noise) :])
        try:
            reader = open_video(damaged, backend="pyav")
            wanted = list(range(0, reader.n_frames, 12))
            pixels = reader.read(wanted)
        except DecodeError:
            refused += 1
        else:  # the damage lies where nothing was wanted, or a container that has its index inside lost whole packets
            assert np.array_equal(pixels, whole[wanted]) or (reader.n_frames < 100 and ending != "mp4")
            assert all((whole == picture).all(axis=(1, 2, 3)).any() for picture in pixels)
    assert refused > 0


def test_frames_outside_the_damage_are_still_read(draw: Draw, tmp_path: Path) -> None:
    content = draw("mkv", b_frames=2).read_bytes()
    damaged = tmp_path / "damaged.mkv"
    at = len(content) * 9 // 10
    damaged.write_bytes(content[:at] + b"\xff" * 8 + content[at + 8 :])
    reader = open_video(damaged, backend="pyav")
    assert read_numbers(reader.read([0, 20, 40])) == [0, 20, 40]
