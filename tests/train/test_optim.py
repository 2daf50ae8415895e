import math

import pytest
import torch
from torch import nn

from blipvid.train.optim import build_optimiser, learning_rate
from blipvid.train.recipe import Optimiser, Schedule


def test_cosine_changes_at_epochs_as_in_the_official_code() -> None:
    schedule = Schedule(kind="cosine", per="epoch", min_lr=1e-6)
    for step in (0, 9, 10, 35, 59):
        wanted = (1e-5 - 1e-6) * 0.5 * (1 + math.cos(math.pi * (step // 10) / 6)) + 1e-6
        assert learning_rate(step, 60, 10, 1e-5, schedule) == pytest.approx(wanted)


def test_warm_up_rises_linearly_and_goes_first() -> None:
    schedule = Schedule(kind="step", per="epoch", decay=0.9, min_lr=1e-6, warmup_steps=3000, warmup_lr=1e-6)
    assert learning_rate(0, 10**5, 5000, 3e-4, schedule) == pytest.approx(1e-6)
    assert learning_rate(1500, 10**5, 5000, 3e-4, schedule) == pytest.approx((3e-4 + 1e-6) / 2)
    assert learning_rate(3000, 10**5, 5000, 3e-4, schedule) == pytest.approx(3e-4)
    assert learning_rate(10_000, 10**5, 5000, 3e-4, schedule) == pytest.approx(3e-4 * 0.81)
    assert learning_rate(99_999, 10**7, 5000, 3e-6, schedule) == pytest.approx(1e-6)


def test_every_parameter_decays() -> None:
    module = nn.Linear(2, 2)
    before = [parameter.detach().clone() for parameter in module.parameters()]
    optimiser = build_optimiser(module, Optimiser(lr=0.1, weight_decay=0.5))
    for parameter in module.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimiser.step()
    for old, new in zip(before, module.parameters(), strict=True):
        torch.testing.assert_close(new.detach(), old * (1 - 0.1 * 0.5))
