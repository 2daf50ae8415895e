"""How sure the figures are: bootstrap intervals over whole clips, and a paired test of two answers to the same queries.

Whole clusters are drawn, because queries about one clip succeed or fail together and drawing them one by one would make
the interval too narrow. With one query a cluster this is the ordinary bootstrap over queries.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import stats

from blipvid.evaluate.metrics import RECALLS, settle

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Bounds = tuple[float, float]

Figures = Callable[[npt.NDArray[np.int32]], Floats]
"""Maps (R, C), how often each of C clusters was drawn in each of R resamples, to M figures of each resample (R, M)."""

LEVEL = 0.95
BATCH_CELLS = 2**22
"""Numbers held at once for the resamples of a batch; each needs about 100 bytes."""


def cluster_bootstrap(figures: Figures, n_clusters: int, cells: int, resamples: int, seed: int) -> list[Bounds]:
    """Finds 95% percentile bootstrap intervals of any figures.

    Args:
        figures: Makes the figures; nan where a resample has none.
        n_clusters: Number of clusters (C).
        cells: Numbers that `figures` holds for each resample.
        resamples: Number of resamples.
        seed: Seed of the drawing.

    Returns:
        The interval of each of the M figures over the resamples that have it; [x, x] where all of them agree.

    Source: Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13 (percentile interval).
    """
    generator = np.random.default_rng(seed)
    batch = max(1, BATCH_CELLS // cells)
    found = []
    for start in range(0, resamples, batch):
        n = min(batch, resamples - start)
        drawn = generator.integers(0, n_clusters, (n, n_clusters))
        drawn += n_clusters * np.arange(n)[:, None]
        found.append(figures(np.bincount(drawn.ravel(), minlength=drawn.size).reshape(drawn.shape).astype(np.int32)))
    tail = (1 - LEVEL) / 2
    low, high = np.nanpercentile(np.concatenate(found), [100 * tail, 100 * (1 - tail)], axis=0)
    return list(zip(low.tolist(), high.tolist(), strict=True))


def mean_intervals(values: Floats, clusters: Ints, resamples: int, seed: int) -> list[Bounds]:
    """Finds the intervals of the means of several columns, all from the same resamples.

    Args:
        values: (A, M), one row a query; nan where a query does not count in a column.
        clusters: (A,) cluster of each query, any integers.
        resamples: Number of resamples.
        seed: Seed of the drawing.

    Returns:
        For each column the 95% interval. Resamples without any query that counts in a column are left out of its
        interval.
    """
    cluster, n_clusters = _numbered(clusters)
    return cluster_bootstrap(_means(values, cluster, n_clusters), n_clusters, n_clusters, resamples, seed)


def rank_intervals(rank: Floats, last: float, clusters: Ints, resamples: int, seed: int) -> dict[str, Bounds]:
    """Finds the intervals of all figures of one direction of retrieval.

    Args:
        rank: (A,) ranks; inf is a miss.
        last: Rank of a miss in median and mean.
        clusters: (A,) cluster of each query, any integers.
        resamples: Number of resamples.
        seed: Seed of the drawing.

    Returns:
        For `r1`, `r5`, `r10` (percent), `mdr` and `mnr` the 95% interval.
    """
    settled = settle(rank, last)
    cluster, n_clusters = _numbered(clusters)
    means = _means(np.stack([*(100.0 * (rank <= k) for k in RECALLS), settled], axis=1), cluster, n_clusters)
    median = _median(settled, cluster)
    bounds = cluster_bootstrap(
        lambda times: np.column_stack([means(times), median(times)]), n_clusters, len(rank), resamples, seed
    )
    return dict(zip([*(f"r{k}" for k in RECALLS), "mnr", "mdr"], bounds, strict=True))


def _numbered(clusters: Ints) -> tuple[Ints, int]:
    """Returns the clusters as numbers from 0, and how many there are."""
    names, number = np.unique(clusters, return_inverse=True)
    return number.reshape(-1), len(names)


def _means(values: Floats, cluster: Ints, n_clusters: int) -> Figures:
    """The means of columns (A, M) over resamples of clusters."""
    counts, sums = np.zeros((2, n_clusters, values.shape[1]))
    np.add.at(counts, cluster, ~np.isnan(values))
    np.add.at(sums, cluster, np.nan_to_num(values))

    def means(times: npt.NDArray[np.int32]) -> Floats:
        total = times @ counts
        return np.divide(times @ sums, total, out=np.full(total.shape, np.nan), where=total > 0)

    return means


def _median(values: Floats, cluster: Ints) -> Figures:
    """The median of one column (A,) over resamples of clusters."""
    order = np.argsort(values)
    ascending, cluster_of = values[order], cluster[order]

    def median(times: npt.NDArray[np.int32]) -> Floats:
        # the median of queries repeated `times` over is read off the running count of the sorted values
        running = np.cumsum(np.take(times, cluster_of, axis=1), axis=1, dtype=np.int32)
        total = running[:, -1:]
        low = ascending[np.argmax(running > (total - 1) // 2, axis=1)]
        high = ascending[np.argmax(running > total // 2, axis=1)]
        return (low + high) / 2

    return median


def clustered(clusters: Ints) -> bool:
    """Whether any cluster has more than one query."""
    return len(np.unique(clusters)) < len(clusters)


def bootstrap_details(resamples: int, seed: int, resampled: dict[str, str]) -> dict[str, Any]:
    """Says for the record how the intervals were found; `resampled` names what was drawn for each group of figures."""
    return {"method": f"{LEVEL:.0%} percentile bootstrap", "resamples": resamples, "seed": seed, "resampled": resampled}


def mcnemar(ours: Bools | Floats, theirs: Bools | Floats) -> dict[str, float]:
    """Tests whether two answers to the same queries differ, by McNemar's exact two-sided test.

    Where answers can be right in part it is the exact sign test, which is the same of what is right or wrong.

    Args:
        ours: (A,) bool, queries that one of them got right; or float, how right it got them.
        theirs: (A,) the same of the other.

    Returns:
        `gained`: right only, or more, in ours; `lost`: in theirs; `p`: chance of a split at least this uneven if
        neither were better; 1 where the two agree everywhere.

    Source: McNemar 1947; exact form by the binomial distribution of the discordant queries.
    """
    gained, lost = int(np.sum(ours > theirs)), int(np.sum(ours < theirs))
    p = float(stats.binomtest(gained, gained + lost).pvalue) if gained + lost else 1.0
    return {"gained": gained, "lost": lost, "p": p}


def paired_details(
    metric: str, ours: tuple[str, Bools | Floats], theirs: tuple[str, Bools | Floats], clusters: Ints, queries: str
) -> dict[str, Any]:
    """Tests two named ways against each other for the record.

    Args:
        metric: What "right" means, by the name of its metric.
        ours: Name of one way, and (A,) which queries it got right, or how right.
        theirs: The other.
        clusters: (A,) cluster of each query.
        queries: What a query is called, in the plural.
    """
    in_part = any(((of[1] > 0) & (of[1] < 1)).any() for of in (ours, theirs))
    test = "exact sign test" if in_part else "exact McNemar"
    found: dict[str, Any] = {"metric": metric, "ours": ours[0], "theirs": theirs[0], "test": test}
    found |= mcnemar(ours[1], theirs[1])
    if clustered(clusters):
        found["note"] = f"takes the {queries} of one clip as independent, so p is too small"
    return found
