"""Accuracy by kind of question, with its interval: the picture of a run of question answering."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from blipvid.bench.drawing import SIZE, as_svg
from blipvid.bench.labels import FigureName
from blipvid.bench.record import Run
from blipvid.bench.tables import Row, rows_of

COLOURS = ("#1f6feb", "#d9730d")
INK = "#1c1e21"
BASELINES = {"commonest": "commonest answer", "chance": "chance"}
"""Figure of a row that accuracy should be seen against -> its words."""

BAR = 0.8
"""Width of the bars of one kind together; kinds are 1 apart."""

INCHES_A_KIND, LEGEND_INCHES = 0.62, 2.6
LONG_WORD = 9
"""Letters from which the names of kinds would run into each other."""


def accuracy_picture(run: Run) -> str:
    """Returns bars of accuracy by kind, one colour a protocol, for a run of question answering."""
    from matplotlib.figure import Figure

    protocols = _by_protocol(run)
    first = next(iter(protocols.values()))  # every protocol answers the same questions
    figure = Figure(figsize=(max(SIZE[0], LEGEND_INCHES + INCHES_A_KIND * len(first)), SIZE[1]), layout="constrained")
    axes = figure.add_subplot()
    width = BAR / len(protocols)
    for number, (protocol, rows) in enumerate(protocols.items()):
        places = np.arange(len(rows)) + width * (number + 0.5) - BAR / 2
        heights = [row.ours for row in rows.values()]
        axes.bar(places, heights, 0.92 * width, color=COLOURS[number % len(COLOURS)], label=protocol)
        axes.errorbar(places, heights, _reach(list(rows.values())), fmt="none", ecolor=INK, elinewidth=1, capsize=2)
    _draw_baselines(axes, list(first.values()))
    words = [kind if row.questions is None else f"{kind}\n{row.questions:,}" for kind, row in first.items()]
    axes.set_xticks(np.arange(len(first)), words, rotation=30 if max(map(len, first)) >= LONG_WORD else 0)
    axes.set(ylabel="right answers (%)", ylim=(0, 104), title="Accuracy by kind of question, with 95% interval")
    figure.legend(frameon=False, loc="outside right center")  # bars may be as high as the axes
    return as_svg(figure, axes, legend=False)


def _by_protocol(run: Run) -> Mapping[str, Mapping[str, Row]]:
    found: dict[str, dict[str, Row]] = {}
    for row in rows_of(run):
        if (kind := FigureName.of(row.metric).kind) is not None:
            found.setdefault(row.protocol, {})[kind] = row
    return found


def _reach(rows: Sequence[Row]) -> tuple[list[float], list[float]]:
    """Returns how far each interval reaches below and above its figure; nothing is drawn for nan."""
    bounds = [row.interval or (np.nan, np.nan) for row in rows]
    heights = [row.ours for row in rows]
    below = [height - low for height, (low, _) in zip(heights, bounds, strict=True)]
    return below, [high - height for height, (_, high) in zip(heights, bounds, strict=True)]


def _draw_baselines(axes: Any, rows: Sequence[Row]) -> None:
    for key, words in BASELINES.items():
        known = [(place, value) for place, row in enumerate(rows) if (value := getattr(row, key)) is not None]
        if known:
            places, values = zip(*known, strict=True)
            begins = np.array(places) - BAR / 2
            axes.hlines(values, begins, begins + BAR, color=INK, linestyles="dotted", label=words)
