"""The frames of one file, read as a benchmark reads them, for those who bring a file instead of a benchmark."""

import re
from pathlib import Path
from typing import Literal

from blipvid.core.config import validate
from blipvid.core.errors import DecodeError
from blipvid.core.settings import FrameSettings
from blipvid.core.types import Clip, Frames
from blipvid.inputs import check_clip
from blipvid.media.loader import load_clips

PUBLISHED_FRAMES = 16  # Source: arXiv:2201.12086, section 5.6: frames of a clip for question answering

ADVICE = re.compile(r"[;:,] (?=(replace|fetch|correct|check|set|raise|try|lower) ).*")
"""What the message of a clip without frames advises; it is meant for one clip of a benchmark."""


def read_frames(
    path: str | Path,
    count: int = PUBLISHED_FRAMES,
    size: int = 384,
    *,
    sampler: str | None = None,
    resize: Literal["decoder", "bicubic"] = "decoder",
    backend: str = "auto",
    start_s: float | None = None,
    end_s: float | None = None,
    workers: int = 0,
) -> Frames:
    """Reads the frames of one video or picture, as a benchmark does.

    Args:
        path: The file.
        count: Frames asked for (N).
        size: Side of the square pictures in pixels; the aspect ratio is not kept.
        sampler: Which frames, for instance `blip-compat`, `uniform`, `midpoint`. None takes `blip-compat` of a whole
            file, as benchmarks do, and `uniform` of a window, of which `blip-compat` would take few frames.
        resize: How they are brought to size, see `FrameSettings`.
        backend: `auto`, `decord`, `pyav`, or the name of an announced reader.
        start_s: Begin of the window in seconds; None is the begin of the file.
        end_s: End of the window in seconds; None is the end of the file.
        workers: 0 decodes in this process; 1 in one of its own, which a damaged file may take down instead.

    Returns:
        Pixels (N, size, size, 3) uint8 RGB, frame numbers, times and notes.

    Raises:
        ConfigError: No such file, sampler or reader, or a number that cannot be.
        DecodeError: The file gives no trustworthy frames.
    """
    clip = Clip(Path(path).stem, Path(path), start_s, end_s)
    check_clip(clip)
    windowed = bool(start_s or end_s)
    sampler = sampler or ("uniform" if windowed else "blip-compat")
    asked = {"sampler": sampler, "count": count, "size": size, "resize": resize, "backend": backend}
    settings = validate(FrameSettings, asked, "read_frames")
    ((_, frames),) = load_clips([clip], settings, workers)
    if isinstance(frames, DecodeError):
        what = ADVICE.sub("", str(frames).removeprefix(f"clip '{clip.id}': "))
        other = "another start or end, or another file" if windowed else "another file"
        raise DecodeError(f"{what}; give {other}.") from frames
    return frames
