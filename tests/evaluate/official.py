"""The released evaluation as a plain double loop, one pair at a time, and ranks counted one by one: the slow twin."""

import itertools
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.generic]


def rerank_one_by_one(cosine: Array, logits: Array, k: int) -> Array:
    """Returns (A, B) scores: for each row the k best by cosine get logit + cosine, all others -100."""
    scores = np.full(cosine.shape, -100.0, np.float32)
    for row in range(cosine.shape[0]):
        best = sorted(range(cosine.shape[1]), key=lambda column, row=row: (-cosine[row, column], column))
        for column in best[:k]:
            scores[row, column] = np.float32(logits[row, column]) + np.float32(cosine[row, column])
    return scores


def rank_one(row: Sequence[float], own: Sequence[int], ties: str) -> float:
    """Returns the rank of the first own item; `expected` is the mean over all places that tied own items can take."""
    if not own:
        return float("inf")
    best = max(row[item] for item in own)
    higher = sum(score > best for score in row)
    tied = [item for item, score in enumerate(row) if score == best]
    if ties == "blip":
        order = np.argsort(np.asarray(row), kind="stable")[::-1].tolist()
        return 1.0 + min(order.index(item) for item in own)
    m = sum(item in own for item in tied)
    firsts = [places[0] for places in itertools.combinations(range(1, len(tied) + 1), m)]
    return higher + sum(firsts) / len(firsts)


def fold(row: Sequence[float], groups: Sequence[int]) -> tuple[list[float], list[int]]:
    """Returns the best score of each group and the groups."""
    names = sorted(set(groups))
    return [max(score for score, group in zip(row, groups, strict=True) if group == name) for name in names], names
