"""How many of the questions were answered rightly: over all and by kind, with intervals over whole clips.

The denominator is every question asked; those about clips without frames count as wrong.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from blipvid.core.settings import TaskSettings
from blipvid.core.types import Questions
from blipvid.evaluate.statistics import Bounds, bootstrap_details, clustered, mean_intervals

CLUSTERS = "clips with all their questions"


@dataclass(frozen=True, slots=True)
class Accuracies:
    """Accuracies of one or more ways to answer the same questions.

    Attributes:
        metrics: Percent by name: for each way its own name, then `NAME_KIND` for each kind, the most frequent first.
        intervals: 95% interval by the same names; empty without resamples.
        details: For the record: `counts` of questions by kind and, where there are any, how `intervals` were found.
    """

    metrics: dict[str, float]
    intervals: dict[str, Bounds]
    details: dict[str, Any]


def accuracies(right: Mapping[str, npt.NDArray[Any]], items: Questions, settings: TaskSettings) -> Accuracies:
    """Counts.

    Args:
        right: For each name (Q,) bool, the questions that were answered rightly, or from 0 to 1 how right they were.
        items: Gives kinds and clips of the Q questions.
        settings: Number of resamples and their seed.
    """
    counts = dict(Counter(items.kinds).most_common())
    kind_of = np.array(items.kinds)
    columns = {}
    for name, own in right.items():
        percent = 100.0 * own
        columns[name] = percent
        columns |= {f"{name}_{kind}": np.where(kind_of == kind, percent, np.nan) for kind in counts}
    metrics = {name: float(np.nanmean(column)) for name, column in columns.items()}
    details: dict[str, Any] = {"counts": {**counts, "all": len(items.kinds)}}
    if not settings.bootstrap or not right:
        return Accuracies(metrics, {}, details)
    values = np.stack(list(columns.values()), axis=1)
    bounds = mean_intervals(values, items.question_clip, settings.bootstrap, settings.bootstrap_seed)
    drawn = CLUSTERS if clustered(items.question_clip) else "questions"
    details["intervals"] = bootstrap_details(settings.bootstrap, settings.bootstrap_seed, dict.fromkeys(right, drawn))
    return Accuracies(metrics, dict(zip(columns, bounds, strict=True)), details)
