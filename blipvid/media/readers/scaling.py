"""Decoded pictures to square RGB as decord makes them, bit for bit: FFmpeg's scaler, fed the way decord feeds it.

Equal at every size but for 4:2:0 pictures whose height, and not width, is the size asked for: there FFmpeg 4 moves
chroma by half a row (about one pixel in fifty differs). Without a size, a few grey levels differ where the width is odd
or samples have more than 8 bits. Not the resizing of still pictures: that is PIL's, in `transforms.py`.
"""

import av
import numpy as np
import numpy.typing as npt
from av.video.reformatter import VideoReformatter


class RgbConverter:
    """Scales decoded frames to RGB in one bilinear step from their YUV planes; keeps the scaler from frame to frame.

    decord's FFmpeg 4 ignores where chroma samples sit, newer FFmpeg does not: a fresh frame with the same planes has
    lost that information. Rotation comes before scaling, as in decord's filter chain.

    Args:
        size: Side of the square picture in pixels, or None for the picture as it is.
    """

    def __init__(self, size: int | None) -> None:
        self._size, self._scaler = size, VideoReformatter()

    def __call__(self, frame: av.VideoFrame) -> npt.NDArray[np.uint8]:
        """Returns (H, W, 3) uint8 RGB."""
        # parity: one bilinear step from YUV; test_both_readers_give_the_same_pixels
        scaled = self._scaler.reformat(
            _upright(frame), width=self._size, height=self._size, format="rgb24", interpolation="BILINEAR"
        )
        return scaled.to_ndarray().astype(np.uint8, copy=False)


def _upright(frame: av.VideoFrame) -> av.VideoFrame:
    """Returns a frame turned as its rotation says and with no mark of where its chroma samples sit."""
    turns = frame.rotation // 90 % 4 if frame.rotation % 90 == 0 else 0
    layout = frame.format
    if len({c.plane for c in layout.components}) < len(layout.components) or layout.has_palette:  # packed
        plain = frame.reformat(format="gbrp" if layout.is_rgb else "yuv444p") if turns else frame
    else:
        plain = _turn(frame, 0)
    if turns % 2 and _chroma_is_oblong(layout):
        # FFmpeg turns no such planes either: its filter chain fills the chroma planes up first.
        depth = layout.components[0].bits
        full = "yuv444p" if depth == 8 else f"yuv444p{depth}le"
        plain = plain.reformat(format=full, interpolation="BILINEAR")
    return _turn(plain, turns) if turns else plain


def _turn(frame: av.VideoFrame, turns: int) -> av.VideoFrame:
    """Copies the planes into a fresh frame, turned by `turns` quarters against the clock."""
    width, height = (frame.height, frame.width) if turns % 2 else (frame.width, frame.height)
    fresh = av.VideoFrame(width, height, frame.format.name)
    fresh.colorspace, fresh.color_range = frame.colorspace, frame.color_range
    sample: type[np.unsignedinteger] = np.uint16 if frame.format.components[0].bits > 8 else np.uint8
    for source, target in zip(frame.planes, fresh.planes, strict=True):
        pixels = np.frombuffer(memoryview(source), sample).reshape(source.height, -1)[:, : source.width]
        room = np.frombuffer(memoryview(target), sample).reshape(target.height, -1)[:, : target.width]
        room[:] = np.rot90(pixels, turns)
    return fresh


def _chroma_is_oblong(layout: av.VideoFormat) -> bool:
    chroma = [c for c in layout.components if c.is_chroma]
    return any(round(layout.width / c.width) != round(layout.height / c.height) for c in chroma)
