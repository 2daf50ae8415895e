from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from blipvid.core.errors import DecodeError
from blipvid.core.settings import FrameSettings
from blipvid.core.types import Clip
from blipvid.media.decoding import decode_clip
from tests.media.conftest import Draw
from tests.media.drawing import read_numbers


def test_a_clip_becomes_frames_with_their_numbers_and_times(draw: Draw) -> None:
    clip = Clip("drawn", draw("mp4", b_frames=2))
    frames = decode_clip(clip, FrameSettings(sampler="uniform", count=4, size=64))
    assert frames.pixels.shape == (4, 64, 64, 3)
    assert frames.indices.tolist() == read_numbers(frames.pixels) == [0, 25, 50, 75]
    assert frames.times_s == pytest.approx([0, 1, 2, 3], abs=1e-3)
    assert (frames.backend, frames.notes) == ("pyav", ())


def test_notes_and_reader_are_those_that_gave_the_pixels(draw: Draw) -> None:
    clip = Clip("msvd", draw("avi", b_frames=2))
    settings = FrameSettings(sampler="endpoints", count=8, size=64)
    frames = decode_clip(clip, settings)
    assert read_numbers(frames.pixels) == frames.indices.tolist()
    assert frames.backend == "pyav"
    assert frames.notes[0] == "read by PyAV: decord returns wrong frames of h264 in avi files"
    official = decode_clip(clip, settings.model_copy(update={"backend": "decord"}))
    assert read_numbers(official.pixels) != official.indices.tolist()
    assert official.notes[0].startswith("warning: decord returns wrong frames of h264 in avi files")


@pytest.mark.parametrize(
    ("sampler", "notes"),
    [
        ("uniform", ("too short for 8 different frames, so that some were taken several times",)),
        ("blip-compat", ("too short for 8 frames, so that one frame was taken 8 times",)),
    ],
)
def test_a_clip_too_short_for_its_frames_says_so(draw: Draw, sampler: str, notes: tuple[str, ...]) -> None:
    short = Clip("short", draw("mp4", 5))
    settings = FrameSettings(sampler=sampler, count=8, size=64, backend="pyav")
    assert decode_clip(short, settings).notes == notes
    assert decode_clip(short, settings.model_copy(update={"count": 5})).notes == ()


@pytest.mark.parametrize("backend", ["auto", "pyav", "decord"])
def test_a_window_gives_frames_of_the_window(draw: Draw, backend: str) -> None:
    clip = Clip("moment", draw("mp4", b_frames=2), start_s=1.0, end_s=2.0)
    frames = decode_clip(clip, FrameSettings(sampler="uniform", count=5, size=64, backend=backend))
    assert read_numbers(frames.pixels) == [25, 30, 35, 40, 45]
    assert frames.times_s[0] == pytest.approx(1.0, abs=1e-3)


def test_errors_name_clip_and_file_once(draw: Draw, tmp_path: Path) -> None:
    path = draw("mp4", b_frames=2)
    with pytest.raises(DecodeError, match=r"^clip 'late': .*the window from 9 s to the end holds no frame"):
        decode_clip(Clip("late", path, start_s=9.0), FrameSettings())
    with pytest.raises(DecodeError, match=r"^clip 'gone': .*gone\.mp4: cannot be read \(no such file") as caught:
        decode_clip(Clip("gone", tmp_path / "gone.mp4"), FrameSettings())
    assert str(caught.value).count("clip 'gone'") == 1


def test_bicubic_resizes_the_rgb_picture_as_pil_does(draw: Draw) -> None:
    clip = Clip("drawn", draw("mp4", b_frames=2))
    full = decode_clip(clip, FrameSettings(count=2, size=64, resize="bicubic"))
    by_decoder = decode_clip(clip, FrameSettings(count=2, size=64))
    from blipvid.media.readers import open_video

    picture = Image.fromarray(open_video(clip.path, backend="pyav").read([50])[0])
    assert np.array_equal(full.pixels[1], np.asarray(picture.resize((64, 64), Image.Resampling.BICUBIC)))
    assert not np.array_equal(full.pixels, by_decoder.pixels)


def test_a_picture_is_a_clip_of_one_frame(tmp_path: Path) -> None:
    path = tmp_path / "still.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (50, 70, 3), dtype=np.uint8)).save(path)
    frames = decode_clip(Clip("still", path), FrameSettings(size=32))
    assert frames.pixels.shape == (1, 32, 32, 3)
    assert np.array_equal(frames.pixels[0], np.asarray(Image.open(path).resize((32, 32), Image.Resampling.BICUBIC)))
    assert (frames.indices.tolist(), frames.times_s.tolist(), frames.backend) == ([0], [0.0], "pillow")
