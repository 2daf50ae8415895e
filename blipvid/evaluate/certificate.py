"""Makes sure that scores of a reduced precision give the ranks that fp32 gives, without scoring everything again.

How far the scores are from fp32 is measured on pairs drawn at random; every pair that might stand on the wrong side of
a right item, were its score off by several times as much, is scored anew in fp32. Those tell of the error, too: where
one is off by more than the sample was, the margin widens and more pairs are scored anew, until none is left in doubt.
The guarantee is statistical: a pair that was never looked at may be off by more. It is about matching alone; both sides
look at the same features and the same candidates.
"""

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from blipvid.evaluate.directions import Direction
from blipvid.evaluate.rerank import Candidates, Floats, Ints, Pairs

SAMPLED_PAIRS = 256
SAFETY = 3.5
"""How much larger the error of any score may be than the largest one seen. Of the demo's 15,000 pairs the largest error
was 3.0 (bf16) and 3.5 times (fp16) that of 256 drawn at random."""

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
    seen = np.random.default_rng(SEED).choice(len(pairs), min(SAMPLED_PAIRS, len(pairs)), replace=False)
    n_drawn, again, before = len(seen), np.sort(seen), pairs.candidates(scores)
    surer = scores.copy()
    while len(again):
        surer[again] = exact(again)
        error = float(np.abs(surer[seen] - scores[seen]).max())
        margin = 2 * SAFETY * error
        doubtful = [
            place[in_doubt(one, found, margin)]
            for place, one, found in zip((pairs.t2v, pairs.v2t), directions, before, strict=True)
        ]
        again = np.setdiff1d(np.concatenate(doubtful), seen)
        seen = np.concatenate([seen, again])
    n_again = len(seen) - n_drawn
    changed = {
        one.name: int((one.rank(old.rows, ties).rank != one.rank(new.rows, ties).rank).sum())
        for one, old, new in zip(directions, before, pairs.candidates(surer), strict=True)
    }
    return surer, {
        "pairs_sampled": n_drawn,
        "error": error,
        "margin": margin,
        "pairs_rescored": n_again,
        "ranks_changed": changed,
        "note": (
            f"matching differs from fp32 matching of the same features by at most {error:.2g} in {n_drawn:,} pairs "
            f"drawn at random and {n_again:,} of {len(pairs):,} that lie within {margin:.2g} of a right item and were "
            f"scored again in fp32 (ranks changed by all this: {sum(changed.values()):,}); that no other rank differs "
            "from fp32 matching is likely, not certain; pictures and texts stay encoded in the lower precision"
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
