"""Does PyAV give decord's pixels, byte for byte? Of this file, at this size, on this machine.

The scaler belongs to the FFmpeg inside the PyAV wheel; another build may round otherwise. So each process asks it once:
a few drawn pictures must become the ones that decord makes of them.
"""

from functools import cache
from hashlib import sha256

import av
import numpy as np

from blipvid.media.readers.frame_index import FrameIndex
from blipvid.media.readers.scaling import RgbConverter

_EXACT = {"h264", "hevc", "vp8", "vp9", "av1", "ffv1"}
"""Codings whose standards define every pixel. The inverse transforms of MPEG-1, -2 and -4, H.263, WMV and JPEG may
round, and FFmpeg's do so otherwise today than in decord's time: few values differ, by few grey levels."""

_PROVEN = {"yuv420p", "yuvj420p", "yuv422p", "yuvj422p", "yuv444p", "yuvj444p", "gray", "gbrp"}
_PROVEN_SCALED = _PROVEN | {"yuv420p10le", "yuv422p10le", "yuv444p10le"}
DRAWN = ("yuv420p", "yuv422p", "yuv444p", "yuv420p10le")
DRAWN_WIDTH, DRAWN_HEIGHT = 160, 96
SIDES = (64, 224)
DIGEST = "673d745e861d504b9ca30372c00739d3e90c9f77662ce9187201a8112713e74e"
"""Of the drawn pictures at both sides in turn. Source: decord 0.6.0 on the same pictures, coded without loss."""


def unlike_decord(index: FrameIndex, size: int | None) -> str | None:
    """Says why PyAV's pixels may differ from decord's by some grey levels, or None where they are the same.

    Args:
        index: The frame index of the file.
        size: Side of the square picture in pixels, or None for the picture as it is.

    Returns:
        A clause for a note.
    """
    if not scales_as_decord():
        return "PyAV scales otherwise than decord on this machine"
    if index.coding not in _EXACT:
        return f"PyAV is not known to give decord's pixels of {index.coding}"
    if index.pixel_format not in (_PROVEN if size is None else _PROVEN_SCALED):
        return f"PyAV is not known to give decord's pixels of {index.pixel_format}"
    if size is None and (index.width % 2 or index.height % 2):
        return "PyAV gives other pixels than decord of pictures with an odd side"
    if index.width != index.height and size in (index.width, index.height):  # which is which, only rotation tells
        return f"PyAV gives other pixels than decord where only one side of the picture is {size} already"
    return None


@cache
def scales_as_decord() -> bool:
    """Tells whether the scaler of this machine's PyAV makes of drawn pictures what decord makes of them."""
    found = sha256()
    for side in SIDES:
        for pixel_format in DRAWN:
            found.update(RgbConverter(side)(draw_picture(pixel_format)).tobytes())
    return found.hexdigest() == DIGEST


def draw_picture(pixel_format: str) -> av.VideoFrame:
    """Draws ramps and edges into the planes of a picture, the same on every machine."""
    frame = av.VideoFrame(DRAWN_WIDTH, DRAWN_HEIGHT, pixel_format)
    sample, high = (np.uint16, 4) if frame.format.components[0].bits > 8 else (np.uint8, 1)
    for number, plane in enumerate(frame.planes):
        y, x = np.indices((plane.height, plane.width))
        drawn = 16 + (x * (3 + number) + y * (5 - number) + 40 * ((x // 7 + y // 5) % 3)) % 220
        room = np.frombuffer(memoryview(plane), sample).reshape(plane.height, -1)
        room[:, : plane.width] = drawn * high
    return frame
