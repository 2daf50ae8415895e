"""Two runs of question answering: what each question was answered, before and after."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from blipvid.bench.compared import Compared, Line, in_common
from blipvid.bench.labels import AGAINST, ALL, FigureName

HEADS = ("question", "by", "first answer", "second answer", "right answer")

MCNEMAR = "McNemar's exact test"

Answers = Mapping[str, Mapping[str, Any]]
"""Question id -> its prediction."""


@dataclass(frozen=True, slots=True)
class Changed:
    """A question that the two runs answer differently; None where its clip gave no frames.

    Attributes:
        protocol: Who answered: `generate`, `rank`, `choice`.
        id: Of the question.
        question: The question, or its id where the options alone are the question.
        first: One answer.
        second: The other.
        right: The right one, or what most annotators answered; None where nobody knows.
    """

    protocol: str
    id: str
    question: str
    first: str | None
    second: str | None
    right: str | None

    def cells(self) -> list[str]:
        """Returns its line in a table."""
        given = ["no frames" if answer is None else answer for answer in (self.first, self.second)]
        return [self.question, self.protocol, *given, self.right or "not known"]


def compare_answers(
    figures: Mapping[str, tuple[float, float]], first: Sequence[Mapping[str, Any]], second: Sequence[Mapping[str, Any]]
) -> Compared:
    """Compares the predictions of two runs of question answering, each protocol by itself.

    Accuracies are compared by McNemar's exact two-sided test, each over the questions of its kind.

    Args:
        figures: Metric -> its value in both runs.
        first: Predictions of one run.
        second: Predictions of the other.
    """
    answers = [_by_protocol(first), _by_protocol(second)]
    protocols = dict.fromkeys([*answers[0], *answers[1]])
    pairs = {name: _pairs(answers[0].get(name, {}), answers[1].get(name, {})) for name in protocols}
    changes, notes, won, lost, in_part = [], [], 0, 0, False
    for name, own in pairs.items():
        asked = [len(run.get(name, {})) for run in answers]
        if 0 in asked:
            notes.append(f"Only the {'second' if asked[0] == 0 else 'first'} run answered by '{name}'.")
            continue
        notes += in_common(name, asked, len(own), "questions")
        for one, other in own:
            if one["prediction"] != other["prediction"]:
                changes.append((how_right(one) == how_right(other), _changed(name, one, other)))
            won += how_right(other) > how_right(one)
            lost += how_right(other) < how_right(one)
            in_part = in_part or not {how_right(one), how_right(other)} <= {0, 1}
    changes.sort(key=lambda change: change[0])  # those that made a difference first, in the order asked
    return Compared(
        lines=[_line(metric, one, other, pairs) for metric, (one, other) in figures.items()],
        changes=[change for _, change in changes],
        heads=HEADS,
        summary=(
            f"{len(changes):,} answers differ; {won:,} became {'better' if in_part else 'right'} in the second run, "
            f"{lost:,} {'worse' if in_part else 'wrong'}, the others are as right or wrong in both."
        ),
        notes=notes,
        tests=f"p: {'the exact sign test' if in_part else MCNEMAR}, two-sided, not corrected.",
    )


def set_against(
    metrics: Sequence[Mapping[str, float]], predictions: Sequence[Sequence[Mapping[str, Any]]]
) -> tuple[dict[str, tuple[float, float]], list[list[dict[str, Any]]]] | None:
    """Makes one protocol, `generate against rank`, of two runs that answered the same questions by one protocol each.

    Where that is the same protocol it keeps its name.

    Args:
        metrics: Those of both runs.
        predictions: Those of both runs.

    Returns:
        The figures and the predictions under the new name, as `compare_answers` takes them; None where a run answered
        by several protocols, or where the questions are not the same.
    """
    first, second = ({_protocol(row) for row in own} for own in predictions)
    one, other = ({(row["id"], row["question"]) for row in own} for own in predictions)
    if len(first) != 1 or len(second) != 1 or one != other:
        return None
    (mine,), (theirs,) = first, second
    name = mine if mine == theirs else f"{mine}{AGAINST}{theirs}"
    figures = {}
    for metric, value in metrics[0].items():
        parts = FigureName.of(metric)
        counterpart = f"{theirs}_{parts.measure}"
        if not parts.beside and counterpart in metrics[1]:
            figures[f"{name}_{parts.measure}"] = (value, metrics[1][counterpart])
    return figures, [[{**row, "protocol": name} for row in own] for own in predictions]


def how_right(row: Mapping[str, Any]) -> float:
    """Returns how right a prediction is, 0 to 1, as the run measured it; nan where it knew no answers."""
    found = row.get("right", row["prediction"] == row["answer"])  # older records of questions do not say
    return math.nan if found is None else float(found)


def _by_protocol(predictions: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Mapping[str, Any]]]:
    found: dict[str, dict[str, Mapping[str, Any]]] = {}
    for row in predictions:
        found.setdefault(_protocol(row), {})[row["id"]] = row
    return found


def _protocol(row: Mapping[str, Any]) -> str:
    # lists of answers may differ between the runs; that is among their settings
    return str(row.get("protocol", "choice")).partition(":")[0]


def _pairs(first: Answers, second: Answers) -> list[tuple[Mapping[str, Any], Mapping[str, Any]]]:
    return [(row, second[id_]) for id_, row in first.items() if id_ in second]


def _changed(protocol: str, one: Mapping[str, Any], other: Mapping[str, Any]) -> Changed:
    asked = one["question"] or one["id"]
    return Changed(protocol, one["id"], asked, one["prediction"], other["prediction"], one["answer"])


def _line(
    metric: str,
    one: float,
    other: float,
    pairs: Mapping[str, Sequence[tuple[Mapping[str, Any], Mapping[str, Any]]]],
) -> Line:
    from blipvid.evaluate.statistics import mcnemar

    name = FigureName.of(metric)
    own = [pair for pair in pairs.get(name.owner, ()) if name.kind in (ALL, pair[0]["kind"])]
    if not own or name.beside:
        return Line(metric, one, other)
    before, after = (np.array([how_right(pair[side]) for pair in own]) for side in (0, 1))
    test = mcnemar(after, before)
    return Line(metric, one, other, int(test["gained"]), int(test["lost"]), test["p"])
