"""Makes sure that scores of a reduced precision give the ranks that fp32 gives, without scoring everything again.

How far the scores are from fp32 is measured on pairs drawn at random; every pair that might stand on the wrong side of
a right item, were its score off by half as much again, is scored anew in fp32. The guarantee is statistical: a pair
outside the sample may be off by more. It is about matching alone; both sides look at the same features.
"""

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from blipvid.evaluate.directions import Direction
from blipvid.evaluate.rerank import Candidates, Floats, Ints, Pairs

SAMPLED_PAIRS = 256
SAFETY = 1.5
"""How much larger than in the sample the error of any score may be."""

SEED = 42


def certify(
    pairs: Pairs,
    scores: Floats,
    exact: Callable[[Ints], Floats],
    directions: tuple[Direction, Direction],
    ties: Literal["expected", "blip"],
) -> tuple[Floats, dict[str, Any]]:
    """Replaces the scores that may give a right item a wrong rank.

    Args:
        pairs: P pairs.
        scores: (P,) of a reduced precision.
        exact: Scores the pairs at some places (S,), ascending, in fp32.
        directions: Text-to-video and video-to-text.
        ties: The rule for tied ranks.

    Returns:
        (P,) scores, and what the record keeps.
    """
    drawn = np.random.default_rng(SEED).choice(len(pairs), min(SAMPLED_PAIRS, len(pairs)), replace=False)
    drawn.sort()
    surer = scores.copy()
    surer[drawn] = exact(drawn)
    error = float(np.abs(surer[drawn] - scores[drawn]).max())
    margin = 2 * SAFETY * error
    before = pairs.candidates(scores)
    doubtful = np.concatenate(
        [
            place[in_doubt(one, found, margin)]
            for place, one, found in zip((pairs.t2v, pairs.v2t), directions, before, strict=True)
        ]
    )
    again = np.setdiff1d(doubtful, drawn)
    if len(again):
        surer[again] = exact(again)
    changed = {
        one.name: int((one.rank(old.rows, ties).rank != one.rank(new.rows, ties).rank).sum())
        for one, old, new in zip(directions, before, pairs.candidates(surer), strict=True)
    }
    return surer, {
        "pairs_sampled": len(drawn),
        "error": error,
        "margin": margin,
        "pairs_rescored": len(again),
        "ranks_changed": changed,
        "note": (
            f"matching differs from fp32 by at most {error:.2g} in {len(drawn):,} pairs drawn at random; "
            f"{len(again):,} of {len(pairs):,} pairs, those within {margin:.2g} of a right item, were scored again in "
            f"fp32 (ranks changed by all this: {sum(changed.values()):,}); that no other rank is wrong is likely, not "
            "certain"
        ),
    }


def in_doubt(direction: Direction, candidates: Candidates, margin: float) -> npt.NDArray[np.bool_]:
    """Returns (A, k): which candidates, right items included, might change places with a right item.

    Args:
        direction: Says which items are right.
        candidates: Scored pairs of its rows.
        margin: Scores that are no farther apart may be in the wrong order.
    """
    own = direction.item_clip[candidates.index] == direction.row_clip[:, None]
    best = np.where(own, candidates.scores, -np.inf).max(axis=1, keepdims=True)
    near = np.abs(candidates.scores - best) <= margin
    return near & (near & ~own).any(axis=1, keepdims=True)
