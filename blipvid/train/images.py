"""Batches for training, each a pure function of the seed and the step.

So a run that goes on after being killed sees the very batches it would have seen, whatever was drawn ahead.
"""

from collections.abc import Iterator
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from blipvid.core.errors import ConfigError
from blipvid.train.batches import Feed
from blipvid.train.recipe import Pictures

B = TypeVar("B")


class DrawnBatches(Dataset[B], Generic[B]):
    """All batches of a training, by the number of the step.

    Args:
        feed: What kind of batch.
        settings: The source, how many pictures, and what the source is told.
        size_px: Side of the pictures (S).
        seed: Of the training.
        rank: Number of this process among those that train together; each sees other pictures.

    Raises:
        ConfigError: No such source of this kind, or it does not know an option.
    """

    def __init__(self, feed: Feed[B], settings: Pictures, size_px: int, seed: int, rank: int = 0) -> None:
        self.draw, self.gather = feed.sources.get(settings.source), feed.gather
        self.settings, self.size_px, self.seed, self.rank = settings, size_px, seed, rank
        try:
            for step in (0, settings.first_steps):
                self.draw(np.random.default_rng(0), 2, size_px, **settings.options_of(step))
        except TypeError as error:
            raise ConfigError(
                f"{feed.sources.what} '{settings.source}': {error}; mend key 'pictures.options' of the recipe."
            ) from error

    def __getitem__(self, step: int) -> B:
        rng = np.random.default_rng([self.seed, self.rank, step])
        pixels, said = self.draw(rng, self.settings.batch_size, self.size_px, **self.settings.options_of(step))
        return self.gather(torch.from_numpy(np.moveaxis(pixels, -1, -3).copy()), said, None)


def batches(feed: Feed[B], settings: Pictures, size_px: int, seed: int, steps: range, rank: int = 0) -> Iterator[B]:
    """Draws the batches of some steps, ahead of time where the recipe has workers.

    Args:
        feed: What kind of batch.
        settings: The data part of the recipe.
        size_px: Side of the pictures (S).
        seed: Of the training.
        steps: Which steps, in order.
        rank: Number of this process among those that train together.

    Yields:
        One batch a step.

    Raises:
        ConfigError: No such source of this kind, or it does not know an option.
    """
    data = DrawnBatches(feed, settings, size_px, seed, rank)
    ahead: dict[str, Any] = {"prefetch_factor": 4} if settings.workers else {}
    # A generator of its own: the loader must not draw from torch's, whose state a resumed run takes up again.
    own = torch.Generator()
    yield from DataLoader(data, batch_size=None, sampler=steps, num_workers=settings.workers, generator=own, **ahead)
