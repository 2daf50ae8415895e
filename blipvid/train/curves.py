"""A picture of a run: its losses, its learning rate, and what validations found."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from blipvid.core.files import replacing
from blipvid.train.states import METRICS, read_metrics

CURVES = "curves.png"
LOSSES = ("itc", "itm", "lm", "nlvr")
SMOOTHED_OVER = 50
"""A loss is drawn as the mean over a fiftieth of the run, and faintly as it was."""


def draw_curves(folder: Path, scores: Sequence[str] = ()) -> Path | None:
    """Draws `curves.png` from the metrics in the folder of a run.

    Args:
        folder: Of the run.
        scores: Which metrics of validations are drawn.

    Returns:
        The picture, or None where no step has been done yet.
    """
    from matplotlib.figure import Figure

    lines = list(read_metrics(folder / METRICS))
    if not lines:
        return None
    losses = [name for name in LOSSES if name in lines[0]]
    figure = Figure(figsize=(9.0 if scores else 5.2, 3.4), layout="constrained")
    axes = figure.subplots(1, 2 if scores else 1, squeeze=False)[0]
    steps = np.array([line["step"] for line in lines])
    for name in losses:
        values = np.array([line[name] for line in lines])
        (smooth,) = axes[0].plot(steps, _smoothed(values), label=name)
        axes[0].plot(steps, values, color=smooth.get_color(), alpha=0.2, linewidth=0.6)
    axes[0].set_ylabel("loss")
    axes[0].set_ylim(bottom=0)
    rate = axes[0].twinx()
    rate.plot(steps, [line["lr"] for line in lines], color="0.6", linestyle=":", label="learning rate")
    rate.set_ylabel("learning rate")
    rate.set_ylim(bottom=0)
    axes[0].legend(handles=[*axes[0].get_lines()[::2], *rate.get_lines()], frameon=False)
    for name in scores:
        found = [(line["step"], line[name]) for line in lines if name in line]
        axes[1].plot(*zip(*found, strict=True), marker="o", markersize=3, label=name)
        axes[1].set_ylabel("validation")
        axes[1].legend(frameon=False)
    for one in axes:
        one.set_xlabel("step")
    for one in (*axes, rate):
        one.spines["top"].set_visible(False)
    path = folder / CURVES
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=120)
    return path


def _smoothed(values: np.ndarray) -> np.ndarray:
    """Returns the running mean, (N,), over windows that end at each place and are shorter at the beginning."""
    width = max(1, len(values) // SMOOTHED_OVER)
    sums = np.concatenate([[0.0], values.cumsum()])
    ends = np.arange(1, len(values) + 1)
    begins = np.maximum(0, ends - width)
    return (sums[ends] - sums[begins]) / (ends - begins)
