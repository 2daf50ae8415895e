"""Two runs of dialogs: where the right answer of each round stood, before and after."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from blipvid.bench.compare_ranks import compare_ranks
from blipvid.bench.compared import Compared

ROUNDS = "rounds"
"""What stands in the place of a direction of retrieval."""


def compare_rounds(
    figures: Mapping[str, tuple[float, float]], first: Sequence[Mapping[str, Any]], second: Sequence[Mapping[str, Any]]
) -> Compared:
    """Compares the predictions of two runs of dialogs: rounds are queries, candidate answers what is ranked.

    Args:
        figures: Metric -> its value in both runs.
        first: Predictions of one run.
        second: Predictions of the other.
    """
    as_ranks = {f"{ROUNDS}_{'mnr' if name == 'mean_rank' else name}": name for name in figures}
    found = compare_ranks(
        {ranked: figures[name] for ranked, name in as_ranks.items()}, _as_queries(first), _as_queries(second)
    )
    return replace(found, lines=[replace(line, metric=as_ranks[line.metric]) for line in found.lines])


def _as_queries(predictions: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    # rounds of which nobody says what is right have no rank
    return [
        {"direction": ROUNDS, "query": f"{row['id']} {row['question']}", "rank": row["rank"]}
        for row in predictions
        if row["answer"] is not None
    ]
