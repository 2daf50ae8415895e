import numpy as np
import pytest
from scipy import stats

from blipvid.evaluate import statistics
from blipvid.evaluate.statistics import mcnemar, mean_intervals, paired_details, rank_intervals

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
    found = rank_intervals(rank, 1000, np.arange(len(rank)), resamples=500, seed=11)
    for k in (1, 5, 10):
        assert found[f"r{k}"] == _scipys(100.0 * np.less_equal(rank, k), np.mean)
    assert found["mnr"] == _scipys(rank, np.mean)
    assert found["mdr"] == _scipys(rank, np.median)


def test_misses_count_in_every_figure() -> None:
    missed = np.where(np.arange(len(RANK)) % 4 == 0, np.inf, RANK)
    found = rank_intervals(missed, 1000, np.arange(len(RANK)), resamples=500, seed=11)
    settled = np.where(np.isinf(missed), 1000, missed)
    assert found["r10"][0] < 100 * np.mean(missed <= 10) < found["r10"][1]
    assert found["mnr"][0] < settled.mean() < found["mnr"][1]
    assert found["mnr"][0] > 100


def test_copies_of_a_query_in_its_cluster_tell_nothing_new() -> None:
    single = rank_intervals(RANK, 1000, np.arange(len(RANK)), resamples=200, seed=1)
    order = np.random.default_rng(0).permutation(7 * len(RANK))
    clusters = np.repeat(np.arange(len(RANK)), 7)
    copied = rank_intervals(np.repeat(RANK, 7)[order], 1000, clusters[order] * 3, resamples=200, seed=1)
    assert {name: pytest.approx(bound) for name, bound in single.items()} == copied
    alone = rank_intervals(np.repeat(RANK, 7), 1000, np.arange(7 * len(RANK)), resamples=200, seed=1)
    assert alone["r5"][1] - alone["r5"][0] < 0.6 * (single["r5"][1] - single["r5"][0])


def test_uneven_clusters_are_weighted_by_their_queries() -> None:
    # one cluster of 9 hits, one of 1 miss: the share of hits is 0, 90 or 100 percent, with chances 1/4, 1/2, 1/4
    rank, clusters = np.array([1.0] * 9 + [7.0]), np.array([0] * 9 + [1])
    found = rank_intervals(rank, 10, clusters, resamples=400, seed=0)
    assert found["r1"] == (0.0, 100.0)
    assert found["mdr"] == (1.0, 7.0)
    assert found["r10"] == (100.0, 100.0)


@pytest.mark.parametrize("n", [1, 2, 30])
def test_data_without_spread_give_a_point(n: int) -> None:
    assert rank_intervals(np.full(n, 2.5), 9, np.zeros(n, int), 100, 0)["mdr"] == (2.5, 2.5)
    found = rank_intervals(np.ones(n), 9, np.arange(n), 100, 0)
    assert found == {"r1": (100, 100), "r5": (100, 100), "r10": (100, 100), "mdr": (1, 1), "mnr": (1, 1)}


def test_the_seed_decides() -> None:
    clusters = np.arange(len(RANK))
    assert rank_intervals(RANK, 9, clusters, 50, 5) == rank_intervals(RANK, 9, clusters, 50, 5)
    assert rank_intervals(RANK, 9, clusters, 50, 5) != rank_intervals(RANK, 9, clusters, 50, 6)


def _naively(values: np.ndarray, clusters: np.ndarray, resamples: int, seed: int) -> list[tuple[float, float]]:
    """Draws one resample after the other, copies the queries of each drawn cluster, and takes the means."""
    generator, names = np.random.default_rng(seed), np.unique(clusters)
    found = []
    for drawn in generator.integers(0, len(names), (resamples, len(names))):
        rows = np.concatenate([values[clusters == names[place]] for place in drawn])
        found.append([np.mean(own[~np.isnan(own)]) if (~np.isnan(own)).any() else np.nan for own in rows.T])
    columns = [column[~np.isnan(column)] for column in np.array(found).T]
    return [(np.percentile(column, 2.5), np.percentile(column, 97.5)) for column in columns]


@pytest.mark.parametrize("n_clusters", [1, 2, 7, 40])
def test_means_of_columns_are_those_of_a_naive_loop(n_clusters: int) -> None:
    generator = np.random.default_rng(n_clusters)
    clusters = np.concatenate([np.arange(n_clusters), generator.integers(0, n_clusters, 80)]) * 5
    values = 100.0 * (generator.random((len(clusters), 3)) < 0.4)
    values[generator.random(len(clusters)) < 0.5, 1] = np.nan
    values[clusters != 0, 2] = np.nan  # counts in one cluster only, so that some resamples have no such query
    found = mean_intervals(values, clusters, 300, 9)
    assert found == [pytest.approx(bounds) for bounds in _naively(values, clusters, 300, 9)]
    assert found[2][0] == pytest.approx(found[2][1])


def test_one_query_a_cluster_is_scipys_own_bootstrap_of_means() -> None:
    hits = 100.0 * (RANK <= 2)
    both = mean_intervals(np.stack([hits, RANK], axis=1), np.arange(len(RANK)), 100, 11)
    for found, sample in zip(both, (hits, RANK), strict=True):
        expected = stats.bootstrap(
            (sample,), np.mean, n_resamples=100, method="percentile", random_state=np.random.default_rng(11)
        ).confidence_interval
        assert found == pytest.approx((expected.low, expected.high))


def test_batches_of_resamples_hold_what_they_may(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(statistics, "BATCH_CELLS", 50)
    sizes: list[tuple[int, ...]] = []

    def figures(times: np.ndarray) -> np.ndarray:
        sizes.append(times.shape)
        assert (times.sum(axis=1) == 8).all()
        return times[:, :1].astype(float)

    statistics.cluster_bootstrap(figures, 8, 20, 5, 0)
    assert sizes == [(2, 8), (2, 8), (1, 8)]


def test_mcnemar_by_hand() -> None:
    ours = np.array([1, 1, 1, 1, 1, 1, 0, 1, 0], bool)
    theirs = np.array([0, 0, 0, 0, 0, 0, 1, 1, 0], bool)
    # 6 gained, 1 lost: 2 * (C(7,0) + C(7,1)) / 2^7
    assert mcnemar(ours, theirs) == {"gained": 6, "lost": 1, "p": pytest.approx(16 / 128)}
    assert mcnemar(ours, ours) == {"gained": 0, "lost": 0, "p": 1.0}


def test_a_paired_test_says_when_queries_hang_together() -> None:
    ours, theirs = ("new", np.array([True, True, False])), ("old", np.array([False, True, True]))
    alone = paired_details("r1", ours, theirs, np.array([4, 2, 9]), "texts")
    assert alone == {
        "metric": "r1",
        "ours": "new",
        "theirs": "old",
        "test": "exact McNemar",
        "gained": 1,
        "lost": 1,
        "p": 1.0,
    }
    together = paired_details("r1", ours, theirs, np.array([4, 4, 9]), "texts")
    assert together == {**alone, "note": "takes the texts of one clip as independent, so p is too small"}
