"""The reader on decord, what the official evaluation uses; and when its frames cannot be trusted.

Drawn trials with decord 0.6.0 (every frame carries its number; several key frames; frames asked for out of the whole
length) gave this picture. Right: MP4, MOV, 3GP, F4V, Matroska, WebM (VP8, VP9) and FLV, at constant and variable rate,
as long as every key frame is a clean start. Silently wrong frames:

- H.264 and MPEG-2 in AVI (the container of MSVD), H.264 and WMV in ASF/WMV, MPEG-1/2 in program streams (.mpg, .vob),
  H.264 and MPEG-2 in MPEG-TS. MPEG-4, MJPEG, VP8 and other codings without reordering are right in AVI.
- Open groups of pictures in any container: B-frames that follow a key frame in the file and precede it on the screen
  (MPEG-2 and MPEG-4 with B-frames, x265 by default, H.264 where asked for).
- H.264 with intra refresh, where key frames do not restart the decoder.
- MP4 whose edit list hides frames that are decoded, and files that begin between two key frames.

- MXF whose index was cut off with the end of the file.

Refused with an error: raw streams, Ogg, GIF, AV1, WebM and Matroska without duration, widths such as 1 and 48.
"""

import re
from collections.abc import Sequence
from types import ModuleType

import numpy as np
import numpy.typing as npt

from blipvid.core.errors import ConfigError, DecodeError
from blipvid.media.readers.frame_index import FrameIndex

_SEEKS_RIGHT = {"mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm", "avi", "flv"}
_SEEKS_WRONG = {"mpegts", "mpeg", "asf"}
_RIGHT_IN_AVI = {"mpeg4", "msmpeg4v1", "msmpeg4v2", "msmpeg4v3", "mjpeg", "ffv1", "huffyuv", "wmv1", "wmv2", "vp8"}


def distrust(index: FrameIndex) -> str | None:
    """Says why decord would return wrong frames of a file, or None where it returns the right ones.

    Args:
        index: The frame index of the file.

    Returns:
        A clause for a note, for instance `decord returns wrong frames of h264 in avi`.
    """
    if index.container in _SEEKS_WRONG or (index.container == "avi" and index.coding not in _RIGHT_IN_AVI):
        return f"decord returns wrong frames of {index.coding} in {index.container} files"
    if index.container not in _SEEKS_RIGHT:
        return f"decord is not known to read {index.container} files right"
    if not index.steady:
        return "decord may return wrong frames where the coding changes on the way"
    if not index.clean_keys:
        return "decord returns wrong frames where decoding cannot begin anew at every key frame"
    return None


def import_decord() -> ModuleType | None:
    """Returns the package, silenced, or None where it has no wheel for this machine."""
    try:
        import decord
    except (ImportError, OSError, RuntimeError):  # the wheel is absent, or its library does not load
        return None
    decord.logging.set_level(decord.logging.QUIET)
    return decord


class DecordReader:
    """One file, read by decord with one thread.

    Args:
        index: The frame index of the file.
        size: Side of the square picture in pixels, or None for the picture as it is.
        notes: What is to be said of the file.

    Raises:
        DecodeError: decord refuses the file.
        ConfigError: decord is not installed.
    """

    backend = "decord"

    def __init__(self, index: FrameIndex, size: int | None, notes: tuple[str, ...] = ()) -> None:
        decord = import_decord()
        if decord is None:
            raise ConfigError("decord is not installed on this machine; set frames.backend to 'auto' or 'pyav'.")
        self.path, self.notes, self._times_s = index.path, notes, index.times_s
        side = -1 if size is None else size
        self._failures = (decord.DECORDError, RuntimeError, AssertionError)
        try:
            self._reader = decord.VideoReader(str(index.path.absolute()), width=side, height=side, num_threads=1)
            self.fps = float(self._reader.get_avg_fps())
        except self._failures as error:
            raise self._refusal(error) from error
        self.n_frames = len(self._reader)

    def times_s(self, indices: Sequence[int]) -> npt.NDArray[np.float64]:
        """Returns (N,) seconds from the first frame."""
        if len(self._times_s) == self.n_frames:
            return self._times_s[list(indices)]
        begins = self._reader.get_frame_timestamp(range(self.n_frames))[:, 0].astype(np.float64)
        return (begins - begins[0])[list(indices)]

    def read(self, indices: Sequence[int]) -> npt.NDArray[np.uint8]:
        """Returns (N, H, W, 3) uint8 RGB frames in the order asked for.

        Raises:
            DecodeError: decord cannot decode them.
        """
        wanted, places = np.unique(np.asarray(indices, dtype=np.int64), return_inverse=True)
        try:
            pixels = self._reader.get_batch(wanted).asnumpy()
        except self._failures as error:
            raise self._refusal(error) from error
        return pixels[places]

    def close(self) -> None:
        """Frees the decoder and its buffers."""
        self._reader = None

    def _refusal(self, error: Exception) -> DecodeError:
        return DecodeError(
            f"{self.path}: decord cannot decode it ({_first_sentence(error)}); set frames.backend to 'auto' or 'pyav', "
            "replace the file or leave the clip out."
        )


def _first_sentence(error: Exception) -> str:
    """Keeps what decord says, without time stamps, source lines of its C++ code, file name and stack trace."""
    text = str(error).strip().split("\n")[0]
    text = re.sub(r"\[\d\d:\d\d:\d\d\] \S+?:\d+: ?", "", text)
    text = re.sub(r"Check failed: .*? \(\S+ vs\. \S+\) ?", "", text)
    text = re.sub(r"^\[[^]]*\] ", "", text).split("Stack trace")[0].strip(" .!:")
    text = re.sub(r"(?<=Error reading ).*", "the file", text)
    text = text if text[:2].isupper() else text[:1].lower() + text[1:]  # an abbreviation stays as it is
    return text[:160] or type(error).__name__
