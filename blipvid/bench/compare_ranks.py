"""Two runs of retrieval: where the right item of each query stood, before and after."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from blipvid.bench.compared import Compared, Line, in_common

RECALLS = {"r1": 1, "r5": 5, "r10": 10}
HEADS = ("moved most", "direction", "first rank", "second rank")

Pairs = Mapping[str, npt.NDArray[np.float64]]
"""Direction -> (A, 2) ranks of the queries that both runs asked."""


@dataclass(frozen=True, slots=True)
class Move:
    """A query whose rank differs; an infinite rank is a miss."""

    direction: str
    query: str
    first: float
    second: float

    def cells(self) -> list[str]:
        """Returns its line in a table."""
        return [self.query, self.direction, _rank_word(self.first), _rank_word(self.second)]

    def size(self) -> float:
        """Returns how many times the rank grew or shrank: from 1 to 50 is more than from 100 to 300."""
        if math.isinf(self.first) or math.isinf(self.second):
            return math.inf
        return abs(math.log(self.second / self.first))


def compare_ranks(
    figures: Mapping[str, tuple[float, float]], first: Sequence[Mapping[str, Any]], second: Sequence[Mapping[str, Any]]
) -> Compared:
    """Compares the predictions of two retrieval runs.

    Recalls are compared by McNemar's exact test, ranks by Wilcoxon's signed-rank test, both two-sided.

    Args:
        figures: Metric -> its value in both runs.
        first: Predictions of one run.
        second: Predictions of the other.
    """
    ranks = [_ranks(first), _ranks(second)]
    pairs = {
        direction: np.array([[ranks[0][direction][query], ranks[1][direction][query]] for query in queries])
        for direction in ranks[0].keys() & ranks[1].keys()
        if (queries := [query for query in ranks[0][direction] if query in ranks[1][direction]])
    }
    moves = [
        Move(direction, query, rank, ranks[1][direction][query])
        for direction in sorted(pairs)
        for query, rank in ranks[0][direction].items()
        if query in ranks[1][direction] and rank != ranks[1][direction][query]
    ]
    moves.sort(key=Move.size, reverse=True)
    better = sum(move.second < move.first for move in moves)
    notes = []
    for direction in sorted(ranks[0].keys() | ranks[1].keys()):
        asked = [len(run.get(direction, {})) for run in ranks]
        notes += in_common(direction, asked, len(pairs.get(direction, ())), "queries")
    return Compared(
        lines=[_line(metric, one, other, pairs) for metric, (one, other) in figures.items()],
        changes=moves,
        heads=HEADS,
        summary=f"{better:,} queries rank better in the second run, {len(moves) - better:,} worse.",
        notes=notes,
        tests="p: McNemar's exact test on recalls, Wilcoxon's signed-rank test on ranks, two-sided, not corrected.",
    )


def _ranks(predictions: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, float]]:
    """Returns direction -> query -> rank."""
    found: dict[str, dict[str, float]] = {}
    for row in predictions:
        rank = math.inf if row["rank"] is None else float(row["rank"])
        found.setdefault(row["direction"], {})[row["query"]] = rank
    return found


def _line(metric: str, one: float, other: float, pairs: Pairs) -> Line:
    from scipy import stats

    from blipvid.evaluate.statistics import mcnemar

    direction, _, measure = metric.partition("_")
    if direction not in pairs:
        return Line(metric, one, other)
    before, after = pairs[direction].T
    if measure in RECALLS:
        test = mcnemar(after <= RECALLS[measure], before <= RECALLS[measure])
        return Line(metric, one, other, int(test["gained"]), int(test["lost"]), test["p"])
    if measure == "mnr":
        # A miss ranks behind everything that was found; the test looks at order only.
        last = np.max(pairs[direction], initial=1.0, where=np.isfinite(pairs[direction])) + 1
        change = np.minimum(after, last) - np.minimum(before, last)
        p = float(stats.wilcoxon(change).pvalue) if change.any() else 1.0
        return Line(metric, one, other, int(np.sum(change < 0)), int(np.sum(change > 0)), p)
    return Line(metric, one, other)


def _rank_word(rank: float) -> str:
    return "miss" if math.isinf(rank) else f"{rank:g}"
