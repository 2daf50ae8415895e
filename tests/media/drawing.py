"""Draws small clips whose pixels say which frame they are, so that a test can read back what a reader returned.

The upper part of each picture is a barcode of black and white bars, the frame number in binary; below it a grey ramp
and a coloured block move, so that frames depend on each other as those of real clips do.
"""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt

BITS = 10


def draw_frame(number: int, width: int, height: int) -> npt.NDArray[np.uint8]:
    """Returns (height, width, 3) uint8 RGB with `number` in its bars."""
    picture = np.empty((height, width, 3), np.uint8)
    across = np.linspace(0, 160, width)
    picture[:] = (40 + (across + 3 * number) % 160)[None, :, None]
    bars = np.array([number >> bit & 1 for bit in range(BITS)])
    picture[: height * 2 // 3] = 255 * bars[np.arange(width) * BITS // width][None, :, None]
    left = (number * 5) % max(1, width - width // 4)
    picture[height * 3 // 4 :, left : left + width // 4] = (200, 60, 30 + number * 7 % 200)
    return picture


def read_number(picture: npt.NDArray[np.uint8]) -> int:
    """Returns the frame number that the bars of (H, W, 3) uint8 RGB spell."""
    height, width = picture.shape[:2]
    middles = (np.arange(BITS) * 2 + 1) * width // (2 * BITS)
    level = picture[height // 6 : height // 2, middles].mean(axis=(0, 2))
    return int(sum(1 << bit for bit in range(BITS) if level[bit] > 127))


def read_numbers(pixels: npt.NDArray[np.uint8]) -> list[int]:
    """Returns the frame numbers of (N, H, W, 3) uint8 RGB."""
    return [read_number(picture) for picture in pixels]


def draw_clip(
    path: Path,
    n_frames: int = 30,
    *,
    codec: str = "libx264",
    width: int = 160,
    height: int = 96,
    fps: int = 25,
    gop: int = 12,
    b_frames: int = 0,
    pix_fmt: str = "yuv420p",
    rotation: int = 0,
    full_range: bool = False,
    container: str | None = None,
    mux_options: dict[str, str] | None = None,
    codec_options: dict[str, str] | None = None,
    ticks: Sequence[int] | None = None,
) -> Path:
    """Encodes frames 0..n_frames-1 into one file.

    Args:
        path: Where to; the ending chooses the container unless `container` names it.
        n_frames: Frames, at most 1024.
        codec: FFmpeg's name of an encoder.
        width: Pixels across.
        height: Pixels down.
        fps: Frames a second.
        gop: Frames from one key frame to the next.
        b_frames: Longest run of B-frames.
        pix_fmt: FFmpeg's name of a pixel format.
        rotation: Degrees in the display matrix.
        full_range: Luma over 0 to 255, marked so.
        container: FFmpeg's name of a muxer.
        mux_options: Options of the muxer, for instance `{"movflags": "faststart"}`.
        codec_options: Options of the encoder.
        ticks: For each frame its time in units of 1/fps, for a variable rate; default 0, 1, 2, ...

    Returns:
        The path.
    """
    options = {"g": str(gop), "bf": str(b_frames)}
    if codec == "libx264":
        options |= {"preset": "veryfast", "sc_threshold": "0", "crf": "18"}
    elif codec in {"libvpx", "libvpx-vp9"}:
        options |= {"deadline": "realtime", "cpu-used": "8", "b": "800k"}
    else:
        options |= {"b": "1500k"}
    with av.open(str(path), "w", format=container, options=mux_options or {}) as file:
        stream = file.add_stream(codec, rate=fps, options=options | (codec_options or {}))
        stream.width, stream.height, stream.pix_fmt = width, height, pix_fmt
        stream.codec_context.time_base = Fraction(1, fps)
        stream.codec_context.thread_count = 1
        if full_range:
            stream.codec_context.color_range = 2
        if rotation:
            stream.set_display_rotation(rotation)
        for number in range(n_frames):
            drawn = av.VideoFrame.from_ndarray(draw_frame(number, width, height), format="rgb24")
            frame = drawn.reformat(format=pix_fmt, dst_color_range=2 if full_range else None)
            frame.pts = ticks[number] if ticks else number
            frame.time_base = Fraction(1, fps)
            file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    return path
