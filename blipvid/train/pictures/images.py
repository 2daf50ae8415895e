"""Batches for training, each a pure function of the seed and the step, whether drawn without end or read from files.

So a run that goes on after being killed sees the very batches it would have seen, whatever was loaded ahead.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from blipvid.core.errors import BlipvidError, ConfigError, DataError
from blipvid.data.files import root_from_environment
from blipvid.train.pictures.augment import Augmentation
from blipvid.train.pictures.batches import Feed
from blipvid.train.pictures.order import SAMPLE, Mixture, Walk, shares
from blipvid.train.pictures.samples import BrokenSampleError, PictureSet
from blipvid.train.pictures.sets import CaptionSet, DialogSet, KarpathySet, PairSet, QuestionSet
from blipvid.train.pictures.settings import Pictures
from blipvid.train.pictures.shards import ShardSet

B = TypeVar("B")

KINDS: dict[str, type[PictureSet]] = {
    "captions": CaptionSet,
    "karpathy": KarpathySet,
    "questions": QuestionSet,
    "pairs": PairSet,
    "dialogs": DialogSet,
    "shards": ShardSet,
}
"""Kind of a set in a recipe -> what reads it."""

BROKEN_IN_A_ROW = 100
"""So many samples that cannot be used are no accident."""


@dataclass(frozen=True, slots=True)
class Loaded(Generic[B]):
    """What one step is fed with.

    Attributes:
        batch: The batch of one process.
        broken: Samples that could not be used and in whose place others stand, each with what is wrong.
    """

    batch: B
    broken: tuple[str, ...] = ()


class DrawnBatches(Dataset[Loaded[B]], Generic[B]):
    """All batches of a training on drawn pictures, by the number of the step.

    Args:
        feed: What kind of batch.
        settings: The source, how many pictures, and what the source is told.
        size_px: Side of the pictures (S).
        seed: Of the training.
        rank: Number of this process among those that train together; each sees other pictures.

    Attributes:
        steps_per_epoch: None, for drawn pictures never end.
        workers: Processes that draw ahead.

    Raises:
        ConfigError: No such source of this kind, or it does not know an option.
    """

    steps_per_epoch = None

    def __init__(self, feed: Feed[B], settings: Pictures, size_px: int, seed: int, rank: int = 0) -> None:
        self.workers = settings.workers
        assert settings.source is not None  # the schema asks for a source or for sets
        self.draw, self.gather = feed.sources.get(settings.source), feed.gather
        self.settings, self.size_px, self.seed, self.rank = settings, size_px, seed, rank
        try:
            self.draw(np.random.default_rng(0), 2, size_px, **settings.options)
        except TypeError as error:
            raise ConfigError(
                f"{feed.sources.what} '{settings.source}': {error}; mend key 'pictures.options' of the recipe."
            ) from error

    def __getitem__(self, step: int) -> Loaded[B]:
        rng = np.random.default_rng([self.seed, self.rank, step])
        pixels, said = self.draw(rng, self.settings.batch_size, self.size_px, **self.settings.options)
        return Loaded(self.gather(torch.from_numpy(np.moveaxis(pixels, -1, -3).copy()), said, None))


class ReadBatches(Dataset[Loaded[B] | BlipvidError], Generic[B]):
    """All batches of a training on sets of files, by the number of the step.

    Every position of the training, counted over all processes, has its sample. Without weights an epoch shows each
    sample of each set once, but for those at its end that fill no step; with weights each set goes through its own
    epochs at its own pace.

    Args:
        feed: What kind of batch.
        settings: The sets, and how many pictures.
        size_px: Side of the pictures (S).
        seed: Of the training.
        rank: Number of this process among those that train together.
        world: How many train together.
        root: Folder that relative paths lie below; None takes $BLIPVID_DATA.

    Attributes:
        steps_per_epoch: Steps in which all samples are shown once, weights aside. What does not fill a last step is
            left out, as in the official code.
        workers: Processes that load ahead.

    Raises:
        ConfigError: A set does not suit the objective, or no data folder is known.
        DataError: Files are missing or hold something else than they should, or all samples do not fill one step.
    """

    def __init__(
        self,
        feed: Feed[B],
        settings: Pictures,
        size_px: int,
        seed: int,
        rank: int = 0,
        world: int = 1,
        root: Path | None = None,
    ) -> None:
        self.gather, self.seed, self.workers = feed.gather, seed, settings.workers
        self.own, self.at_once = settings.batch_size, settings.batch_size * world
        self.first = rank * settings.batch_size
        self.augment = Augmentation(settings.augment, size_px)
        self.sets = open_sets(feed, settings, root)
        lengths = [len(one) for one in self.sets]
        weights = [one.weight for one in settings.sets if one.weight is not None]
        self.weighted, self.count = bool(weights), sum(lengths)
        self.mixture = Mixture(shares(weights) if weights else lengths, seed)
        self.walks = [Walk(len(one), one.shuffle, (seed, number)) for number, one in enumerate(self.sets)]
        self.first_id = [sum(lengths[:number]) for number in range(len(lengths))]
        self.steps_per_epoch = self.count // self.at_once
        if not self.steps_per_epoch:
            raise DataError(
                f"the sets of the recipe hold {self.count} samples, and one step takes {self.at_once} over all "
                "processes; lower 'pictures.batch_size'."
            )

    def __getitem__(self, step: int) -> Loaded[B] | BlipvidError:
        # A loader would wrap what is raised in one of its processes into the text of a traceback.
        try:
            return self._load(step)
        except BlipvidError as error:
            return error

    def positions(self, step: int) -> range:
        """Returns where in the order of the whole training the batch of this process stands."""
        begin = step * self.at_once
        if not self.weighted:
            epoch, step = divmod(step, self.steps_per_epoch)
            begin = epoch * self.count + step * self.at_once
        return range(begin + self.first, begin + self.first + self.own)

    def _load(self, step: int) -> Loaded[B]:
        broken: list[str] = []
        samples = [self._sample(position, broken) for position in self.positions(step)]
        pixels, said, ids = zip(*samples, strict=True)
        return Loaded(self.gather(torch.stack(pixels), said, torch.tensor(ids)), tuple(broken))

    def _sample(self, position: int, broken: list[str]) -> tuple[torch.Tensor, Any, int]:
        """Returns pixels (3, S, S) of a picture or (2, 3, S, S) of a pair, what is said of it, and its id."""
        # Of the next step, not the next position: that one is in this very batch and would be there twice.
        for tried in range(position, position + BROKEN_IN_A_ROW * self.at_once, self.at_once):
            which, own = self.mixture[tried]
            epoch, number = self.walks[which][own]
            rng = np.random.default_rng((SAMPLE, self.seed, which, epoch, number))
            try:
                sample = self.sets[which].read(number, rng)
            except BrokenSampleError as error:
                broken.append(str(error))
                continue
            pixels = [self.augment(picture, rng) for picture in sample.pictures]
            return torch.stack(pixels).squeeze(0), sample.said, self.first_id[which] + sample.id
        raise DataError(f"{BROKEN_IN_A_ROW} samples in a row cannot be used, the last one: {broken[-1]}")


def find_pictures(
    feed: Feed[B], settings: Pictures, size_px: int, seed: int, rank: int = 0, world: int = 1, root: Path | None = None
) -> DrawnBatches[B] | ReadBatches[B]:
    """Finds the pictures of a recipe; all files are checked at once.

    Args:
        feed: What kind of batch.
        settings: The data part of the recipe.
        size_px: Side of the pictures (S).
        seed: Of the training.
        rank: Number of this process among those that train together.
        world: How many train together.
        root: Folder that relative paths of sets lie below; None takes $BLIPVID_DATA.

    Raises:
        ConfigError: No such source of this kind, or it does not know an option; or a set does not suit the objective.
        DataError: Files are missing or hold something else than they should, or all samples do not fill one step.
    """
    if settings.sets:
        return ReadBatches(feed, settings, size_px, seed, rank, world, root)
    return DrawnBatches(feed, settings, size_px, seed, rank)


def load_batches(pictures: DrawnBatches[B] | ReadBatches[B], steps: range) -> Iterator[Loaded[B]]:
    """Makes the batches of some steps, ahead of time where the recipe has workers.

    Args:
        pictures: Where they come from.
        steps: Which steps, in order.

    Returns:
        One batch a step. Going through them raises a DataError where a picture file cannot be read.
    """
    ahead: dict[str, Any] = {"prefetch_factor": 4} if pictures.workers else {}
    # A generator of its own: the loader must not draw from torch's, whose state a resumed run takes up again.
    own = torch.Generator()
    loader = DataLoader(pictures, batch_size=None, sampler=steps, num_workers=pictures.workers, generator=own, **ahead)
    try:
        for loaded in loader:
            if isinstance(loaded, BlipvidError):
                raise loaded
            yield loaded
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):
            raise
        raise DataError(
            "a process that loads pictures died, most often because memory ran out; lower 'pictures.workers' or "
            "'pictures.batch_size' of the recipe, and start the same command again."
        ) from error


def open_sets(feed: Feed[Any], settings: Pictures, root: Path | None = None) -> list[PictureSet]:
    """Opens the sets of a recipe, which checks everything but pixels.

    Raises:
        ConfigError: A set does not suit the objective, or no data folder is known.
        DataError: Files are missing or hold something else than they should.
    """
    suiting = [kind for kind, reader in KINDS.items() if reader.feed.gather == feed.gather]
    for one in settings.sets:
        if one.kind not in suiting:
            raise ConfigError(
                f"a set of kind '{one.kind}' in 'pictures.sets' does not suit the objective, which takes: "
                f"{', '.join(suiting)}."
            )
    folder = root or root_from_environment()
    return [KINDS[one.kind](one.below(folder)) for one in settings.sets]
