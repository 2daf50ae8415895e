"""The reader on PyAV: right on every container, pixels equal to decord's bit for bit.

It feeds the decoder only what the wanted frames need: packets from the nearest key frame on, chosen by number, so that
no seek can miss; without pictures to which no other refers; and nothing after the last one wanted, since a decoder told
of the end gives what it still holds. Each decoded frame must be the one that the frame index expects next. Where it is
not, every packet from the key frames on is fed; and where that misses too, everything is decoded in sequence from the
begin of the file and counted.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt

from blipvid.core.errors import DecodeError
from blipvid.media.readers.frame_index import FrameIndex, open_container, why
from blipvid.media.readers.scaling import RgbConverter

Picture = npt.NDArray[np.uint8]
_ONE_PICTURE_A_PACKET = {"h264", "hevc"}
"""Codings of which a packet holds one picture, or in H.264 one of its two fields, and nothing of another picture. In
MPEG-4 it may bring the next one along."""


class _MissedError(Exception):
    """The decoder gave another frame than the index expects."""


@dataclass(frozen=True, slots=True)
class _Stretch:
    """Packets to be decoded in a row, from a key frame on.

    Attributes:
        begin: Presentation time of the key frame; pictures before it lead an open group and lack the group before.
        left_out: Numbers of packets that are not fed.
        last: Number of the packet after which the decoder is told of the end; None where it is fed on until all wanted
            frames have come out.
        expected: The frames that come out, in this order.
    """

    begin: int
    left_out: frozenset[int]
    last: int | None
    expected: Iterator[int]


class PyavReader:
    """One file, read by PyAV. Holds no file open between calls.

    Args:
        index: The frame index of the file.
        size: Side of the square picture in pixels, or None for the picture as it is.
        notes: What is to be said of the file.
    """

    backend = "pyav"

    def __init__(self, index: FrameIndex, size: int | None, notes: tuple[str, ...] = ()) -> None:
        self.path: Path = index.path
        self.notes = notes
        self.fps = index.fps
        self._index, self._size = index, size
        self._times_s = index.times_s if index.ordered else self._count()
        self.n_frames = len(self._times_s)

    def times_s(self, indices: Sequence[int]) -> npt.NDArray[np.float64]:
        """Returns (N,) seconds from the first frame."""
        return self._times_s[list(indices)]

    def read(self, indices: Sequence[int]) -> Picture:
        """Returns (N, H, W, 3) uint8 RGB frames in the order asked for.

        Raises:
            DecodeError: A frame is damaged or missing.
        """
        wanted = sorted(set(indices))
        found = self._find(wanted)
        missing = [i for i in wanted if i not in found]
        if missing:
            raise DecodeError(
                f"{self.path}: frame {missing[0]} of {self.n_frames} cannot be decoded; the file is damaged or was "
                "cut off: replace it or leave the clip out."
            )
        pictures = [found[i] for i in indices]
        if len({p.shape for p in pictures}) > 1:
            raise DecodeError(f"{self.path}: its picture changes size on the way; ask for a fixed size (frames.size).")
        return np.stack(pictures)

    def close(self) -> None:
        """No file is held open."""

    def _find(self, wanted: Sequence[int]) -> dict[int, Picture]:
        """Decodes as little as can be; where that misses, more."""
        if not self._index.steady:
            self._note("its coding changes on the way, so it was decoded in sequence")
        elif self._index.ordered:
            for sparing in (True, False) if _times_are_of_the_screen(self._index) else (False,):
                try:
                    return self._jump(wanted, sparing=sparing)
                except _MissedError:
                    continue
            self._note("seeking missed, so the file was decoded in sequence")
        return self._go_through(wanted)

    def _note(self, note: str) -> None:
        if note not in self.notes:
            self.notes += (note,)

    def _jump(self, wanted: Sequence[int], *, sparing: bool) -> dict[int, Picture]:
        """Decodes from the nearest key frames only.

        Args:
            wanted: Frames, ascending and distinct.
            sparing: From there on too, only what the wanted frames need.

        Raises:
            _MissedError: The decoder did not give the frames that the index expects.
        """
        index, pending = self._index, list(wanted)[::-1]
        convert, found = RgbConverter(self._size), dict[int, Picture]()
        stretch: _Stretch | None = None

        def take(frames: Iterable[av.VideoFrame], stretch: _Stretch) -> None:
            for frame in frames:
                number = next(stretch.expected, None)
                if number is None or frame.pts != index.pts[number] or frame.is_corrupt:
                    raise _MissedError
                if stretch.last is not None and frame.interlaced_frame:
                    raise _MissedError  # its second field may be a packet that is not fed
                if pending and number == pending[-1]:
                    found[pending.pop()] = convert(frame)

        try:
            with _open_stream(index) as (packets, decoder):
                for number, packet in enumerate(packets):
                    if stretch is None and number == index.key_packet[pending[-1]]:
                        stretch = _plan(index, pending[::-1], sparing=sparing)
                    if stretch is None or number in stretch.left_out:
                        continue
                    if packet.pts is None or packet.pts < stretch.begin:
                        continue
                    take(decoder.decode(packet), stretch)
                    if number == stretch.last:
                        take(decoder.decode(None), stretch)
                        if next(stretch.expected, None) is not None:
                            raise _MissedError
                    if not pending:
                        return found
                    if index.key_packet[pending[-1]] > number:  # what is wanted next begins at a later key frame
                        decoder.flush_buffers()
                        stretch = None
                if stretch is not None:
                    take(decoder.decode(None), stretch)
        except av.FFmpegError as error:
            raise _MissedError from error
        return found

    def _go_through(self, wanted: Sequence[int]) -> dict[int, Picture]:
        """Decodes the file from its begin and counts."""
        found, convert, asked = dict[int, Picture](), RgbConverter(self._size), set(wanted)
        expected = self._index.pts if _times_are_of_the_screen(self._index) and self._index.ordered else None

        def take(number: int, frame: av.VideoFrame) -> bool:
            if expected is not None and frame.pts != expected[number]:
                return False  # a frame was lost on the way, and all that follow would take each other's places
            if number in asked:
                if frame.is_corrupt:
                    return False
                found[number] = convert(frame)
            return number < wanted[-1]

        self._decode_all(take)
        return found

    def _count(self) -> npt.NDArray[np.float64]:
        """Decodes the file once to learn how many frames it gives and when; returns their times."""
        times: list[float] = []

        def take(number: int, frame: av.VideoFrame) -> bool:
            times.append(frame.time if frame.time is not None else -1.0)
            return True

        self._decode_all(take)
        seconds = np.array(times)
        if np.any(np.diff(seconds) <= 0) or np.any(seconds < 0):
            return np.arange(len(times)) / self.fps
        return seconds - seconds[:1]

    def _decode_all(self, take: Callable[[int, av.VideoFrame], bool]) -> None:
        """Decodes from the first key frame on; what a cut has left before it lacks its references."""
        try:
            with _open_stream(self._index, afresh=True) as (packets, decoder):
                for number, frame in enumerate(_frames(islice(packets, self._index.first_key, None), decoder)):
                    if not take(number, frame):
                        break
        except av.FFmpegError as error:
            raise DecodeError(
                f"{self.path}: its frames cannot all be decoded ({why(error)}); the file is damaged: replace it or "
                "leave the clip out."
            ) from error


def _times_are_of_the_screen(index: FrameIndex) -> bool:
    """Tells whether single frames can be told by the times of their packets, without seeing which come out before them.

    AVI and ASF know only the order of the file, and some writers give MP4 no other: times that run with the file may
    not be those of the screen. Where there are no B-frames they are, but then little can be spared.
    """
    return index.coding in _ONE_PICTURE_A_PACKET and bool(np.any(np.diff(index.packet) < 0))


def _plan(index: FrameIndex, wanted: Sequence[int], *, sparing: bool) -> _Stretch:
    """Plans the stretch that gives the first wanted frames, and with it those whose key frame lies within it."""
    key, begin = index.key_packet[wanted[0]], int(index.key_pts[wanted[0]])
    if not sparing:
        return _Stretch(begin, frozenset(), None, iter(range(int(np.searchsorted(index.pts, begin)), len(index.pts))))
    asked, last = np.zeros(len(index.pts), dtype=np.bool_), key
    for frame in wanted:
        if index.key_packet[frame] > last:
            break
        asked[frame], last = True, max(last, index.packet[frame])
    within = (index.packet >= key) & (index.packet <= last) & (index.pts >= begin)
    fed = within & (index.needed | asked)
    left_out = frozenset(index.packet[within & ~fed].tolist())
    return _Stretch(begin, left_out, int(last), iter(np.flatnonzero(fed).tolist()))


@contextmanager
def _open_stream(
    index: FrameIndex, *, afresh: bool = False
) -> "Iterator[tuple[Iterable[av.Packet[av.VideoStream]], av.VideoCodecContext]]":
    """Yields the whole packets of a stream, numbered as in the index, and a decoder with nothing in it."""
    if index.kept and not afresh:
        index.kept.decoder.flush_buffers()
        yield index.kept.packets, _set_up(index.kept.decoder)
        return
    container = open_container(index.path)
    try:
        stream = next(s for s in container.streams.video if s.index == index.stream)
        whole = islice((p for p in container.demux(stream) if p.size), index.n_packets)
        yield whole, _set_up(stream.codec_context)
    finally:
        container.close()


def _set_up(decoder: av.VideoCodecContext) -> av.VideoCodecContext:
    """Asks for one thread, since clips are decoded side by side, and for errors in place of pictures patched up."""
    if not decoder.is_open:
        decoder.thread_count = 1
        decoder.options = {"err_detect": "explode"}
    return decoder


def _frames(packets: "Iterable[av.Packet[av.VideoStream]]", decoder: av.VideoCodecContext) -> Iterator[av.VideoFrame]:
    for packet in packets:
        yield from decoder.decode(packet)
    yield from decoder.decode(None)
