"""The reader on PyAV: right on every container, pixels equal to decord's bit for bit.

It feeds the decoder only what the wanted frames need: from the nearest key frame before each on, chosen by number from
the packets of a second pass over the file, so that no seek can miss. Each decoded frame must be the one that the frame
index expects next; where it is not, everything is decoded in sequence from the begin of the file and counted.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt

from blipvid.core.errors import DecodeError
from blipvid.media.readers.frame_index import FrameIndex, open_container, why
from blipvid.media.readers.scaling import RgbConverter

Picture = npt.NDArray[np.uint8]


class _MissedError(Exception):
    """The decoder gave another frame than the index expects."""


class PyavReader:
    """One file, read by PyAV. Holds nothing open between calls.

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
        try:
            found = self._jump(wanted) if self._index.ordered else self._go_through(wanted)
        except _MissedError:
            self.notes += ("seeking missed, so the file was decoded in sequence",)
            found = self._go_through(wanted)
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
        """Nothing is held open."""

    def _jump(self, wanted: Sequence[int]) -> dict[int, Picture]:
        """Decodes from the nearest key frames only.

        Raises:
            _MissedError: The decoder did not give the frames that the index expects.
        """
        index, pending = self._index, list(wanted)[::-1]
        convert, found = RgbConverter(self._size), dict[int, Picture]()
        begin: int | None = None  # time of the key frame from which packets are fed; None while none are
        expected = 0  # number of the frame that the decoder must give next

        def take(frame: av.VideoFrame) -> None:
            nonlocal expected
            place = int(np.searchsorted(index.pts, frame.pts)) if frame.pts is not None else len(index.pts)
            if place != expected or place == len(index.pts) or index.pts[place] != frame.pts or frame.is_corrupt:
                raise _MissedError
            if pending and place == pending[-1]:
                found[pending.pop()] = convert(frame)
            expected = place + 1

        container = open_container(self.path)
        try:
            stream, decoder = _stream_and_decoder(container, index.stream)
            for number, packet in enumerate(_packets(container, stream, index)):
                if begin is None and number == index.key_packet[pending[-1]]:
                    begin = int(index.key_pts[pending[-1]])
                    expected = int(np.searchsorted(index.pts, begin))
                if begin is None or packet.pts is None or packet.pts < begin:
                    continue  # not needed, or a picture that leads an open group and lacks the group before it
                for frame in decoder.decode(packet):
                    take(frame)
                if not pending:
                    return found
                if index.key_packet[pending[-1]] > number:  # what is wanted next begins at a later key frame
                    decoder.flush_buffers()
                    begin = None
            for frame in decoder.decode(None):
                take(frame)
        except av.FFmpegError as error:
            raise _MissedError from error
        finally:
            container.close()
        return found

    def _go_through(self, wanted: Sequence[int]) -> dict[int, Picture]:
        """Decodes the file from its begin and counts."""
        found, convert, asked = dict[int, Picture](), RgbConverter(self._size), set(wanted)

        def take(number: int, frame: av.VideoFrame) -> bool:
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
        container = open_container(self.path)
        try:
            stream, decoder = _stream_and_decoder(container, self._index.stream)
            for number, frame in enumerate(_frames(container, stream, decoder, self._index)):
                if not take(number, frame):
                    break
        except av.FFmpegError as error:
            raise DecodeError(
                f"{self.path}: its frames cannot all be decoded ({why(error)}); the file is damaged: replace it or "
                "leave the clip out."
            ) from error
        finally:
            container.close()


def _stream_and_decoder(
    container: av.container.InputContainer, number: int
) -> tuple[av.VideoStream, av.VideoCodecContext]:
    """Asks for one thread, since clips are decoded side by side, and for errors in place of pictures patched up."""
    stream = next(s for s in container.streams.video if s.index == number)
    decoder = stream.codec_context
    decoder.thread_count = 1
    decoder.options = {"err_detect": "explode"}
    return stream, decoder


def _packets(
    container: av.container.InputContainer, stream: av.VideoStream, index: FrameIndex
) -> "Iterator[av.Packet[av.VideoStream]]":
    """Yields the whole packets of a stream, numbered as in the index."""
    return islice((p for p in container.demux(stream) if p.size), index.n_packets)


def _frames(
    container: av.container.InputContainer, stream: av.VideoStream, decoder: av.VideoCodecContext, index: FrameIndex
) -> Iterator[av.VideoFrame]:
    """Decodes from the first key frame on; what a cut has left before it lacks its references."""
    for packet in islice(_packets(container, stream, index), index.first_key, None):
        yield from decoder.decode(packet)
    yield from decoder.decode(None)
