"""Recall at every K with its interval, and how ranks are spread: the two pictures of a retrieval run."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from blipvid.bench.drawing import SIZE, as_svg
from blipvid.bench.labels import DIRECTIONS, OF_VIDEOS, Terms

MOST_K = 50
RESAMPLES = 1000
SEED = 42
COLOURS = {"t2v": "#1f6feb", "v2t": "#d9730d"}
EDGES = (1, 2, 3, 4, 6, 11, 21, 51, 101, 501)
"""First rank of each bar of the histogram."""


def recall_curve(
    ranks: npt.NDArray[np.float64], clusters: npt.NDArray[np.int64], most_k: int
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Returns recall at K = 1 to `most_k` in percent, with the bounds of 95% percentile bootstrap intervals.

    Args:
        ranks: (A,) ranks; inf is a miss.
        clusters: (A,) cluster of each query; whole clusters are drawn, as for the intervals of the table.
        most_k: Largest K.

    Returns:
        Recall, low and high, each (most_k,).
    """
    hits = (ranks[:, None] <= np.arange(1, most_k + 1)).astype(np.float64)
    of_cluster = np.unique(clusters, return_inverse=True)[1].reshape(-1)
    n = int(of_cluster.max()) + 1
    sums, sizes = np.zeros((n, most_k)), np.bincount(of_cluster, minlength=n)
    np.add.at(sums, of_cluster, hits)
    times = np.random.default_rng(SEED).multinomial(n, np.full(n, 1 / n), size=RESAMPLES)
    drawn = 100 * (times @ sums) / (times @ sizes)[:, None]
    low, high = np.percentile(drawn, [2.5, 97.5], axis=0)
    return 100 * hits.mean(axis=0), low, high


def pictures(predictions: Sequence[Mapping[str, Any]], terms: Terms = OF_VIDEOS) -> list[str]:
    """Returns two SVG pictures for the predictions of a retrieval run: recall curves and rank histogram."""
    words = terms.directions
    ranks = {
        direction: np.array(
            [np.inf if row["rank"] is None else row["rank"] for row in predictions if row["direction"] == direction]
        )
        for direction in DIRECTIONS
        if any(row.get("direction") == direction for row in predictions)
    }
    return [_recall_picture(ranks, predictions, words), _histogram(ranks, words)] if ranks else []


def _recall_picture(
    ranks: Mapping[str, npt.NDArray[np.float64]], predictions: Sequence[Mapping[str, Any]], words: Mapping[str, str]
) -> str:
    from matplotlib.figure import Figure

    figure = Figure(figsize=SIZE, layout="constrained")
    axes = figure.add_subplot()
    for direction, own in ranks.items():
        most_k = min(MOST_K, len(own))
        recall, low, high = recall_curve(own, _clusters(predictions, direction), most_k)
        ks = np.arange(1, most_k + 1)
        axes.fill_between(ks, low, high, color=COLOURS[direction], alpha=0.18, linewidth=0)
        axes.plot(ks, recall, color=COLOURS[direction], label=words[direction])
    axes.set(xlabel="K", ylabel="recall at K (%)", ylim=(0, 101), title="Recall at K, with 95% interval")
    return as_svg(figure, axes)


def _clusters(predictions: Sequence[Mapping[str, Any]], direction: str) -> npt.NDArray[np.int64]:
    """Queries about one clip belong together: a text's clip is its target, a clip is its own."""
    key = "target" if direction == "t2v" else "query"
    clips = [row[key] for row in predictions if row["direction"] == direction]
    return np.unique(clips, return_inverse=True)[1].reshape(-1).astype(np.int64)


def _histogram(ranks: Mapping[str, npt.NDArray[np.float64]], words: Mapping[str, str]) -> str:
    from matplotlib.figure import Figure

    figure = Figure(figsize=SIZE, layout="constrained")
    axes = figure.add_subplot()
    worst = max(float(own[np.isfinite(own)].max(initial=1)) for own in ranks.values())
    edges = [edge for edge in EDGES if edge <= worst]
    labels = [str(first) if last == first else f"{first}-{last}" for first, last in _bars(edges)]
    labels += [f"{edges[-1]}+", "miss"]
    for shift, (direction, own) in zip((-0.2, 0.2), ranks.items(), strict=False):
        # A half rank comes from a tie and counts with the rank before it.
        counts = np.histogram(own[np.isfinite(own)], bins=[*edges, np.inf])[0]
        shares = 100 * np.append(counts, np.isinf(own).sum()) / len(own)
        places = np.arange(len(labels)) + shift
        axes.bar(places, shares, 0.4, color=COLOURS[direction], label=words[direction])
    axes.set_xticks(np.arange(len(labels)), labels, rotation=45)
    axes.set(xlabel="rank of the right item", ylabel="queries (%)", title="Where the right item stands")
    return as_svg(figure, axes)


def _bars(edges: Sequence[int]) -> list[tuple[int, int]]:
    """Returns first and last rank of each bar but the open last one."""
    return [(first, following - 1) for first, following in pairwise(edges)]
