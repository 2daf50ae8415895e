"""Two runs of judging sentences about pairs of pictures: what each sentence was taken for, before and after."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from blipvid.bench.compared import Compared, Line, in_common

HEADS = ("pair", "sentence", "first judgement", "second judgement", "right")


@dataclass(frozen=True, slots=True)
class Changed:
    """A sentence that the two runs judge differently; None where a picture could not be read.

    Attributes:
        id: Of the pair.
        sentence: As annotated.
        first: One judgement.
        second: The other.
        right: The right one.
    """

    id: str
    sentence: str
    first: bool | None
    second: bool | None
    right: bool

    def cells(self) -> list[str]:
        """Returns its line in a table."""
        return [self.id, self.sentence, *map(truth_word, (self.first, self.second, self.right))]


def compare_judgements(
    figures: Mapping[str, tuple[float, float]], first: Sequence[Mapping[str, Any]], second: Sequence[Mapping[str, Any]]
) -> Compared:
    """Compares the predictions of two runs, by McNemar's exact two-sided test.

    Args:
        figures: Metric -> its value in both runs.
        first: Predictions of one run.
        second: Predictions of the other.
    """
    from blipvid.evaluate.statistics import mcnemar

    others = {row["id"]: row for row in second}
    pairs = [(row, others[row["id"]]) for row in first if row["id"] in others]
    before, after = (np.array([pair[side]["right"] for pair in pairs], np.bool_) for side in (0, 1))
    test = mcnemar(after, before)
    won, lost = int(test["gained"]), int(test["lost"])
    changes = [
        Changed(one["id"], one["sentence"], one["prediction"], other["prediction"], one["label"])
        for one, other in pairs
        if one["prediction"] != other["prediction"]
    ]
    return Compared(
        lines=[Line(metric, *values, won, lost, test["p"]) for metric, values in figures.items()],
        changes=changes,
        heads=HEADS,
        summary=f"{len(changes):,} judgements differ; {won:,} became right in the second run, {lost:,} wrong.",
        notes=in_common("pairs", [len(first), len(second)], len(pairs), "pairs"),
        tests="p: McNemar's exact test, two-sided, not corrected.",
    )


def truth_word(judgement: bool | None) -> str:
    """Returns a judgement in words."""
    return {True: "true", False: "false", None: "no picture"}[judgement]
