"""Decoding as little as the wanted frames need gives what decoding everything gives."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from blipvid.core.errors import DecodeError
from blipvid.media.readers import bitstreams, frame_index, open_video, pyav_reader
from blipvid.media.readers.frame_index import FrameIndex, index_frames
from blipvid.media.readers.pyav_reader import PyavReader
from blipvid.media.readers.scaling import RgbConverter
from tests.media.conftest import Draw
from tests.media.drawing import read_numbers

HEVC = {"codec": "libx265", "b_frames": 3}
LAYERS = HEVC | {"codec_options": {"x265-params": "temporal-layers=2:b-pyramid=1:open-gop=0:log-level=none"}}
PYRAMID = {"x264-params": "b-pyramid=normal:weightp=2:ref=4"}
SPARED: dict[str, tuple[str, dict[str, Any]]] = {
    "long": ("mp4", {"b_frames": 2, "gop": 250}),
    "short": ("mkv", {"b_frames": 3, "gop": 12}),
    "pyramid": ("mp4", {"b_frames": 7, "gop": 40, "codec_options": PYRAMID}),
    "open": ("mkv", {"b_frames": 3, "codec_options": {"x264-params": "open-gop=1"}}),
    "flv": ("flv", {"b_frames": 2}),
    "start codes": ("ts", {"b_frames": 2}),
    "variable rate": ("mp4", {"b_frames": 2, "ticks": tuple(i + i * i // 40 for i in range(100))}),
    "hevc": ("mp4", HEVC | {"codec_options": {"x265-params": "open-gop=0:log-level=none"}}),
    "hevc open": ("mkv", HEVC | {"codec_options": {"x265-params": "log-level=none"}}),
    "hevc layers": ("mp4", LAYERS),
}


class Watched:
    """A decoder that notes the packets fed to it."""

    def __init__(self, decoder: av.VideoCodecContext, fed: list[Any]) -> None:
        self._decoder, self._fed = decoder, fed

    def decode(self, packet: Any) -> list[av.VideoFrame]:
        if packet is not None:
            self._fed.append(packet)
        return self._decoder.decode(packet)

    def flush_buffers(self) -> None:
        self._decoder.flush_buffers()


@pytest.fixture
def fed(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    packets_fed: list[Any] = []
    plain = pyav_reader._open_stream

    @contextmanager
    def watched(index: FrameIndex, **how: bool) -> Iterator[tuple[Iterable[Any], Watched]]:
        with plain(index, **how) as (packets, decoder):
            assert (decoder.thread_count, decoder.options) == (1, {"err_detect": "explode"})
            yield packets, Watched(decoder, packets_fed)

    monkeypatch.setattr(pyav_reader, "_open_stream", watched)
    return packets_fed


@pytest.mark.parametrize("name", SPARED)
def test_any_frames_are_those_of_decoding_everything(draw: Draw, name: str) -> None:
    ending, how = SPARED[name]
    reader = PyavReader(index_frames(draw(ending, **how)), 64)
    assert pyav_reader._times_are_of_the_screen(reader._index)
    everything = reader._go_through(range(100))
    misses = 0

    @settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(st.sets(st.integers(0, 99), min_size=1, max_size=12))
    def check(wanted: set[int]) -> None:
        nonlocal misses
        try:
            found = reader._jump(sorted(wanted), sparing=True)
        except pyav_reader._MissedError:
            misses += 1
            return
        assert set(found) == wanted
        assert all(np.array_equal(found[i], everything[i]) for i in wanted)

    check()
    assert read_numbers(np.stack([everything[i] for i in range(100)])) == list(range(100))
    assert misses == 0 or "open" in name, "only where decoding cannot begin anew at every key frame"


@pytest.mark.parametrize("folder", ["clips", "odd_media"])
def test_real_files_give_what_decoding_everything_gives(test_data: Path, folder: str) -> None:
    spared = 0
    for path in sorted((test_data / "data" / folder).iterdir()):
        if path.stat().st_size > 600_000:  # the slow tier has them all
            continue
        try:
            reader = PyavReader(index_frames(path), 32)
            wanted = sorted({0, *np.random.default_rng(0).integers(0, reader.n_frames, 9).tolist()})
            everything = reader._go_through(wanted)
        except DecodeError:
            continue
        if not pyav_reader._times_are_of_the_screen(reader._index):
            continue
        found = reader._jump(wanted, sparing=True)
        assert all(np.array_equal(found[i], everything[i]) for i in wanted), path.name
        spared += int((~reader._index.needed).sum())
    assert spared > 100


def test_single_frames_of_a_closed_stream_never_miss(draw: Draw) -> None:
    reader = PyavReader(index_frames(draw("mp4", b_frames=2)), 64)
    for number in range(100):
        assert read_numbers(np.stack(list(reader._jump([number], sparing=True).values()))) == [number]


def test_only_what_is_needed_is_fed(draw: Draw, fed: list[Any]) -> None:
    path = draw("mp4", gop=250, b_frames=2)
    with av.open(str(path)) as file:
        packets = [p for p in file.demux(video=0) if p.size]
    kinds = {p.pts: bitstreams.standing("h264", memoryview(p), 4).needed for p in packets}
    reader = open_video(path, backend="pyav")
    assert read_numbers(reader.read([31, 50])) == [31, 50]
    assert reader.notes == ()
    wanted = [packets[0].pts + n * 512 for n in (31, 50)]
    assert sum(not kinds[p.pts] for p in fed) <= 2, "of the pictures to which no other refers, only wanted ones"
    assert all(kinds[p.pts] or p.pts in wanted for p in fed)
    assert fed[-1].pts == wanted[-1], "nothing after the last"
    assert len(fed) < 40


def test_jumping_decodes_only_from_the_nearest_key_frame(draw: Draw, fed: list[Any]) -> None:
    for how in ({"gop": 12, "b_frames": 2}, {"gop": 12, "codec": "mpeg4"}):
        fed.clear()
        reader = open_video(draw("mp4", **how), backend="pyav")
        assert read_numbers(reader.read([13, 85])) == [13, 85]
        assert reader.notes == ()
        assert len(fed) < 20


def test_only_wanted_frames_are_scaled(draw: Draw, monkeypatch: pytest.MonkeyPatch) -> None:
    scaled: list[int] = []

    class Counted(RgbConverter):
        def __call__(self, frame: av.VideoFrame) -> np.ndarray:
            scaled.append(1)
            return super().__call__(frame)

    monkeypatch.setattr(pyav_reader, "RgbConverter", Counted)
    for ending in ("mp4", "avi"):
        scaled.clear()
        open_video(draw(ending, b_frames=2), backend="pyav", size=64).read([5, 50, 50, 95])
        assert len(scaled) <= 3 + (ending == "avi"), "in sequence, what was found before the miss is scaled again"


def test_a_file_is_opened_once(draw: Draw, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[Path] = []
    plain = frame_index.open_container

    def counted(path: Path) -> Any:
        opened.append(path)
        return plain(path)

    monkeypatch.setattr(frame_index, "open_container", counted)
    monkeypatch.setattr(pyav_reader, "open_container", counted)
    reader = open_video(draw("mp4", b_frames=2), backend="pyav")
    for wanted in ([5, 50], [3], [99, 0]):
        assert read_numbers(reader.read(wanted)) == wanted
    assert len(opened) == 1


@pytest.mark.parametrize("ending", ["mp4", "mkv", "ts"])
def test_a_stream_too_large_to_be_kept_is_read_again(draw: Draw, monkeypatch: pytest.MonkeyPatch, ending: str) -> None:
    path = draw(ending, b_frames=2)
    kept = index_frames(path)
    monkeypatch.setattr(frame_index, "_KEPT_BYTES", path.stat().st_size // 3)
    index = index_frames(path)
    assert kept.kept is not None
    assert index.kept is None
    wanted = [0, 7, 40, 41, 95, 99]
    reader = PyavReader(index, 64)
    assert np.array_equal(reader.read(wanted), PyavReader(kept, 64).read(wanted))
    assert (read_numbers(reader.read(wanted)), reader.notes) == (wanted, ())


@pytest.mark.parametrize("ending", ["avi", "asf"])
def test_times_that_only_follow_the_file_are_not_believed(draw: Draw, ending: str) -> None:
    reader = PyavReader(index_frames(draw(ending, b_frames=2)), 64)
    assert not pyav_reader._times_are_of_the_screen(reader._index)
    for number in range(20):
        assert read_numbers(reader.read([number])) == [number]


def test_pictures_of_two_fields_are_decoded_with_all_packets(draw: Draw) -> None:
    interlaced = {"x264-params": "interlaced=1"}
    reader = PyavReader(index_frames(draw("mp4", b_frames=2, codec_options=interlaced)), 64)
    with pytest.raises(pyav_reader._MissedError):
        reader._jump([40], sparing=True)
    assert read_numbers(reader.read([3, 40, 77])) == [3, 40, 77]
    assert reader.notes == ()


def test_pictures_with_parameters_for_others_are_needed() -> None:
    slice_of_none, slice_of_some, parameters = b"\x01\xaa\xaa", b"\x41\xaa\xaa", b"\x68\xce\x38"
    for size in (0, 4):

        def packet(*parts: bytes, size: int = size) -> memoryview:
            begins = [len(p).to_bytes(4, "big") if size else b"\x00\x00\x00\x01" for p in parts]
            return memoryview(b"".join(b + p for b, p in zip(begins, parts, strict=True)))

        assert bitstreams.standing("h264", packet(slice_of_none), size) == (0, False, ())
        assert bitstreams.standing("h264", packet(slice_of_some), size) == (0, True, ())
        assert bitstreams.standing("h264", packet(parameters, slice_of_none), size) == (0, True, (parameters,))
        assert bitstreams.standing("hevc", packet(b"\x00\x01\xaa"), size) == (0, False, ())
        assert bitstreams.standing("hevc", packet(b"\x04\x02\xaa"), size) == (1, False, ())
        assert bitstreams.standing("hevc", packet(b"\x02\x01\xaa"), size) == (0, True, ())
        assert bitstreams.standing("hevc", packet(b"\x44\x01\xaa", b"\x00\x01\xaa"), size) == (
            0,
            True,
            (b"\x44\x01\xaa",),
        )
    assert bitstreams.standing("h264", memoryview(b""), 4) == (0, True, ())
    assert bitstreams.standing("vp9", packet(slice_of_none), 0) == (0, True, ())


def test_a_lower_layer_is_kept_for_the_higher_ones(draw: Draw) -> None:
    index = index_frames(draw("mp4", **LAYERS))
    assert index.kept is not None
    layers = [bitstreams.standing("hevc", memoryview(p), 4) for p in index.kept.packets]
    assert {found.layer for found in layers} == {0, 1}
    spared = {layers[number].layer for number in index.packet[~index.needed]}
    assert spared == {1}
