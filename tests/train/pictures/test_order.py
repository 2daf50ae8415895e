from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from blipvid.train.pictures.order import BLOCK, Mixture, Walk, shares

LENGTHS = st.lists(st.integers(1, 30), min_size=1, max_size=4)


def walk(length: int, seed: tuple[int, int] = (3, 0)) -> Walk:
    return Walk(length, lambda rng: rng.permutation(length), seed)


@given(st.integers(1, 40), st.integers(0, 5))
def test_each_epoch_of_a_set_is_another_permutation_of_it(length: int, epoch: int) -> None:
    own = walk(length)
    found = [own[epoch * length + place] for place in range(length)]
    assert {number for number, _ in found} == {epoch}
    assert sorted(sample for _, sample in found) == list(range(length))


def test_orders_differ_between_epochs_sets_and_seeds() -> None:
    orders = [
        [own[place][1] for place in places]
        for own, places in (
            (walk(30), range(30)),
            (walk(30), range(30, 60)),
            (walk(30, (3, 1)), range(30)),
            (walk(30, (4, 0)), range(30)),
        )
    ]
    assert len({tuple(order) for order in orders}) == 4


@given(LENGTHS, st.integers(0, 3), st.data())
def test_without_weights_an_epoch_shows_every_sample_once_wherever_one_begins(
    lengths: list[int], epoch: int, data: st.DataObject
) -> None:
    total = sum(lengths)
    straight = Mixture(lengths, 5)
    found = [straight[epoch * total + place] for place in range(total)]
    wanted = {(which, epoch * length + k) for which, length in enumerate(lengths) for k in range(length)}
    assert set(found) == wanted
    place = data.draw(st.integers(0, total - 1))
    assert Mixture(lengths, 5)[epoch * total + place] == found[place]


def test_weighted_sets_walk_at_their_own_pace() -> None:
    mixture = Mixture(shares([3.0, 1.0]), 5)
    found = [mixture[position] for position in range(5 * BLOCK)]
    assert Counter(which for which, _ in found) == {0: 3750, 1: 1250}
    for which in (0, 1):
        assert [own for one, own in found if one == which] == list(range(3750 if which == 0 else 1250))
    runs = np.flatnonzero(np.diff([which for which, _ in found]))
    assert np.diff(runs).max() < 60  # the sets stand mixed, not one behind the other


@given(st.lists(st.floats(1e-6, 1e6), min_size=1, max_size=6))
def test_shares_fill_a_block_and_follow_the_weights(weights: list[float]) -> None:
    counts = shares(weights)
    assert sum(counts) == BLOCK
    assert min(counts) >= 1
    exact = np.array(weights) / np.sum(weights) * BLOCK
    assert np.abs(counts - exact).max() <= len(weights)


def test_shares_of_round_weights_are_exact() -> None:
    assert shares([0.2, 0.3, 0.5]) == [200, 300, 500]
    assert shares([1e-9, 1.0]) == [1, 999]


@pytest.mark.parametrize("position", [0, 10**12])
def test_any_position_is_reached_at_once(position: int) -> None:
    which, own = Mixture(shares([1, 1]), 0)[position]
    assert walk(7)[own] == (own // 7, walk(7)[own][1])
    assert which in (0, 1)
