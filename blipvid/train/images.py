"""Batches of pictures and captions for training, each a pure function of the seed and the step.

So a run that goes on after being killed sees the very batches it would have seen, whatever was drawn ahead.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.utils.data import DataLoader, Dataset

from blipvid.core.errors import ConfigError
from blipvid.core.registry import Registry
from blipvid.train.recipe import Pictures

DrawBatch = Callable[..., tuple[npt.NDArray[np.uint8], list[str]]]
"""draw(rng, count, size_px, **options) -> pixels (B, S, S, 3) uint8 RGB and B captions."""

SOURCES: Registry[DrawBatch] = Registry("blipvid.pictures", "source of pictures")


@dataclass(frozen=True, slots=True)
class PictureBatch:
    """B pictures with one caption each.

    Attributes:
        pixels: (B, 3, S, S) uint8 RGB.
        captions: B captions.
        ids: (B,) int64; equal ids are the same picture, or say the same.
    """

    pixels: torch.Tensor
    captions: list[str]
    ids: torch.Tensor


class DrawnBatches(Dataset[PictureBatch]):
    """All batches of a training, by the number of the step.

    Args:
        draw: The source.
        settings: How many pictures, and what the source is told.
        size_px: Side of the pictures (S).
        seed: Of the training.
        rank: Number of this process among those that train together; each sees other pictures.
    """

    def __init__(self, draw: DrawBatch, settings: Pictures, size_px: int, seed: int, rank: int = 0) -> None:
        self.draw, self.settings, self.size_px, self.seed, self.rank = draw, settings, size_px, seed, rank

    def __getitem__(self, step: int) -> PictureBatch:
        rng = np.random.default_rng([self.seed, self.rank, step])
        pixels, captions = self.draw(rng, self.settings.batch_size, self.size_px, **self.settings.options)
        numbers: Mapping[str, int] = {text: place for place, text in enumerate(dict.fromkeys(captions))}
        ids = torch.tensor([numbers[text] for text in captions])
        return PictureBatch(torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous(), captions, ids)


def batches(settings: Pictures, size_px: int, seed: int, steps: range, rank: int = 0) -> Iterator[PictureBatch]:
    """Draws the batches of some steps, ahead of time where the recipe has workers.

    Args:
        settings: The data part of the recipe.
        size_px: Side of the pictures (S).
        seed: Of the training.
        steps: Which steps, in order.
        rank: Number of this process among those that train together.

    Yields:
        One batch a step.

    Raises:
        ConfigError: No such source of pictures, or it does not know an option.
    """
    data = DrawnBatches(SOURCES.get(settings.source), settings, size_px, seed, rank)
    _try_options(data)
    ahead: dict[str, Any] = {"prefetch_factor": 4} if settings.workers else {}
    # A generator of its own: the loader must not draw from torch's, whose state a resumed run takes up again.
    own = torch.Generator()
    yield from DataLoader(data, batch_size=None, sampler=steps, num_workers=settings.workers, generator=own, **ahead)


def _try_options(data: DrawnBatches) -> None:
    try:
        data.draw(np.random.default_rng(0), 2, data.size_px, **data.settings.options)
    except TypeError as error:
        raise ConfigError(
            f"source of pictures '{data.settings.source}': {error}; mend key 'pictures.options' of the recipe."
        ) from error
