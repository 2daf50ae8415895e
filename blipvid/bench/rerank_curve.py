"""Recall by the number of candidates that were re-ranked: as a table, and as a picture."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

from blipvid.bench.curves import COLOURS
from blipvid.bench.drawing import SIZE
from blipvid.bench.labels import RANKS, Terms
from blipvid.bench.record import CURVE, CURVE_PICTURE
from blipvid.core.errors import ConfigError
from blipvid.core.files import replacing

STYLES = {"r1": "-", "r5": "--", "r10": ":"}


def write_curve(folder: Path, curve: Mapping[str, Sequence[float]], title: str, terms: Terms) -> None:
    """Writes `curve.csv`, one line for each number of candidates from 0, and `curve.png`.

    Args:
        folder: Of the run.
        curve: As in `Result.curve`.
        title: Of the picture.
        terms: What directions are called in the run.

    Raises:
        ConfigError: The folder cannot be written.
    """
    try:
        with replacing(folder / CURVE) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
            table = csv.writer(file)
            table.writerow(curve)
            for k, *figures in zip(*curve.values(), strict=True):
                table.writerow([int(k), *(round(figure, 4) for figure in figures)])
        with replacing(folder / CURVE_PICTURE) as temporary:
            _draw(temporary, curve, title, terms)
    except OSError as error:
        raise ConfigError(f"{folder}: cannot be written ({error.strerror}); give another --out.") from error


def _draw(path: Path, curve: Mapping[str, Sequence[float]], title: str, terms: Terms) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=SIZE, layout="constrained")
    axes = figure.add_subplot()
    for direction, words in terms.directions.items():
        for measure, style in STYLES.items():
            values = curve[f"{direction}_{measure}"]
            axes.plot(curve["k"], values, style, color=COLOURS[direction], label=f"{words} {RANKS[measure]}")
    axes.set(xlabel="candidates re-ranked (0: cosine alone)", ylabel="recall (%)", ylim=(0, 101), title=title)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", alpha=0.25)
    axes.legend(frameon=False, fontsize="x-small")
    figure.savefig(path, format="png", dpi=150)
