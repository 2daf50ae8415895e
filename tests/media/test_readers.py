"""Both readers on drawn clips: which frame comes back, and are its pixels the same."""

import subprocess
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from blipvid.core.errors import ConfigError, DecodeError
from blipvid.core.protocols import VideoReader
from blipvid.media.readers import READERS, decord_reader, open_video
from blipvid.media.readers.frame_index import index_frames
from blipvid.media.readers.likeness import unlike_decord
from blipvid.media.readers.pyav_reader import PyavReader
from blipvid.media.readers.scaling import RgbConverter
from tests.media.conftest import Draw
from tests.media.drawing import draw_frame, read_numbers

WANTED = [0, 11, 20, 31, 45, 52, 67, 80, 95, 99]
CLOSED_HEVC = {"codec": "libx265", "b_frames": 2, "codec_options": {"x265-params": "open-gop=0:log-level=none"}}
OPEN_HEVC = {"codec": "libx265", "b_frames": 2, "codec_options": {"x265-params": "log-level=none"}}

MAY_ROUND = {"mpeg4", "mjpeg", "flv"}

# ending, settings, what decord 0.6.0 does there: right, wrong or refuses
CONTAINERS: list[tuple[str, dict[str, Any], str]] = [
    ("mp4", {"b_frames": 2}, "right"),
    ("mp4", {"mux_options": {"movflags": "frag_keyframe+empty_moov"}}, "right"),
    ("mp4", CLOSED_HEVC, "right"),
    ("mov", {"b_frames": 2}, "right"),
    ("3gp", {"codec": "mpeg4"}, "right"),
    ("mkv", {"b_frames": 2}, "right"),
    ("webm", {"codec": "libvpx"}, "right"),
    ("webm", {"codec": "libvpx-vp9"}, "right"),
    ("flv", {"b_frames": 2}, "right"),
    ("flv", {"codec": "flv"}, "right"),
    ("avi", {"codec": "mpeg4"}, "right"),
    ("avi", {"codec": "mjpeg", "pix_fmt": "yuvj420p"}, "right"),
    ("mp4", {"b_frames": 2, "ticks": tuple(i + i * i // 40 for i in range(100))}, "right"),
    ("avi", {}, "wrong"),
    ("avi", {"b_frames": 2}, "wrong"),
    ("avi", {"codec": "mpeg4", "b_frames": 2}, "wrong"),
    ("avi", {"codec": "mpeg2video"}, "wrong"),
    ("ts", {"b_frames": 2}, "wrong"),
    ("ts", {"codec": "mpeg2video"}, "wrong"),
    ("mpg", {"codec": "mpeg1video"}, "wrong"),
    ("vob", {"codec": "mpeg2video", "b_frames": 2}, "wrong"),
    ("wmv", {"codec": "wmv2"}, "wrong"),
    ("asf", {"b_frames": 2}, "wrong"),
    ("mp4", OPEN_HEVC, "wrong"),
    ("mp4", {"codec": "mpeg4", "b_frames": 2}, "wrong"),
    ("mkv", {"b_frames": 3, "codec_options": {"x264-params": "open-gop=1"}}, "wrong"),
    ("mp4", {"gop": 24, "codec_options": {"x264-params": "intra-refresh=1"}}, "wrong"),
    ("h264", {"container": "h264", "b_frames": 2}, "refuses"),
    ("ogv", {"codec": "libvpx", "container": "ogg"}, "refuses"),
    ("mkv", {"mux_options": {"live": "1"}}, "refuses"),
    ("gif", {"codec": "gif", "pix_fmt": "rgb8"}, "refuses"),
]


def named(case: tuple[str, dict[str, Any], str]) -> str:
    ending, settings, _ = case
    return "-".join([ending, *(str(settings[k]) for k in ("codec", "b_frames", "gop") if k in settings)])


def read(path: Path, indices: list[int], backend: str, size: int | None = None) -> tuple[np.ndarray, VideoReader]:
    reader = open_video(path, backend=backend, size=size)
    try:
        return reader.read(indices), reader
    finally:
        reader.close()


@pytest.mark.parametrize(("ending", "settings", "decord_is"), CONTAINERS, ids=[named(c) for c in CONTAINERS])
def test_the_frames_asked_for_come_back_in_every_container(
    draw: Draw, ending: str, settings: dict[str, Any], decord_is: str
) -> None:
    path = draw(ending, **settings)
    pixels, reader = read(path, WANTED, "pyav")
    assert read_numbers(pixels) == WANTED
    assert (reader.n_frames, reader.backend) == (100, "pyav")

    pixels, reader = read(path, WANTED, "auto")
    assert read_numbers(pixels) == WANTED
    by_decord = decord_is == "right" and settings.get("codec") in MAY_ROUND
    assert (reader.n_frames, reader.backend) == (100, "decord" if by_decord else "pyav")
    told = any(note.startswith("read by PyAV: decord returns wrong frames") for note in reader.notes)
    assert told == (decord_is == "wrong"), "figures that others made through decord come from other frames"

    if decord_is == "refuses":
        with pytest.raises(DecodeError, match="decord cannot decode it"):
            read(path, WANTED, "decord")
        return
    pixels, reader = read(path, WANTED, "decord")
    assert reader.backend == "decord"
    assert (read_numbers(pixels) == WANTED) == (decord_is == "right")
    assert bool(reader.notes) == (decord_is == "wrong"), "wrong frames of decord come with a warning"
    assert all(note.startswith("warning: decord returns wrong frames") for note in reader.notes)


@pytest.mark.parametrize("case", CONTAINERS, ids=named)
def test_jumping_gives_what_decoding_in_sequence_gives(draw: Draw, case: tuple[str, dict[str, Any], str]) -> None:
    path = draw(case[0], **case[1])
    reader = PyavReader(index_frames(path), 64)
    everything = reader._go_through(range(100))
    assert len(everything) == 100
    rng = np.random.default_rng(3)
    for count in (1, 2, 5, 20):
        indices = [int(i) for i in rng.integers(0, 100, count)]  # any order, with repeats
        assert np.array_equal(reader.read(indices), [everything[i] for i in indices])


PICTURES: dict[str, tuple[str, dict[str, Any]]] = {
    "h264": ("mp4", {"b_frames": 2}),
    "mpeg4": ("avi", {"codec": "mpeg4"}),
    "mpeg4 odd": ("mp4", {"codec": "mpeg4", "width": 151, "height": 97}),
    "vp9": ("webm", {"codec": "libvpx-vp9", "codec_options": {"deadline": "good", "cpu-used": "8"}}),
    "hevc": ("mp4", CLOSED_HEVC),
    "full range": ("mp4", {"pix_fmt": "yuvj420p", "full_range": True}),
    "4:2:2": ("mp4", {"pix_fmt": "yuv422p"}),
    "4:4:4 odd": ("mp4", {"pix_fmt": "yuv444p", "width": 151, "height": 97}),
    "10 bit": ("mp4", {"pix_fmt": "yuv420p10le"}),
    "10 bit 4:2:2": ("mp4", {"pix_fmt": "yuv422p10le"}),
    "grey": ("mp4", {"pix_fmt": "gray"}),
    "hevc 10 bit": ("mp4", CLOSED_HEVC | {"pix_fmt": "yuv420p10le"}),
    "10 bit 4:4:4": ("mp4", {"pix_fmt": "yuv444p10le"}),
    "mjpeg 4:2:2": ("avi", {"codec": "mjpeg", "pix_fmt": "yuvj422p"}),
    "mjpeg 4:4:4": ("avi", {"codec": "mjpeg", "pix_fmt": "yuvj444p"}),
    "rgb": ("mp4", {"codec": "libx264rgb", "pix_fmt": "rgb24"}),
    "rgb rotated": ("mp4", {"codec": "libx264rgb", "pix_fmt": "rgb24", "rotation": 90}),
    "rotated 90": ("mp4", {"rotation": 90}),
    "rotated 180": ("mp4", {"rotation": 180}),
    "rotated 270": ("mp4", {"rotation": -90}),
    "rotated 4:2:2": ("mp4", {"rotation": 90, "pix_fmt": "yuv422p"}),
    "rotated 4:4:4": ("mp4", {"rotation": 90, "pix_fmt": "yuv444p"}),
    "rotated 10 bit": ("mp4", {"rotation": 90, "pix_fmt": "yuv420p10le"}),
    "rotated odd": ("mp4", {"rotation": 90, "codec": "mpeg4", "width": 151, "height": 97}),
}


@pytest.mark.parametrize("name", PICTURES)
@pytest.mark.parametrize("size", [224, 384])
def test_both_readers_give_the_same_pixels(draw: Draw, name: str, size: int) -> None:
    ending, settings = PICTURES[name]
    path = draw(ending, 8, **settings)
    indices = [0, 3, 5, 7]
    ours, _ = read(path, indices, "pyav", size)
    theirs, reader = read(path, indices, "decord", size)
    assert reader.backend == "decord"
    assert ours.shape == (4, size, size, 3)
    assert ours.dtype == np.uint8
    assert ours.std() > 20, "a drawn picture is not flat"
    assert np.array_equal(ours, theirs)
    unlike = unlike_decord(index_frames(path), size)
    assert unlike is None if settings.get("codec") not in MAY_ROUND else "not known" in str(unlike)


def test_a_size_equal_to_the_height_alone_moves_chroma_by_half_a_row(draw: Draw) -> None:
    """The known limit: FFmpeg 4 takes a short cut there that FFmpeg 8 has given up."""
    path = draw("mp4", 8, b_frames=2)
    ours, theirs = (read(path, [0, 5], backend, 96)[0].astype(int) for backend in ("pyav", "decord"))
    difference = np.abs(ours - theirs)
    assert difference.mean() < 0.5
    assert (difference == 0).mean() > 0.9
    assert unlike_decord(index_frames(path), 96) is not None
    assert read(path, [0, 5], "auto", 96)[1].backend == "decord"
    square, again = (read(path, [0, 5], backend, 160)[0] for backend in ("pyav", "decord"))
    assert np.array_equal(square, again), "a size equal to the width alone is no such case"


@pytest.mark.parametrize("name", ["h264", "full range", "4:2:2", "rotated 90", "rotated 180", "rotated 270"])
def test_without_a_size_both_readers_give_the_upright_picture(draw: Draw, name: str) -> None:
    ending, settings = PICTURES[name]
    path = draw(ending, 8, **settings)
    ours, _ = read(path, [0, 5], "pyav")
    theirs, _ = read(path, [0, 5], "decord")
    assert ours.shape[1:3] == ((160, 96) if name in {"rotated 90", "rotated 270"} else (96, 160))
    assert np.array_equal(ours, theirs)


def test_rotation_turns_the_picture_upright(draw: Draw) -> None:
    plain, _ = read(draw("mp4", 8, b_frames=0), [7], "pyav")
    for backend in ("pyav", "decord"):
        turned, _ = read(draw("mp4", 8, rotation=90), [7], backend)
        assert read_numbers(np.rot90(turned, -1, axes=(1, 2))) == read_numbers(plain) == [7]


def test_frames_come_in_the_order_asked_for_and_may_repeat(draw: Draw) -> None:
    for backend in ("pyav", "decord", "auto"):
        pixels, _ = read(draw("mp4", b_frames=2), [40, 3, 40, 99, 0, 0], backend)
        assert read_numbers(pixels) == [40, 3, 40, 99, 0, 0]


@pytest.mark.parametrize("backend", ["pyav", "decord", "auto"])
def test_times_are_those_of_the_frames_also_at_a_variable_rate(draw: Draw, backend: str) -> None:
    ticks = tuple(i + i * i // 40 for i in range(100))
    reader = open_video(draw("mp4", b_frames=2, ticks=ticks), backend=backend)
    assert reader.times_s([0, 1, 50, 99]) == pytest.approx([ticks[i] / 25 for i in (0, 1, 50, 99)], abs=1e-3)
    reader.close()


def test_times_without_time_stamps_follow_from_the_rate(draw: Draw) -> None:
    reader = open_video(draw("h264", container="h264", b_frames=2), backend="pyav")
    assert reader.times_s([0, 25, 99]) == pytest.approx([0, 1, 99 / 25], abs=1e-3)
    assert reader.fps == pytest.approx(25)


def test_frames_before_the_first_key_frame_do_not_count(draw: Draw, tmp_path: Path) -> None:
    cut = tmp_path / "cut.mp4"
    remux(draw("mp4", b_frames=2), cut, drop=5)
    for backend in ("pyav", "auto"):
        pixels, reader = read(cut, [0, 1, 40, 87], backend)
        assert reader.n_frames == 88
        assert read_numbers(pixels) == [12, 13, 52, 99]


def test_frames_hidden_by_an_edit_list_do_not_count(draw: Draw, tmp_path: Path) -> None:
    trimmed = tmp_path / "trimmed.mp4"
    remux(draw("mp4", b_frames=2), trimmed, shift_frames=-5)
    for backend in ("pyav", "auto"):
        pixels, reader = read(trimmed, [0, 1, 40, 94], backend)
        assert (reader.n_frames, reader.backend) == (95, "pyav")
        assert read_numbers(pixels) == [5, 6, 45, 99]


def test_hidden_vp8_pictures_do_not_count(draw: Draw, tmp_path: Path) -> None:
    hidden = tmp_path / "hidden.webm"
    remux(draw("webm", 30, codec="libvpx"), hidden, hide=7)
    for backend in ("pyav", "auto"):
        pixels, reader = read(hidden, [6, 7, 28], backend)
        assert (reader.n_frames, reader.backend) == (29, "pyav")
        assert read_numbers(pixels) == [6, 8, 29]


def remux(source: Path, target: Path, drop: int = 0, shift_frames: int = 0, hide: int | None = None) -> None:
    with av.open(str(source)) as old, av.open(str(target), "w") as new:
        stream = old.streams.video[0]
        copy = new.add_stream_from_template(stream)
        packets = [p for p in old.demux(stream) if p.size]
        unit = round(1 / (25 * stream.time_base))
        for number, packet in enumerate(packets[drop:]):
            if number == hide:  # clears VP8's show_frame bit
                content = bytearray(bytes(packet))
                content[0] &= ~0x10
                packet.update(bytes(content))
            packet.pts += shift_frames * unit
            packet.dts += shift_frames * unit
            packet.stream = copy
            new.mux(packet)


X264 = "cabac=0:scenecut=0:qp="
JOINED = {
    "libx264": ({"bf": "2", "x264-params": f"{X264}20"}, {"bf": "2", "x264-params": f"{X264}45"}),
    "mpeg4": ({"flags": "+global_header"}, {"flags": "+global_header+qpel", "mpeg_quant": "1"}),
}
"""Codec -> options of both parts; CAVLC, so that wrong parameters show pictures of no sense."""


@pytest.mark.parametrize(("ending", "codec"), [("mkv", "libx264"), ("mp4", "libx264"), ("avi", "mpeg4")])
def test_a_file_joined_from_parts_is_decoded_with_the_parameters_of_each(
    tmp_path: Path, ending: str, codec: str
) -> None:
    """The second part's parameters come once, with its first packet: decoding that begins later would go without."""
    path, wanted = join_parts(tmp_path / f"joined.{ending}", codec), [70, 5, 95]
    for backend in ("pyav", "auto"):
        for size in (64, 96):  # 96 is the height already
            with av.open(str(path)) as file:
                through = [RgbConverter(size)(frame) for frame in file.decode(video=0)]
            reader = open_video(path, backend=backend, size=size)
            for _ in range(2):
                assert np.array_equal(reader.read(wanted), [through[number] for number in wanted])
            assert reader.notes[-1] == "its coding changes on the way, so it was decoded in sequence"
    assert "warning: decord may return wrong frames" in open_video(path, backend="decord").notes[0]
    assert read_numbers(open_video(path).read(wanted)) == wanted


def join_parts(path: Path, codec: str) -> Path:
    """Codes frames 0..49 and 50..99 with other parameters."""
    with av.open(str(path), "w") as file:
        first, second = file.add_stream(codec, rate=25), av.CodecContext.create(codec, "w")
        second.flags |= av.codec.context.Flags.global_header
        for begin, coder, options in zip((0, 50), (first, second), JOINED[codec], strict=True):
            coder.options = {"g": "12", "b": "1500k", **options}
            coder.width, coder.height, coder.pix_fmt, coder.time_base = 160, 96, "yuv420p", Fraction(1, 25)
            coder.framerate = 25
            drawn = [draw_frame(number, 160, 96) for number in range(begin, begin + 50)]
            frames = [av.VideoFrame.from_ndarray(one, format="rgb24").reformat(format="yuv420p") for one in drawn]
            for number, frame in enumerate(frames, start=begin):
                frame.pts, frame.time_base = number, Fraction(1, 25)
            for packet in (p for frame in (*frames, None) for p in coder.encode(frame)):
                if packet.pts == 50:
                    whole = av.Packet(second.extradata + bytes(packet))
                    whole.pts, whole.dts, whole.time_base = packet.pts, packet.dts, packet.time_base
                    whole.is_keyframe, packet = True, whole
                packet.stream = first
                file.mux(packet)
    return path


def test_readers_are_video_readers_and_found_by_name(draw: Draw) -> None:
    assert {"auto", "decord", "pyav"} <= set(READERS.names())
    for backend in ("auto", "decord", "pyav"):
        reader = open_video(draw("mp4", b_frames=2), backend=backend)
        assert isinstance(reader, VideoReader)
        reader.close()
    with pytest.raises(ConfigError, match=r"unknown reader 'pyavv'\. Did you mean 'pyav'"):
        open_video(draw("mp4", b_frames=2), backend="pyavv")


@pytest.mark.parametrize("backend", ["auto", "decord", "pyav"])
def test_what_is_no_video_is_one_clean_sentence(tmp_path: Path, backend: str) -> None:
    (tmp_path / "folder.mp4").mkdir()
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "page.mp4").write_text("<html>404</html>" * 100)
    said = {
        "missing.mp4": "no such file or directory",
        "folder.mp4": "is a folder",
        "empty.mp4": "is empty",
        "page.mp4": "not a video",
    }
    for name, words in said.items():
        with pytest.raises(DecodeError, match=words) as caught:
            open_video(tmp_path / name, backend=backend)
        assert str(tmp_path / name) in str(caught.value)
        assert "\n" not in str(caught.value)


def test_an_unknown_coding_is_one_clean_sentence(draw: Draw, tmp_path: Path) -> None:
    content = draw("avi", 8, codec="mjpeg", pix_fmt="yuvj420p").read_bytes()
    path = tmp_path / "unknown.avi"
    path.write_bytes(content.replace(b"MJPG", b"ZQZQ"))
    with pytest.raises(DecodeError, match="coded in a way that FFmpeg cannot decode"):
        open_video(path)


def test_names_that_look_like_options_or_protocols_are_read(
    draw: Draw, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("-clip.mp4", "a:b.mp4", "ünïcode ü.mp4"):
        Path(name).write_bytes(draw("mp4", b_frames=2).read_bytes())
        for backend in ("pyav", "decord"):
            assert read_numbers(read(Path(name), [5], backend)[0]) == [5]


def test_decord_says_only_its_reason() -> None:
    noise = "[07:23:29] /github/workspace/src/runtime/ndarray.cc:171: Check failed: from_size == to_size (96 vs. 3) "
    said = decord_reader._first_sentence(RuntimeError(noise + "DECORDArrayCopyFromTo: The size must exactly match\nx"))
    assert said == "DECORDArrayCopyFromTo: The size must exactly match"
    noise = "[07:23:32] /github/workspace/src/video/video_reader.cc:270: [/clips/a b.gif] Failed to measure duration."
    assert decord_reader._first_sentence(RuntimeError(noise)) == "failed to measure duration"


@pytest.mark.parametrize("order", [("torch", "decord", "av"), ("decord", "av", "torch")])
def test_decord_pyav_and_torch_live_in_one_process_in_any_order(draw: Draw, order: tuple[str, ...]) -> None:
    path = draw("mp4", b_frames=2)
    script = f"""
import {", ".join(order)}
from pathlib import Path
from blipvid.media.readers import open_video
pixels = [open_video(Path({str(path)!r}), backend=b, size=64).read([3, 60]) for b in ("decord", "pyav")]
assert (pixels[0] == pixels[1]).all()
print(torch.from_numpy(pixels[0]).float().mean().item() > 0)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "True", "")


def test_the_cover_picture_of_a_sound_file_is_no_video(tmp_path: Path) -> None:
    path = tmp_path / "song.m4a"
    with av.open(str(path), "w", format="mp4") as file:
        sound = file.add_stream("aac", rate=44100)
        cover = file.add_stream("mjpeg", rate=1)
        cover.width, cover.height, cover.pix_fmt = 64, 64, "yuvj420p"
        cover.disposition = av.stream.Disposition.attached_pic
        silence = av.AudioFrame.from_ndarray(np.zeros((1, 44100), np.float32), format="fltp", layout="mono")
        silence.sample_rate = 44100
        file.mux([*cover.encode(av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8))), *cover.encode(None)])
        file.mux([*sound.encode(silence), *sound.encode(None)])
    with pytest.raises(DecodeError, match="holds no video stream"):
        open_video(path)
