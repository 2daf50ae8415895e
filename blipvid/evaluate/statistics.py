"""How sure the figures are: bootstrap intervals over queries, and a paired test of two rankings of the same queries."""

import numpy as np
import numpy.typing as npt
from scipy import stats

from blipvid.evaluate.metrics import RECALLS, settle

LEVEL = 0.95
BATCH_CELLS = 2**22
"""Resampled queries held at once; a batch of resamples needs about 100 bytes for each."""


def intervals(
    rank: npt.NDArray[np.float64],
    last: float,
    clusters: npt.NDArray[np.int64],
    resamples: int,
    seed: int,
) -> dict[str, tuple[float, float]]:
    """Finds 95% percentile bootstrap intervals of all figures of one direction.

    Whole clusters are drawn, because queries about one clip succeed or fail together and drawing them one by one would
    make the interval too narrow. With one query a cluster this is the ordinary bootstrap over queries.

    Args:
        rank: (A,) ranks; inf is a miss.
        last: Rank of a miss in median and mean.
        clusters: (A,) cluster of each query, any integers.
        resamples: Number of resamples.
        seed: Seed of the drawing.

    Returns:
        For `r1`, `r5`, `r10` (percent), `mdr` and `mnr` the interval; [x, x] where all resamples agree.

    Source: Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13 (percentile interval).
    """
    names = [*(f"r{k}" for k in RECALLS), "mnr", "mdr"]
    settled = settle(rank, last)
    order = np.argsort(settled)
    ascending = settled[order]
    cluster = np.unique(clusters, return_inverse=True)[1].reshape(-1)
    n_clusters = int(cluster.max()) + 1
    of_query = np.stack([np.ones_like(rank), *(100.0 * (rank <= k) for k in RECALLS), settled], axis=1)
    of_cluster = np.zeros((n_clusters, of_query.shape[1]))
    np.add.at(of_cluster, cluster, of_query)

    def figures(drawn: npt.NDArray[np.int64], axis: int = -1) -> npt.NDArray[np.float64]:
        """Maps drawn clusters (..., n_clusters) to the figures (5, ...)."""
        drawn = drawn.reshape(-1, n_clusters)
        shifted = drawn + n_clusters * np.arange(len(drawn))[:, None]
        times = np.bincount(shifted.ravel(), minlength=drawn.size).reshape(drawn.shape).astype(np.int32)
        sums = times @ of_cluster
        # the median of queries repeated `times` over is read off the running count of the sorted ranks
        running = np.cumsum(np.take(times, cluster[order], axis=1), axis=1, dtype=np.int32)
        total = running[:, -1:]
        low = ascending[np.argmax(running > (total - 1) // 2, axis=1)]
        high = ascending[np.argmax(running > total // 2, axis=1)]
        return np.concatenate([(sums[:, 1:] / sums[:, :1]).T, (low + high)[None] / 2])

    if n_clusters == 1:  # nothing to draw, and scipy asks for two
        only = figures(np.zeros(1, np.int64))[:, 0]
        return {name: (float(value), float(value)) for name, value in zip(names, only, strict=True)}
    found = stats.bootstrap(
        (np.arange(n_clusters),),
        figures,
        n_resamples=resamples,
        batch=max(1, BATCH_CELLS // len(rank)),
        vectorized=True,
        axis=-1,
        confidence_level=LEVEL,
        method="percentile",
        random_state=np.random.default_rng(seed),
    ).confidence_interval
    return {name: (float(low), float(high)) for name, low, high in zip(names, found.low, found.high, strict=True)}


def mcnemar(ours: npt.NDArray[np.bool_], theirs: npt.NDArray[np.bool_]) -> dict[str, float]:
    """Tests whether two rankings of the same queries differ, by McNemar's exact two-sided test.

    Args:
        ours: (A,) bool, queries that one ranking got right.
        theirs: (A,) bool, queries that the other got right.

    Returns:
        `gained`: right only in ours; `lost`: right only in theirs; `p`: chance of a split at least this uneven if
        neither were better; 1 where the two agree everywhere.

    Source: McNemar 1947; exact form by the binomial distribution of the discordant queries.
    """
    gained, lost = int(np.sum(ours & ~theirs)), int(np.sum(theirs & ~ours))
    p = float(stats.binomtest(gained, gained + lost).pvalue) if gained + lost else 1.0
    return {"gained": gained, "lost": lost, "p": p}
