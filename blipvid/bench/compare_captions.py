"""Two runs of captioning: what was said of each clip, before and after, and how near it comes to people's captions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from blipvid.bench.compared import Compared, Line, in_common
from blipvid.bench.labels import ALL, CAPTION_MEASURES, FigureName

HEADS = ("clip", "first caption", "second caption", "first annotated", "CIDEr")
FOREMOST = "cider"
"""The measure by which changes are sorted and counted."""
WEIGHED_BY_SET = "cider"
"""The measure whose value of a clip is another one in another set."""

Pair = tuple[Mapping[str, Any], Mapping[str, Any]]
"""The predictions of both runs for one clip."""


@dataclass(frozen=True, slots=True)
class Changed:
    """A clip of which the two runs say different things; None where it gave no frames.

    Attributes:
        clip: Its id.
        first: One caption.
        second: The other.
        reference: The first annotated caption, or nothing where there is none.
        gain: CIDEr of the second caption minus that of the first, percent; None where nothing was scored.
    """

    clip: str
    first: str | None
    second: str | None
    reference: str
    gain: float | None

    def cells(self) -> list[str]:
        """Returns its line in a table."""
        said = ["no frames" if caption is None else caption for caption in (self.first, self.second)]
        return [self.clip, *said, self.reference, "" if self.gain is None else f"{self.gain:+.1f}"]


def compare_captions(
    figures: Mapping[str, tuple[float, float]], first: Sequence[Mapping[str, Any]], second: Sequence[Mapping[str, Any]]
) -> Compared:
    """Compares the predictions of two runs of captioning, clip by clip.

    Measures that are known of each clip are compared by the exact sign test. CIDEr of one kind of clip is not: it
    weighs words by how rare they are in that kind, and what is known of each clip was weighed over the whole set.

    Args:
        figures: Metric -> its value in both runs.
        first: Predictions of one run.
        second: Predictions of the other.
    """
    others = {row["clip"]: row for row in second}
    pairs = [(row, others[row["clip"]]) for row in first if row["clip"] in others]
    changed = [_changed(*pair) for pair in pairs if pair[0]["prediction"] != pair[1]["prediction"]]
    changed.sort(key=lambda one: -abs(one.gain or 0.0))
    won, lost = (sum(sign * (one.gain or 0.0) > 0 for one in changed) for sign in (1, -1))
    measure = CAPTION_MEASURES[FOREMOST]
    return Compared(
        lines=[_line(metric, *values, pairs) for metric, values in figures.items()],
        changes=changed,
        heads=HEADS,
        summary=f"{len(changed):,} captions differ; by {measure} {won:,} are better in the second run, {lost:,} worse.",
        notes=in_common("captions", [len(first), len(second)], len(pairs), "clips"),
        tests="won, lost: clips. p: exact sign test over clips, two-sided, not corrected; it asks how often a caption "
        "is better, not by how much.",
    )


def _changed(one: Mapping[str, Any], other: Mapping[str, Any]) -> Changed:
    gain = _gain(FOREMOST, one, other)
    return Changed(one["clip"], one["prediction"], other["prediction"], next(iter(one["references"]), ""), gain)


def _gain(measure: str, one: Mapping[str, Any], other: Mapping[str, Any]) -> float | None:
    before, after = (row["metrics"].get(measure) for row in (one, other))
    return None if before is None or after is None else after - before


def _line(metric: str, one: float, other: float, pairs: Sequence[Pair]) -> Line:
    from blipvid.evaluate.statistics import mcnemar

    name = FigureName.of(metric)
    own = [pair for pair in pairs if name.kind in (ALL, pair[0].get("kind")) and _gain(name.owner, *pair) is not None]
    if not own or (name.owner == WEIGHED_BY_SET and name.kind != ALL):
        return Line(metric, one, other)
    before, after = (np.array([pair[side]["metrics"][name.owner] for pair in own]) for side in (0, 1))
    test = mcnemar(after, before)
    return Line(metric, one, other, int(test["gained"]), int(test["lost"]), test["p"])
