"""Which reader `auto` takes, and what it does where that one fails."""

import sys
from hashlib import sha256
from pathlib import Path

import av
import numpy as np
import pytest

from blipvid.core.errors import ConfigError, DecodeError
from blipvid.media.readers import likeness, open_video
from blipvid.media.readers.frame_index import index_frames
from blipvid.media.readers.scaling import RgbConverter
from tests.media.conftest import Draw
from tests.media.drawing import read_numbers

WANTED = [0, 11, 45, 99]
DAMAGED = [0, 20]
UNLIKE = "PyAV scales otherwise than decord on this machine"


@pytest.fixture
def other_scaler(monkeypatch: pytest.MonkeyPatch) -> None:
    """A PyAV whose scaler rounds otherwise."""
    monkeypatch.setattr(likeness, "scales_as_decord", lambda: False)


def code_without_loss(path: Path, picture: av.VideoFrame) -> None:
    with av.open(str(path), "w") as file:
        stream = file.add_stream("libx264", rate=25, options={"qp": "0"})
        stream.width, stream.height, stream.pix_fmt = picture.width, picture.height, picture.format.name
        for number in range(3):
            picture.pts = number
            file.mux(stream.encode(picture))
        file.mux(stream.encode(None))


def test_the_recorded_pictures_are_decords(tmp_path: Path) -> None:
    decord = pytest.importorskip("decord")
    by_decord = sha256()
    for side in likeness.SIDES:
        for pixel_format in likeness.DRAWN:
            path = tmp_path / f"{pixel_format}.mp4"
            picture = likeness.draw_picture(pixel_format)
            code_without_loss(path, picture)
            theirs = decord.VideoReader(str(path), width=side, height=side)[0].asnumpy()
            assert theirs.std() > 40, "a drawn picture is not flat"
            assert np.array_equal(RgbConverter(side)(picture), theirs), pixel_format
            by_decord.update(theirs.tobytes())
    assert by_decord.hexdigest() == likeness.DIGEST
    assert likeness.scales_as_decord()


def test_another_scaler_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    def off_by_one(self: RgbConverter, frame: av.VideoFrame) -> np.ndarray:
        pixels = RgbConverter.__call__(self, frame).copy()
        pixels[10, 10, 1] ^= 1
        return pixels

    monkeypatch.setattr(likeness, "RgbConverter", type("Other", (RgbConverter,), {"__call__": off_by_one}))
    assert not likeness.scales_as_decord.__wrapped__()


@pytest.mark.parametrize(
    ("settings", "size", "why"),
    [
        ({}, 224, None),
        ({}, None, None),
        ({}, 96, "only one side of the picture is 96 already"),
        ({}, 160, "only one side of the picture is 160 already"),
        ({"width": 96}, 96, None),
        ({"codec": "mpeg4"}, 224, "not known to give decord's pixels of mpeg4"),
        ({"pix_fmt": "yuv444p", "width": 151, "height": 97}, 224, None),
        ({"pix_fmt": "yuv444p", "width": 151, "height": 97}, None, "an odd side"),
        ({"pix_fmt": "yuv420p10le"}, 224, None),
        ({"pix_fmt": "yuv420p10le"}, None, "not known to give decord's pixels of yuv420p10le"),
        ({"pix_fmt": "nv12"}, 224, None),
    ],
)
def test_where_pixels_may_differ_is_known_beforehand(
    draw: Draw, settings: dict[str, object], size: int | None, why: str | None
) -> None:
    found = likeness.unlike_decord(index_frames(draw("mp4", 8, **settings)), size)
    assert found is None if why is None else why in str(found)


def test_decord_reads_where_the_scaler_is_another(draw: Draw, other_scaler: None) -> None:
    reader = open_video(draw("mp4", b_frames=2), size=64)
    assert read_numbers(reader.read(WANTED)) == WANTED
    assert (reader.backend, reader.notes) == ("decord", ())
    reader = open_video(draw("avi", b_frames=2), size=64)
    assert read_numbers(reader.read(WANTED)) == WANTED
    assert reader.backend == "pyav", "right frames come before equal pixels"
    reader = open_video(draw("mkv", mux_options={"live": "1"}), size=64)
    assert reader.notes == (f"read by PyAV: decord refuses the file; {UNLIKE}",)


@pytest.mark.parametrize(("width", "height"), [(48, 40), (2, 2)])
def test_auto_changes_over_when_decord_fails_only_while_reading(
    draw: Draw, other_scaler: None, width: int, height: int
) -> None:
    path = draw("mp4", 8, width=width, height=height, codec_options={"x264-params": "level=1"})
    with pytest.raises(DecodeError, match="decord cannot decode it"):
        open_video(path, backend="decord").read([0, 7])
    reader = open_video(path)
    assert reader.backend == "decord"
    assert reader.read([0, 7]).shape == (2, height, width, 3)
    assert (reader.backend, reader.notes) == ("pyav", (f"read by PyAV: decord fails to decode it; {UNLIKE}",))


def test_what_pyav_finds_damaged_decord_may_patch_up_and_a_note_says_so(draw: Draw, tmp_path: Path) -> None:
    path = damage(draw("mp4", b_frames=2, width=96, height=64), tmp_path)
    with pytest.raises(DecodeError, match="cannot") as by_pyav:
        open_video(path, backend="pyav").read(DAMAGED)
    reader = open_video(path)
    assert reader.backend == "pyav"
    assert reader.read(DAMAGED).shape == (2, 64, 96, 3)
    assert (reader.backend, reader.notes) == ("decord", ("read by decord, perhaps patched up: PyAV finds it damaged",))
    assert np.array_equal(reader.read(DAMAGED), open_video(path, backend="decord").read(DAMAGED))
    with pytest.MonkeyPatch.context() as patched:
        patched.setitem(sys.modules, "decord", None)
        with pytest.raises(DecodeError) as without:
            open_video(path).read(DAMAGED)
    assert str(without.value) == str(by_pyav.value)


def damage(whole: Path, folder: Path) -> Path:
    """Writes noise over some bytes of a picture that all others up to the next key frame need."""
    with av.open(str(whole)) as file:
        packets = [p for p in file.demux(video=0) if p.size]
    content, at = bytearray(whole.read_bytes()), packets[13].pos
    content[at + 30 : at + 60] = np.random.default_rng(0).integers(0, 256, 30, dtype=np.uint8).tobytes()
    path = folder / "damaged.mp4"
    path.write_bytes(content)
    return path


def test_without_the_decord_wheel_auto_reads_by_pyav(
    draw: Draw, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    monkeypatch.setitem(sys.modules, "decord", None)
    reader = open_video(draw("mp4", b_frames=2))
    assert read_numbers(reader.read(WANTED)) == WANTED
    assert (reader.backend, reader.notes) == ("pyav", ())
    with pytest.raises(ConfigError, match=r"decord is not installed on this machine; set frames\.backend"):
        open_video(draw("mp4", b_frames=2), backend="decord")
    request.getfixturevalue("other_scaler")
    reader = open_video(draw("mp4", b_frames=2))
    assert reader.notes == (f"read by PyAV: decord is not installed on this machine; {UNLIKE}",)
