import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from blipvid.evaluate.metrics import best_of_groups, figures, rank_own
from tests.evaluate.official import fold, rank_one
from tests.load_goldens import Goldens

# four clips with two texts each; text q belongs to clip q // 2
SCORES = np.array(
    [
        [9, 1, 2, 3, 4, 5, 6, 7],  # own 9 and 1: first
        [9, 8, 7, 1, 0, 0, 0, 0],  # own 7 and 1: third
        [5, 5, 5, 5, 5, 5, 5, 5],  # all tied, two of eight own: (8 + 1) / (2 + 1) = 3
        [4, 4, 1, 1, 1, 1, 0, 4],  # own 0 and 4: three tied, one own: (3 + 1) / 2 = 2
    ],
    np.float32,
)
CLIP = np.arange(8) // 2


def test_four_clips_by_eight_texts_by_hand() -> None:
    found = rank_own(SCORES, np.arange(4), CLIP, "expected")
    assert found.rank.tolist() == [1, 3, 3, 2]
    assert found.tied.tolist() == [False, False, True, True]
    assert found.best.tolist() == [9, 7, 5, 4]
    assert figures(found.rank, last=9) == {"r1": 25.0, "r5": 100.0, "r10": 100.0, "mdr": 2.5, "mnr": 2.25}
    # later items first: clip 2 owns texts 4 and 5 of eight, so 7 and 6 stand before; clip 3 owns the last
    assert rank_own(SCORES, np.arange(4), CLIP, "blip").rank.tolist() == [1, 3, 3, 1]


def test_groups_by_hand() -> None:
    scores, groups = best_of_groups(SCORES[:, ::-1], CLIP[::-1] * 10)
    assert groups.tolist() == [0, 10, 20, 30]
    assert scores.tolist() == [[9, 3, 5, 7], [9, 7, 0, 0], [5, 5, 5, 5], [4, 1, 1, 4]]
    assert rank_own(scores, np.arange(4) * 10, groups, "expected").rank.tolist() == [1, 2, 2.5, 1.5]


def test_a_query_without_own_items_misses() -> None:
    found = rank_own(SCORES, np.array([0, 1, 2, 99]), CLIP, "expected")
    assert found.rank.tolist() == [1, 3, 3, np.inf]
    assert not found.tied[3]
    assert figures(found.rank, last=9) == {"r1": 25.0, "r5": 75.0, "r10": 75.0, "mdr": 3.0, "mnr": 4.0}


@given(
    st.integers(1, 7).flatmap(
        lambda n: st.tuples(
            st.lists(
                st.lists(st.sampled_from([-100.0, 0.0, 0.5, 1.0]), min_size=n, max_size=n), min_size=1, max_size=4
            ),
            st.lists(st.integers(0, 3), min_size=n, max_size=n),
        )
    ),
    st.sampled_from(["expected", "blip"]),
    st.booleans(),
)
def test_ranks_equal_those_counted_one_by_one(
    case: tuple[list[list[float]], list[int]], ties: str, grouped: bool
) -> None:
    rows, groups = case
    queries = np.arange(len(rows))
    scores, item_group = np.array(rows, np.float32), np.array(groups)
    if grouped:
        scores, item_group = best_of_groups(scores, item_group)
    expected = []
    for query, row in enumerate(rows):
        items, owners = fold(row, groups) if grouped else (row, groups)
        expected.append(rank_one(items, [i for i, owner in enumerate(owners) if owner == query], ties))
    assert rank_own(scores, queries, item_group, ties).rank.tolist() == pytest.approx(expected)


@given(st.lists(st.lists(st.integers(0, 3), min_size=6, max_size=6), min_size=1, max_size=6), st.permutations(range(6)))
def test_the_expected_rank_depends_on_no_order(rows: list[list[int]], order: list[int]) -> None:
    scores, groups, queries = np.array(rows, float), np.array([0, 0, 1, 2, 3, 4]), np.arange(len(rows))
    first = rank_own(scores, queries, groups, "expected")
    second = rank_own(scores[:, order], queries, groups[order], "expected")
    assert first.rank.tolist() == second.rank.tolist()


@given(st.lists(st.one_of(st.integers(1, 40).map(lambda n: n / 2 + 0.5), st.just(np.inf)), min_size=1))
def test_recall_grows_with_k_and_the_median_is_numpys(ranks: list[float]) -> None:
    found = figures(np.array(ranks), last=50)
    assert 0 <= found["r1"] <= found["r5"] <= found["r10"] <= 100
    assert found["mdr"] == np.median([50 if rank == np.inf else rank for rank in ranks])


def _compare(found: dict[str, float], recorded: dict[str, float], prefix: str) -> None:
    for k in (1, 5, 10):
        assert found[f"r{k}"] == pytest.approx(recorded[f"{prefix}_r{k}"], abs=1e-9)
    if f"{prefix}_mdR" in recorded:
        assert found["mdr"] == recorded[f"{prefix}_mdR"]


@pytest.mark.parametrize("ties", ["expected", "blip"])
def test_recorded_metrics_of_random_matrices(goldens: Goldens, ties: str) -> None:
    case = goldens["image_retrieval"]
    scores, values = case.tensors("outputs"), case.meta["values"]
    image_of = np.arange(60) // 3
    text = rank_own(scores["rand_score_i2t"].numpy(), np.arange(20), image_of, ties)
    image = rank_own(scores["rand_score_t2i"].numpy(), image_of, np.arange(20), ties)
    _compare(figures(text.rank, 61), values["rand_metrics"], "txt")
    _compare(figures(image.rank, 21), values["rand_metrics"], "img")
    same = np.arange(40)
    to_text = rank_own(scores["rand_score_v2t"].numpy(), same, same, ties)
    to_video = rank_own(scores["rand_score_t2v"].numpy(), same, same, ties)
    _compare(figures(to_text.rank, 41), values["rand_video_metrics"], "txt")
    _compare(figures(to_video.rank, 41), values["rand_video_metrics"], "vid")
