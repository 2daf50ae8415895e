"""Frames from a decoding process to the one that asked for them: their pixels go through a file.

A pipe would carry the 3.5 MB of a clip in pieces of 64 KB, each waiting for the other side: that took four times the
processor time, most of it in the process that feeds the model. The file never grows old enough to be written to a disk.
"""

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from blipvid.core.types import Frames


@dataclass(frozen=True, slots=True)
class Parcel:
    """Frames whose pixels lie in a file.

    Attributes:
        path: (N, H, W, 3) uint8, nothing else.
        shape: N, H, W, 3.
        rest: The frames, with pictures of no size.
    """

    path: Path
    shape: tuple[int, ...]
    rest: Frames


def pack(frames: Frames, folder: Path) -> Parcel | Frames:
    """Puts the pixels into a file in a folder; where that has no room, the frames stay as they are."""
    try:
        with tempfile.NamedTemporaryFile(dir=folder, delete=False) as file:
            file.write(np.ascontiguousarray(frames.pixels).data)
    except OSError:
        return frames
    nothing = np.empty((len(frames.indices), 0, 0, 3), np.uint8)
    return Parcel(Path(file.name), frames.pixels.shape, replace(frames, pixels=nothing))


def unpack(parcel: Parcel) -> Frames:
    """Takes the pixels out of the file, which then is gone."""
    pixels = np.fromfile(parcel.path, np.uint8).reshape(parcel.shape)
    parcel.path.unlink()
    return replace(parcel.rest, pixels=pixels)
