"""Readers by name, and the choice between them.

`auto` prefers decord; where decord refuses a clip, or would return wrong frames (`decord_reader.distrust`), PyAV reads
that clip and a note says so. Other packages add readers by the entry point group `blipvid.readers`: a callable
`(path, size) -> VideoReader` that raises DecodeError for a file it cannot read.

One difference remains between the two: of damage inside a file that its container does not show, decord may return
pictures patched up by FFmpeg without a word, where PyAV refuses the clip. (The bits of VP8, VP9 and HEVC let neither
tell.)
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from blipvid.core.errors import DecodeError
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


class _DecordElsePyav:
    """decord, until it fails to decode what it agreed to open; PyAV from then on."""

    def __init__(self, reader: VideoReader, spare: Callable[[str], VideoReader]) -> None:
        self._spare = spare
        self._use(reader)

    def _use(self, reader: VideoReader) -> None:
        self._reader = reader
        self.n_frames, self.fps, self.backend, self.notes = reader.n_frames, reader.fps, reader.backend, reader.notes

    def times_s(self, indices: Sequence[int]) -> npt.NDArray[np.float64]:
        return self._reader.times_s(indices)

    def read(self, indices: Sequence[int]) -> npt.NDArray[np.uint8]:
        if self.backend == "decord":
            try:
                return self._reader.read(indices)
            except DecodeError:
                self.close()
                self._use(self._spare("decord fails to decode it"))
        pixels = self._reader.read(indices)
        self._use(self._reader)  # reading may have added a note
        return pixels

    def close(self) -> None:
        self._reader.close()


def _open_auto(path: Path, size: int | None) -> VideoReader:
    from blipvid.media.readers.decord_reader import DecordReader, distrust, import_decord
    from blipvid.media.readers.frame_index import index_frames
    from blipvid.media.readers.pyav_reader import PyavReader

    index = index_frames(path)

    def pyav(why: str) -> VideoReader:
        return PyavReader(index, size, (f"read by PyAV: {why}",))

    if import_decord() is None:
        return pyav("decord is not installed on this machine")
    doubt = distrust(index)
    if doubt:
        return pyav(doubt)
    try:
        reader = DecordReader(index, size)
    except DecodeError:
        return pyav("decord refuses the file")
    if reader.n_frames != len(index.pts):
        reader.close()
        return pyav(f"decord counts {reader.n_frames} frames where there are {len(index.pts)}")
    return _DecordElsePyav(reader, pyav)


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
