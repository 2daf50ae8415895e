"""Which frames of a clip are taken: samplers by name, and the one door that applies them.

Samplers are pure functions `(n_frames, count, window) -> frame numbers`; a window is a half-open range of frames. A
sampler that needs more asks for it by naming a keyword: `generator` (a seeded numpy Generator) or `frames_per_take`
(file rate over the rate asked for, in frames). Samplers of other packages (entry points `blipvid.samplers`) follow
the same rule.

All of them return ascending frame numbers. Where a clip, or its window, has fewer frames than asked for, frames
repeat, but for two: `blip-compat` follows the released code, which then repeats the first frame, and `fps` takes fewer.
"""

import hashlib
import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

from blipvid.core.errors import ConfigError, DecodeError
from blipvid.core.registry import Registry
from blipvid.core.settings import FrameSettings
from blipvid.core.types import Clip

Window = tuple[int, int]


def blip_compat(n_frames: int, count: int, window: Window | None = None) -> list[int]:
    """Takes frames as the released BLIP code does, its truncated stride included.

    900 frames, 8 asked: stride 112 (not 112.5), so 0, 112, ..., 784. The stride comes from the length of the whole
    clip even inside a window, so a window gives fewer frames than `count`; some pairs of length and count give one
    more (17 frames, 7 asked: 8 indices); a clip shorter than `count` gives its first frame again and again.

    Args:
        n_frames: Length of the clip.
        count: Frames asked for.
        window: Half-open range of frames, or None for the whole clip.

    Returns:
        Frame numbers; their number is not always `count`.

    Source: salesforce/BLIP data/video_dataset.py, `load_video_from_path_decord`.
    """
    start, end = window or (0, n_frames)
    # parity: an integer dtype makes numpy truncate the step; test_blip_compat_gives_every_recorded_row
    return [int(i) for i in np.arange(start, end, n_frames / count, dtype=int)]


def uniform(n_frames: int, count: int, window: Window | None = None) -> list[int]:
    """Takes frames at equal steps from the first on, each position rounded down by itself (the LAVIS rule).

    300 frames, 8 asked: 0, 37, 75, ..., 262. LAVIS lowers `count` to the length of short clips; here frames repeat.

    Source: salesforce/LAVIS lavis/datasets/data_utils.py, `load_video`; the surplus element that floating point can
    give numpy's arange is cut off.
    """
    start, end = window or (0, n_frames)
    return [int(i) for i in np.arange(start, end, (end - start) / count)[:count]]


def midpoint(n_frames: int, count: int, window: Window | None = None) -> list[int]:
    """Takes the middle frame of each of `count` equal segments (the TSN test rule)."""
    start, end = window or (0, n_frames)
    return [start + (2 * i + 1) * (end - start) // (2 * count) for i in range(count)]


def endpoints(n_frames: int, count: int, window: Window | None = None) -> list[int]:
    """Takes the first and the last frame and others at equal steps between, rounded down; one asked: the first."""
    start, end = window or (0, n_frames)
    return [start + i * (end - start - 1) // max(1, count - 1) for i in range(count)]


def head_tail(n_frames: int, count: int, window: Window | None = None, *, generator: np.random.Generator) -> list[int]:
    """Draws half of the frames from the first half of the clip and half from the second, each sorted.

    Random, as in the official code, but from a generator seeded by the settings and the clip's id. With an odd count
    the second half gives one more (the official code would give one less in all).

    Source: salesforce/BLIP data/video_dataset.py, `headtail`.
    """
    start, end = window or (0, n_frames)
    middle = start + (end - start) // 2
    if middle == start:
        return [start] * count
    return [*_draw(start, middle, count // 2, generator), *_draw(middle, end, count - count // 2, generator)]


def random_sorted(
    n_frames: int, count: int, window: Window | None = None, *, generator: np.random.Generator
) -> list[int]:
    """Draws frames without replacement and sorts them.

    Source: salesforce/BLIP data/video_dataset.py, `rand`; the generator is seeded by the settings and the clip's id.
    """
    start, end = window or (0, n_frames)
    return _draw(start, end, count, generator)


def frame_rate(n_frames: int, count: int, window: Window | None = None, *, frames_per_take: float) -> list[int]:
    """Takes frames at a fixed rate from the first on, none twice.

    Where that would be more than `count`, `count` frames spread evenly over the whole window are taken instead, so
    that the end of a long clip is seen.
    """
    start, end = window or (0, n_frames)
    step = max(1.0, frames_per_take)
    taken = [int(i) for i in np.arange(start, end, step) if i < end]
    return taken if len(taken) <= count else uniform(n_frames, count, window)


def _draw(start: int, end: int, count: int, generator: np.random.Generator) -> list[int]:
    if end - start < count:
        return [start + i * (end - start) // count for i in range(count)]
    return sorted(start + int(i) for i in generator.choice(end - start, size=count, replace=False))


SAMPLERS: Registry[Callable[..., list[int]]] = Registry(
    "blipvid.samplers",
    "sampler",
    {
        "blip-compat": blip_compat,
        "uniform": uniform,
        "midpoint": midpoint,
        "endpoints": endpoints,
        "head-tail": head_tail,
        "random": random_sorted,
        "fps": frame_rate,
    },
)


def draws(sampler: str) -> bool:
    """Says whether a sampler takes frames by chance, which differ from one clip's id to another's.

    Raises:
        ConfigError: Unknown sampler.
    """
    return "generator" in inspect.signature(SAMPLERS.get(sampler)).parameters


def sample(settings: FrameSettings, n_frames: int, fps: float, clip: Clip) -> list[int]:
    """Chooses the frames of one clip.

    Args:
        settings: Sampler, count, seed, rate and the policy for short clips.
        n_frames: Frames in the file.
        fps: Mean frames a second of the file, for windows and the sampler `fps`.
        clip: Id and window.

    Returns:
        Ascending frame numbers in range(n_frames), at least one.

    Raises:
        DecodeError: The file has no frames, the window is empty or beyond the end of the file, or the clip is short
            and `short: error` is set.
        ConfigError: Unknown sampler, or an announced sampler returned frames that do not exist.
    """
    if n_frames < 1:
        raise DecodeError(f"clip '{clip.id}': {clip.path}: holds no frames; replace the file or leave the clip out.")
    sampler = SAMPLERS.get(settings.sampler)
    window = window_in_frames(clip, n_frames, fps)
    length = window[1] - window[0] if window else n_frames
    if settings.short == "error" and settings.sampler != "fps" and length < settings.count:
        raise DecodeError(
            f"clip '{clip.id}': {clip.path}: has {length} frames where {settings.count} are asked for; "
            "set frames.short to 'sampler' to let frames repeat, or lower frames.count."
        )
    offered: dict[str, Any] = {
        "generator": _generator(settings.seed, clip.id),
        "frames_per_take": fps / settings.rate_fps if settings.rate_fps else None,
    }
    asked = inspect.signature(sampler).parameters
    indices = sampler(n_frames, settings.count, window, **{k: v for k, v in offered.items() if k in asked})
    if not indices or min(indices) < 0 or max(indices) >= n_frames:
        raise ConfigError(
            f"sampler '{settings.sampler}' returned {list(indices)[:8]} for clip '{clip.id}' of {n_frames} frames; "
            "a sampler returns at least one frame number, all in range(n_frames)."
        )
    return [int(i) for i in indices]


def window_in_frames(clip: Clip, n_frames: int, fps: float) -> Window | None:
    """Turns a clip's window in seconds into frames, by the official rule: min(int(seconds * fps), length).

    Args:
        clip: Id and window.
        n_frames: Frames in the file.
        fps: Mean frames a second of the file.

    Returns:
        Half-open range of frames, or None where the clip has no window. As in the official code a window of 0 to 0
        is no window.

    Raises:
        DecodeError: The window is empty or begins beyond the end of the file.

    Source: salesforce/BLIP data/video_dataset.py.
    """
    if not clip.start_s and not clip.end_s:
        return None
    start = min(int((clip.start_s or 0.0) * fps), n_frames)
    end = n_frames if clip.end_s is None else min(int(clip.end_s * fps), n_frames)
    if start < 0 or start >= end:
        where = f"{clip.start_s or 0.0:g} s to {'the end' if clip.end_s is None else f'{clip.end_s:g} s'}"
        raise DecodeError(
            f"clip '{clip.id}': {clip.path}: the window from {where} holds no frame of the file, which has {n_frames} "
            f"frames, {n_frames / fps:.2f} s; correct the annotation or check that this is the right file."
        )
    return start, end


def _generator(seed: int, clip_id: str) -> np.random.Generator:
    """Returns a generator that depends on seed and clip alone: not on order, process or Python's hash seed."""
    digest = hashlib.sha256(f"{seed}:{clip_id}".encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:8], "big"))
