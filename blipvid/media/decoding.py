"""One clip to its frames: open, choose, read, resize."""

from collections.abc import Sequence
from contextlib import closing

import numpy as np

from blipvid.core.errors import DecodeError
from blipvid.core.settings import FrameSettings
from blipvid.core.types import Clip, Frames
from blipvid.media.readers import open_video
from blipvid.media.sampling import sample
from blipvid.media.transforms import is_picture, read_picture, resize_bicubic


def decode_clip(clip: Clip, settings: FrameSettings) -> Frames:
    """Decodes the frames of one clip that the settings ask for.

    A still picture is a clip of one frame, always resized by PIL and never repeated.

    Args:
        clip: The media file, or a window of it.
        settings: Which frames, and how large.

    Returns:
        (N, S, S, 3) uint8 RGB frames; N is `settings.count` unless the sampler's rule says otherwise.

    Raises:
        DecodeError: The file gives no trustworthy frames; the message names clip and file.
        ConfigError: Unknown sampler or reader.
    """
    try:
        if is_picture(clip.path):
            pixels = read_picture(clip.path, settings.size)
            return Frames(pixels, np.zeros(1, dtype=np.int64), np.zeros(1), "pillow")
        by_decoder = settings.size if settings.resize == "decoder" else None
        with closing(open_video(clip.path, backend=settings.backend, size=by_decoder)) as reader:
            indices = sample(settings, reader.n_frames, reader.fps, clip)
            pixels = reader.read(indices)
            if settings.resize == "bicubic":
                pixels = resize_bicubic(pixels, settings.size)
            times_s = reader.times_s(indices)
            notes = (*reader.notes, *_repeats(indices))
            return Frames(pixels, np.array(indices, dtype=np.int64), times_s, reader.backend, notes)
    except DecodeError as error:
        raise _naming(clip, error) from error


def _repeats(indices: Sequence[int]) -> list[str]:
    """Says that fewer frames were seen than the clip was asked for, because it, or its window, has no more."""
    distinct = len(set(indices))
    if distinct == len(indices):
        return []
    if distinct == 1:
        return [f"too short for {len(indices)} frames, so that one frame was taken {len(indices)} times"]
    return [f"too short for {len(indices)} different frames, so that some were taken several times"]


def _naming(clip: Clip, error: DecodeError) -> DecodeError:
    name = f"clip '{clip.id}': "
    return error if str(error).startswith(name) else DecodeError(name + str(error))
