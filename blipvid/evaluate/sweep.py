"""Recall for every number of candidates at once: what re-ranking 1, 2, 3, ... of them would have given.

The scores of k candidates are among those of K, so one evaluation holds all smaller ones. Pure functions of arrays.

Shape legend: R rows of a score matrix, K candidates of each, B items.
"""

from typing import Literal

import numpy as np
import numpy.typing as npt

from blipvid.evaluate.directions import Direction
from blipvid.evaluate.metrics import RECALLS
from blipvid.evaluate.rerank import Candidates, Floats, Ints
from blipvid.evaluate.similarity import chunks

Ranks = npt.NDArray[np.float64]


def recall_by_k(
    direction: Direction, candidates: Candidates, cosine: Floats, ties: Literal["expected", "blip"]
) -> dict[str, list[float]]:
    """Computes the recall of one direction for 1 to K candidates.

    Args:
        direction: Queries, gallery, whose items are whose.
        candidates: The K best of each row by cosine, scored.
        cosine: (R, K) of these.
        ties: The rule for tied ranks.

    Returns:
        `r1`, `r5`, `r10`: K figures each, in percent, the first for one candidate.
    """
    order = np.lexsort((candidates.index, -cosine), axis=1)
    index = np.take_along_axis(candidates.index, order, axis=1)
    scores = np.take_along_axis(candidates.scores, order, axis=1)
    groups = np.unique(direction.item_clip) if direction.fold else direction.item_clip
    items = np.searchsorted(groups, direction.item_clip[index]) if direction.fold else index
    own = direction.item_clip[index] == direction.row_clip[:, None]
    n_clips = int(max(direction.row_clip.max(), groups.max())) + 1
    n_own = np.bincount(groups, minlength=n_clips)[direction.row_clip]
    last_own = np.full(n_clips, -1)
    last_own[groups] = np.arange(len(groups))  # of equal groups the last one stays
    last_own = last_own[direction.row_clip]
    found = [
        ranks_by_k(items[part], scores[part], own[part], n_own[part], last_own[part], len(groups), ties)
        for part in chunks(len(items), items.shape[1] ** 2)
    ]
    of_rows = np.concatenate([*found, np.full((1, items.shape[1]), np.inf)])
    ranks = of_rows[direction.query_row]  # row -1 is the miss at the end
    return {f"r{n}": (100.0 * (ranks <= n).mean(axis=0)).tolist() for n in RECALLS}


def ranks_by_k(
    items: Ints,
    scores: Floats,
    own: npt.NDArray[np.bool_],
    n_own: Ints,
    last_own: Ints,
    n_items: int,
    ties: Literal["expected", "blip"],
) -> Ranks:
    """Ranks the best own item of each row among all items, for the first 1 to K candidates.

    All items that are no candidate tie below those that are. The ranks are those of `metrics.rank_own`.

    Args:
        items: (R, K) items in the order in which they become candidates; one that comes again, as a group of several
            texts does, counts once with the best of its scores.
        scores: (R, K), all above that of items that are no candidates.
        own: (R, K) whether an item is one of the row's own.
        n_own: (R,) own items of the row among all B.
        last_own: (R,) the last of them; -1 where there is none.
        n_items: B.
        ties: The rule.

    Returns:
        (R, K) ranks; inf in rows without own items.
    """
    rows = np.arange(len(items))
    first = (items[:, :, None] == items[:, None, :]).argmax(axis=2)  # where an item came first, its score is kept
    best_of = np.full(scores.shape, -np.inf, np.float32)
    ranks = np.empty(scores.shape)
    for k in range(scores.shape[1]):
        place = first[:, k]
        best_of[rows, place] = np.maximum(best_of[rows, place], scores[:, k])
        seen = best_of > -np.inf
        best = np.where(own, best_of, -np.inf).max(axis=1)
        found = best > -np.inf
        level = np.where(found[:, None], best_of == best[:, None], False)
        higher = np.where(found, (best_of > best[:, None]).sum(axis=1), seen.sum(axis=1))
        if ties == "expected":
            n = np.where(found, level.sum(axis=1), n_items - seen.sum(axis=1))
            m = np.where(found, (level & own).sum(axis=1), n_own)
            ranks[:, k] = higher + (n + 1) / (m + 1)
        else:
            last = np.where(found, np.where(level & own, items, -1).max(axis=1), last_own)
            later = items > last[:, None]
            unseen_later = n_items - 1 - last - (seen & later).sum(axis=1)
            ranks[:, k] = higher + 1 + np.where(found, (level & later).sum(axis=1), unseen_later)
    return np.where(n_own[:, None] > 0, ranks, np.inf)
