"""Readers by name, and the choice between them.

`auto` gives decord's pixels of the right frames by the quicker reader. That is PyAV, which decodes less: wherever its
pixels are decord's byte for byte (`likeness.unlike_decord`), and wherever decord would return wrong frames
(`decord_reader.distrust`), which a note says. Else it is decord, where that is installed and reads the clip. Other
packages add readers by the entry point group `blipvid.readers`: a callable `(path, size) -> VideoReader` that raises
DecodeError for a file it cannot read.

One difference remains between the two: of damage inside a file that its container does not show, decord may return
pictures patched up by FFmpeg without a word, where PyAV refuses the clip. (The bits of VP8, VP9 and HEVC let neither
tell.) `auto` then takes decord's, and a note says so.
"""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from blipvid.core.errors import ConfigError, DecodeError
from blipvid.core.protocols import VideoReader
from blipvid.core.registry import Registry

OpenReader = Callable[[Path, int | None], VideoReader]


def open_video(path: Path, *, backend: str = "auto", size: int | None = None) -> VideoReader:
    """Opens a media file; the caller closes the reader.

    Args:
        path: The file.
        backend: `auto`, `decord`, `pyav`, or the name of an announced reader.
        size: Side of the square picture in pixels, scaled as decord does; None for the picture as it is.

    Returns:
        A reader with at least one frame.

    Raises:
        DecodeError: The file is missing, or gives no trustworthy frames.
        ConfigError: Unknown backend, or decord by name where it is not installed.
    """
    path = Path(path)
    opener = READERS.get(backend)
    try:
        empty = path.stat().st_size == 0
    except OSError as error:
        raise DecodeError(
            f"{path}: cannot be read ({(error.strerror or 'unknown reason').lower()}); check the media folder."
        ) from error
    if not path.is_file():
        raise DecodeError(f"{path}: is a folder, not a media file; check the media pattern.")
    if empty:
        raise DecodeError(f"{path}: is empty (0 bytes); fetch the file again or leave the clip out.")
    return opener(path, size)


class _OneElseOther:
    """A reader, until it fails to decode what it agreed to open; another from then on."""

    def __init__(self, reader: VideoReader, other: Callable[[], VideoReader]) -> None:
        self._other = other
        self._use(reader)

    def _use(self, reader: VideoReader) -> None:
        self._reader = reader
        self.n_frames, self.fps, self.backend, self.notes = reader.n_frames, reader.fps, reader.backend, reader.notes

    def times_s(self, indices: Sequence[int]) -> npt.NDArray[np.float64]:
        return self._reader.times_s(indices)

    def read(self, indices: Sequence[int]) -> npt.NDArray[np.uint8]:
        reader = self._reader
        try:
            pixels = reader.read(indices)
        except DecodeError as error:
            reader, pixels = self._read_by_other(indices, error)
        self._use(reader)  # reading may have added a note
        return pixels

    def _read_by_other(self, indices: Sequence[int], error: DecodeError) -> tuple[VideoReader, npt.NDArray[np.uint8]]:
        """Raises PyAV's error where neither reads it; decord's would advise to ask PyAV."""
        try:
            other = self._other()
            pixels = other.read(indices)
        except (DecodeError, ConfigError) as second:
            raise (error if self.backend == "pyav" else second) from None
        self.close()
        return other, pixels

    def close(self) -> None:
        self._reader.close()


def _open_auto(path: Path, size: int | None) -> VideoReader:
    from blipvid.media.readers.decord_reader import DecordReader, distrust, import_decord
    from blipvid.media.readers.frame_index import index_frames
    from blipvid.media.readers.likeness import unlike_decord
    from blipvid.media.readers.pyav_reader import PyavReader

    index = index_frames(path)

    def by_pyav(*notes: str) -> VideoReader:
        return PyavReader(index, size, notes)

    def by_decord(*notes: str) -> VideoReader:
        reader = DecordReader(index, size, notes)
        if reader.n_frames != len(index.pts):
            reader.close()
            raise DecodeError(f"{path}: decord counts {reader.n_frames} frames where there are {len(index.pts)}.")
        return reader

    doubt = distrust(index)
    if doubt:
        return by_pyav(f"read by PyAV: {doubt}")
    unlike = unlike_decord(index, size)
    if unlike is None:
        return _OneElseOther(by_pyav(), partial(by_decord, "read by decord, perhaps patched up: PyAV finds it damaged"))
    if import_decord() is None:
        return by_pyav(f"read by PyAV: decord is not installed on this machine; {unlike}")
    try:
        reader = by_decord()
    except DecodeError:
        return by_pyav(f"read by PyAV: decord refuses the file; {unlike}")
    return _OneElseOther(reader, partial(by_pyav, f"read by PyAV: decord fails to decode it; {unlike}"))


def _open_decord(path: Path, size: int | None) -> VideoReader:
    from blipvid.media.readers.decord_reader import DecordReader, distrust
    from blipvid.media.readers.frame_index import index_frames

    index = index_frames(path)
    doubt = distrust(index)
    return DecordReader(index, size, (f"warning: {doubt}; 'backend: auto' reads it right",) if doubt else ())


def _open_pyav(path: Path, size: int | None) -> VideoReader:
    from blipvid.media.readers.frame_index import index_frames
    from blipvid.media.readers.pyav_reader import PyavReader

    return PyavReader(index_frames(path), size)


READERS: Registry[OpenReader] = Registry(
    "blipvid.readers", "reader", {"auto": _open_auto, "decord": _open_decord, "pyav": _open_pyav}
)
