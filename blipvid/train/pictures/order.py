"""Which sample stands where: endless orders that follow from the seed alone, never from what was loaded before.

Knows no files: samples are numbers, and positions are counted from the begin of a training over all processes.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

BLOCK = 1000
"""Positions in which each weighted set gets its share exactly; weights hold to a thousandth."""

ORDER, MIXTURE, SAMPLE = range(3)
"""What chance is asked for; keeps the three from drawing the same numbers."""


class Order(Protocol):
    """One epoch of one set: the number of the sample at each place."""

    def __getitem__(self, place: int, /) -> int:
        """Returns the sample at a place, both counted from 0."""


class Walk:
    """One set, epoch after epoch, each in an order of its own.

    Args:
        length: Samples of the set.
        shuffle: Draws the order of one epoch.
        seed: Of the training, and the number of the set.
    """

    def __init__(self, length: int, shuffle: Callable[[np.random.Generator], Order], seed: tuple[int, int]) -> None:
        self.length, self.shuffle, self.seed = length, shuffle, seed
        self._last: tuple[int, Order] | None = None

    def __getitem__(self, position: int) -> tuple[int, int]:
        """Returns the epoch of this set at one of its positions, and the number of the sample there."""
        epoch, place = divmod(position, self.length)
        if self._last is None or self._last[0] != epoch:
            self._last = epoch, self.shuffle(np.random.default_rng((ORDER, *self.seed, epoch)))
        return epoch, int(self._last[1][place])


class Mixture:
    """Several sets in one order: blocks in which each set has a fixed count of positions, shuffled.

    Args:
        counts: Positions of each set in one block.
        seed: Of the training.
    """

    def __init__(self, counts: Sequence[int], seed: int) -> None:
        self.counts, self.seed = list(counts), seed
        self._last: tuple[int, npt.NDArray[np.intp], npt.NDArray[np.int64]] | None = None

    def __getitem__(self, position: int) -> tuple[int, int]:
        """Returns the set at a position, and the position in that set's own walk."""
        if len(self.counts) == 1:
            return 0, position
        block, place = divmod(position, sum(self.counts))
        if self._last is None or self._last[0] != block:
            self._last = block, *self._draw(block)
        _, sets, before = self._last
        which = int(sets[place])
        return which, block * self.counts[which] + int(before[place])

    def _draw(self, block: int) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.int64]]:
        """Returns the set at each place of a block, and how many places before it are of the same set."""
        sets = np.repeat(np.arange(len(self.counts)), self.counts)
        sets = np.random.default_rng((MIXTURE, self.seed, block)).permutation(sets)
        before = np.empty(len(sets), np.int64)
        for which, count in enumerate(self.counts):
            before[sets == which] = np.arange(count)
        return sets, before


def shares(weights: Sequence[float]) -> list[int]:
    """Returns how many of `BLOCK` positions go to each set, by largest remainders; a set with few has one at least."""
    exact = np.asarray(weights) / np.sum(weights) * BLOCK
    counts = np.maximum(np.floor(exact), 1).astype(int)
    while counts.sum() != BLOCK:
        too_few = counts.sum() < BLOCK
        which = np.argmax(exact - counts) if too_few else np.argmax(counts - exact + (counts > 1) * BLOCK)
        counts[which] += 1 if too_few else -1
    return [int(count) for count in counts]
