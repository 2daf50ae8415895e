"""Ranks of the right answers under a written tie rule, and the figures made from them. Pure functions of arrays."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.floating]

RECALLS = (1, 5, 10)


@dataclass(frozen=True, slots=True)
class Ranks:
    """Where each of A queries found the first of its own items.

    Attributes:
        rank: (A,) float64, 1 is best; half ranks come from ties; inf where the query has no own item at all.
        best: (A,) float score of that item; -inf where there is none.
        tied: (A,) bool, whether items of others have the same score.
    """

    rank: npt.NDArray[np.float64]
    best: npt.NDArray[np.float64]
    tied: npt.NDArray[np.bool_]

    @classmethod
    def join(cls, parts: "Sequence[Ranks]") -> "Ranks":
        """Returns the ranks of several parts, one after the other."""
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in ("rank", "best", "tied")))

    def take(self, index: Ints) -> "Ranks":
        """Returns the ranks at `index`, in that order."""
        return Ranks(self.rank[index], self.best[index], self.tied[index])


def rank_own(scores: Floats, query_group: Ints, item_group: Ints, ties: Literal["expected", "blip"]) -> Ranks:
    """Ranks the best own item of each query among all items.

    With g items scoring higher, n items at the score of the best own item, m of them own:

    - `expected`: rank = g + (n + 1) / (m + 1), the mean over all orders of the tied items of the first own one's rank
      (m = 1: g + (n + 1) / 2; no tie: g + 1). It depends on no order of items.
    - `blip`: the rank in `argsort(kind="stable")[::-1]`, where of equal scores the later item comes first. The
      released script does the same with numpy's default sort. That sort is not stable, so the order of ties is defined
      by the script only where nothing ties, or where rows are so short (up to 16 items) that numpy sorts by insertion.

    Args:
        scores: (A, B) one row a query, one column an item.
        query_group: (A,) group of each query.
        item_group: (B,) group of each item; items of the query's group are its own.
        ties: The rule.

    Returns:
        Ranks of the A queries.

    Source: salesforce/BLIP eval_retrieval_video.py and train_retrieval.py, `itm_eval` (best of several own texts).
    """
    own = query_group[:, None] == item_group
    best = np.where(own, scores, -np.inf).max(axis=1)
    level = scores == best[:, None]
    higher = (scores > best[:, None]).sum(axis=1)
    n, m = level.sum(axis=1), (level & own).sum(axis=1)
    if ties == "expected":
        rank = higher + (n + 1) / (m + 1)
    else:
        # parity: of equal scores the later item comes first (tests/evaluate/test_metrics.py)
        last_own = scores.shape[1] - 1 - np.argmax((level & own)[:, ::-1], axis=1)
        rank = higher + 1.0 + (level & (np.arange(scores.shape[1]) > last_own[:, None])).sum(axis=1)
    return Ranks(np.where(best > -np.inf, rank, np.inf), best.astype(np.float64), (n > m) & (m > 0))


def best_of_groups(scores: Floats, item_group: Ints) -> tuple[Floats, Ints]:
    """Folds the items of each group into one item with the group's best score.

    Args:
        scores: (A, B).
        item_group: (B,).

    Returns:
        Scores (A, G) and the G groups that have items, ascending.
    """
    order = np.argsort(item_group, kind="stable")
    groups, begin = np.unique(item_group[order], return_index=True)
    return np.maximum.reduceat(np.take(scores, order, axis=1), begin, axis=1), groups


def ndcg(scores: Floats, relevance: npt.NDArray[np.float64]) -> float:
    """Finds the normalised discounted cumulative gain of one ranking, as the VisDial challenge defines it.

    Only the first k places count, where k is the number of items with any relevance; the gain of an item is its
    relevance, divided by the logarithm to base 2 of its rank plus 1. Items with equal scores have the mean of their
    gains, which is the mean over all orders of them.

    Args:
        scores: (C,), higher ranks earlier.
        relevance: (C,), none negative, at least one above 0.

    Returns:
        From 0 to 1: the gain divided by that of the best order.

    Source: batra-mlp-lab/visdial-challenge-starter-pytorch visdialch/metrics.py, `NDCG`.
    """
    k = int(np.count_nonzero(relevance))
    _, level = np.unique(-scores, return_inverse=True)
    level = level.reshape(-1)
    shared = np.bincount(level, relevance) / np.bincount(level)
    discounts = np.log2(np.arange(k) + 2)
    gain = np.sum(shared[np.sort(level)[:k]] / discounts)
    return float(gain / np.sum(np.sort(relevance)[::-1][:k] / discounts))


def settle(rank: npt.NDArray[np.float64], last: float | npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Returns ranks in which misses (inf) have the rank `last`, one for all or one each, so that means stay finite."""
    return np.where(np.isinf(rank), last, rank)


def figures(rank: npt.NDArray[np.float64], last: float) -> dict[str, float]:
    """Makes the figures of one direction.

    Args:
        rank: (A,) ranks; inf is a miss at every K.
        last: Rank that a miss has in median and mean: one more than the items of the whole gallery.

    Returns:
        `r1`, `r5`, `r10`: share of queries with rank <= K, percent. `mdr`, `mnr`: median and mean rank, 1 is best.
    """
    settled = settle(rank, last)
    recalls = {f"r{k}": 100.0 * float(np.mean(rank <= k)) for k in RECALLS}
    return {**recalls, "mdr": float(np.median(settled)), "mnr": float(np.mean(settled))}
