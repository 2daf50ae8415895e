import numpy as np
import pytest
from scipy import stats

from blipvid.evaluate import statistics
from blipvid.evaluate.statistics import intervals, mcnemar

RANK = np.random.default_rng(3).geometric(0.2, 301).astype(float)
FINE = 1 + np.random.default_rng(4).exponential(30, 60)  # all differ, so the mean of the two middle ones shows


def _scipys(sample: np.ndarray, statistic: object) -> tuple[float, float]:
    found = stats.bootstrap(
        (sample,),
        statistic,
        n_resamples=500,
        batch=100,
        method="percentile",
        random_state=np.random.default_rng(11),
    ).confidence_interval
    return pytest.approx((found.low, found.high), abs=1e-9)


@pytest.mark.parametrize("rank", [RANK, FINE, FINE[1:]], ids=["whole", "even", "odd"])
def test_one_query_a_cluster_is_scipys_own_bootstrap(monkeypatch: pytest.MonkeyPatch, rank: np.ndarray) -> None:
    monkeypatch.setattr(statistics, "BATCH_CELLS", 100 * len(rank))  # the same batches draw the same samples
    found = intervals(rank, 1000, np.arange(len(rank)), resamples=500, seed=11)
    for k in (1, 5, 10):
        assert found[f"r{k}"] == _scipys(100.0 * np.less_equal(rank, k), np.mean)
    assert found["mnr"] == _scipys(rank, np.mean)
    assert found["mdr"] == _scipys(rank, np.median)


def test_misses_count_in_every_figure() -> None:
    missed = np.where(np.arange(len(RANK)) % 4 == 0, np.inf, RANK)
    found = intervals(missed, 1000, np.arange(len(RANK)), resamples=500, seed=11)
    settled = np.where(np.isinf(missed), 1000, missed)
    assert found["r10"][0] < 100 * np.mean(missed <= 10) < found["r10"][1]
    assert found["mnr"][0] < settled.mean() < found["mnr"][1]
    assert found["mnr"][0] > 100


def test_copies_of_a_query_in_its_cluster_tell_nothing_new() -> None:
    single = intervals(RANK, 1000, np.arange(len(RANK)), resamples=200, seed=1)
    order = np.random.default_rng(0).permutation(7 * len(RANK))
    clusters = np.repeat(np.arange(len(RANK)), 7)
    copied = intervals(np.repeat(RANK, 7)[order], 1000, clusters[order] * 3, resamples=200, seed=1)
    assert {name: pytest.approx(bound) for name, bound in single.items()} == copied
    alone = intervals(np.repeat(RANK, 7), 1000, np.arange(7 * len(RANK)), resamples=200, seed=1)
    assert alone["r5"][1] - alone["r5"][0] < 0.6 * (single["r5"][1] - single["r5"][0])


def test_uneven_clusters_are_weighted_by_their_queries() -> None:
    # one cluster of 9 hits, one of 1 miss: the share of hits is 0, 90 or 100 percent, with chances 1/4, 1/2, 1/4
    rank, clusters = np.array([1.0] * 9 + [7.0]), np.array([0] * 9 + [1])
    found = intervals(rank, 10, clusters, resamples=400, seed=0)
    assert found["r1"] == (0.0, 100.0)
    assert found["mdr"] == (1.0, 7.0)
    assert found["r10"] == (100.0, 100.0)


@pytest.mark.parametrize("n", [1, 2, 30])
def test_data_without_spread_give_a_point(n: int) -> None:
    assert intervals(np.full(n, 2.5), 9, np.zeros(n, int), 100, 0)["mdr"] == (2.5, 2.5)
    found = intervals(np.ones(n), 9, np.arange(n), 100, 0)
    assert found == {"r1": (100, 100), "r5": (100, 100), "r10": (100, 100), "mdr": (1, 1), "mnr": (1, 1)}


def test_the_seed_decides() -> None:
    clusters = np.arange(len(RANK))
    assert intervals(RANK, 9, clusters, 50, 5) == intervals(RANK, 9, clusters, 50, 5)
    assert intervals(RANK, 9, clusters, 50, 5) != intervals(RANK, 9, clusters, 50, 6)


def test_mcnemar_by_hand() -> None:
    ours = np.array([1, 1, 1, 1, 1, 1, 0, 1, 0], bool)
    theirs = np.array([0, 0, 0, 0, 0, 0, 1, 1, 0], bool)
    # 6 gained, 1 lost: 2 * (C(7,0) + C(7,1)) / 2^7
    assert mcnemar(ours, theirs) == {"gained": 6, "lost": 1, "p": pytest.approx(16 / 128)}
    assert mcnemar(ours, ours) == {"gained": 0, "lost": 0, "p": 1.0}
