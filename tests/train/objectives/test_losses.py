import math

import pytest
import torch

from blipvid.core.errors import DataError
from blipvid.train.objectives.losses import (
    IGNORED,
    contrastive_loss,
    draw_negatives,
    lm_labels,
    lm_loss,
    matching_loss,
    matching_targets,
    negative_weights,
)


def test_targets_share_out_over_equal_ids() -> None:
    found = matching_targets(torch.tensor([4, 7]), torch.tensor([4, 7, 4, 9]))
    assert found.tolist() == [[0.5, 0, 0.5, 0], [0, 1, 0, 0]]


def test_contrastive_loss_agrees_with_brute_force() -> None:
    generator = torch.Generator().manual_seed(0)
    sim = torch.randn(5, 5, generator=generator)
    targets = matching_targets(*2 * [torch.tensor([0, 1, 0, 2, 3])])

    def one_way(rows: torch.Tensor) -> float:
        total = 0.0
        for i in range(5):
            among = sum(math.exp(rows[i, k]) for k in range(5))
            total -= sum(targets[i, j].item() * math.log(math.exp(rows[i, j]) / among) for j in range(5))
        return total / 5

    wanted = (one_way(sim) + one_way(sim.T)) / 2
    assert contrastive_loss(sim, sim.T, targets, targets).item() == pytest.approx(wanted, rel=1e-5)


def test_matching_loss_agrees_with_brute_force() -> None:
    logits = torch.tensor([[0.2, 1.3], [-0.4, 0.1], [2.0, -1.0]])
    right = [1, 0, 0]
    wanted = (
        -sum(math.log(math.exp(row[k]) / sum(math.exp(x) for x in row)) for row, k in zip(logits, right, strict=True))
        / 3
    )
    assert matching_loss(logits, 1).item() == pytest.approx(wanted, rel=1e-5)


def test_negatives_are_drawn_as_often_as_their_likeness_says() -> None:
    torch.manual_seed(0)
    sim = torch.tensor([[9.0, 2.0, 1.0, 0.0], [0.0, 9.0, 0.0, 3.0], [1.0, 1.0, 9.0, 1.0], [0.5, 0.0, 2.5, 9.0]])
    ids = torch.tensor([0, 1, 2, 0])
    same = ids[:, None] == ids
    drawn = [draw_negatives(negative_weights(sim.T, same), negative_weights(sim, same)) for _ in range(4000)]
    for name, rows in (("texts", sim), ("images", sim.T)):
        counts = torch.zeros(4, 4)
        for negatives in drawn:
            counts[torch.arange(4), getattr(negatives, name)] += 1 / 4000
        weights = rows.exp()
        weights[same] = 0
        torch.testing.assert_close(counts, weights / weights.sum(1, keepdim=True), atol=0.03, rtol=0)
        assert counts.diagonal().abs().max() == 0


def test_a_floor_lets_every_wrong_pair_be_drawn() -> None:
    sim = torch.tensor([[50.0, 0.0, 0.0], [0.0, 1.0, 1.0]])
    same = torch.tensor([[True, False, False], [False, True, False]])
    weights = negative_weights(sim, same, floor=1e-4)
    torch.testing.assert_close(weights[0], torch.tensor([0.0, 1e-4, 1e-4]))
    e = math.e
    torch.testing.assert_close(weights[1], torch.tensor([1 / (1 + 2 * e), 0.0, e / (1 + 2 * e)]) + 1e-4 * ~same[1])


def test_a_pair_far_more_alike_than_all_others_still_leaves_negatives() -> None:
    # In float32 a softmax over everything would leave nothing but zeros once the own pair is taken out.
    sim = torch.full((3, 3), -500.0).fill_diagonal_(500.0)
    weights = negative_weights(sim, torch.eye(3, dtype=torch.bool))
    negatives = draw_negatives(weights, weights)
    assert (negatives.texts != torch.arange(3)).all()
    assert (negatives.images != torch.arange(3)).all()


def test_a_batch_of_one_id_is_refused() -> None:
    with pytest.raises(DataError, match="same picture"):
        negative_weights(torch.zeros(2, 2), torch.ones(2, 2, dtype=torch.bool))


def test_language_model_loss_agrees_with_brute_force() -> None:
    logits = torch.randn(2, 4, 5, generator=torch.Generator().manual_seed(0))
    labels = lm_labels(torch.tensor([[4, 2, 3, 0], [4, 1, 2, 3]]), torch.tensor([[1, 1, 1, 0], [1, 1, 1, 1]]))
    assert labels.tolist() == [[4, 2, 3, IGNORED], [4, 1, 2, 3]]
    each = []
    for scores, own in zip(logits, labels.tolist(), strict=True):
        each.append(0.0)
        for place, word in enumerate(own[1:]):
            if word != IGNORED:
                logprobs = scores[place].log_softmax(0)
                each[-1] -= (0.9 * logprobs[word] + 0.1 * logprobs.mean()).item()
    assert lm_loss(logits, labels, "none").tolist() == pytest.approx(each, rel=1e-5)
    assert lm_loss(logits, labels).item() == pytest.approx(sum(each) / 5, rel=1e-5)


def test_the_first_word_is_never_learnt() -> None:
    logits = torch.randn(1, 3, 5, generator=torch.Generator().manual_seed(0))
    losses = [lm_loss(logits, torch.tensor([[first, 2, 3]])).item() for first in (0, 4, IGNORED)]
    assert losses[0] == losses[1] == losses[2]
