"""Features to be kept, and clips of which nobody looks at more than the bytes."""

from pathlib import Path

import numpy as np
import torch

from blipvid.core.features import Features
from blipvid.core.protocols import LoadClips
from blipvid.core.types import Clip, Frames
from blipvid.evaluate.cache.keeping import FeatureCache, Recipe


def features_of(number: int, tokens: int = 40, width: int = 32) -> Features:
    """Features that tell one clip from another in every value."""
    generator = torch.Generator().manual_seed(number)
    return Features(
        torch.randn(1, tokens, width, generator=generator), torch.randn(1, 8, generator=generator).softmax(1)
    )


def frames_of(number: int) -> Frames:
    """Frames whose pixels nobody looks at."""
    return Frames(np.zeros((2, 1, 1, 3), np.uint8), np.array([0, number]), np.zeros(2), "drawn", ("counted",))


def write_clips(folder: Path, n: int) -> list[Clip]:
    """Writes media files of one line each; the clips are called as `replay.Loader` wants."""
    folder.mkdir(parents=True, exist_ok=True)
    clips = [Clip(f"clip{number}", folder / f"{number}.mp4") for number in range(n)]
    for clip in clips:
        clip.path.write_text(f"the bytes of {clip.id}")
    return clips


def a_cache(folder: Path, loader: LoadClips, **changes: object) -> FeatureCache:
    """A cache of features that were made from two frames."""
    values = {
        "made_by": {"frames": {"count": 2}},
        "kept_as": "fp32",
        "by_id": False,
        "used_for": {"model": "tiny", "benchmark": "six"},
    }
    return FeatureCache(folder, loader, Recipe(**{**values, **changes}))  # type: ignore[arg-type]
