from typing import Any

import pytest
import torch
from torch import nn

from blipvid.train.optim import build_optimiser, learning_rate
from blipvid.train.recipe import Momentum, Optimiser, Schedule
from tests.load_goldens import Goldens


@pytest.fixture
def tables(goldens: Goldens) -> dict[str, Any]:
    return goldens["schedules"].meta["values"]


def test_the_official_cosine(tables: dict[str, Any]) -> None:
    for row in tables["cosine"]:
        schedule = Schedule(kind="cosine", per="epoch", min_lr=row["min_lr"])
        for inside in (0, 9):  # the first and the last step of the epoch
            step, steps = 10 * row["epoch"] + inside, 10 * row["max_epoch"]
            assert learning_rate(step, steps, 10, row["init_lr"], schedule) == pytest.approx(
                row["lr"], rel=1e-9, abs=1e-20
            )


def test_the_official_steps(tables: dict[str, Any]) -> None:
    for row in tables["step"]:
        schedule = Schedule(kind="step", per="epoch", min_lr=row["min_lr"], decay=row["decay"])
        found = learning_rate(7 * row["epoch"] + 6, 10**6, 7, row["init_lr"], schedule)
        assert found == pytest.approx(row["lr"], rel=1e-9)


def test_the_official_warm_up(tables: dict[str, Any]) -> None:
    for row in tables["warmup"]:
        schedule = Schedule(kind="step", per="epoch", warmup_steps=row["max_step"], warmup_lr=row["init_lr"])
        found = learning_rate(row["step"], 10**6, 10**5, row["max_lr"], schedule)
        assert found == pytest.approx(row["lr"], rel=1e-9)


def test_warm_up_ends_with_the_first_epoch() -> None:
    schedule = Schedule(kind="step", per="epoch", decay=0.9, warmup_steps=3000)
    assert learning_rate(999, 10**5, 1000, 3e-4, schedule) < 1.1e-4
    assert learning_rate(1000, 10**5, 1000, 3e-4, schedule) == pytest.approx(3e-4 * 0.9)


@pytest.mark.parametrize(("task", "epochs"), [("pretrain", 2.0), ("retrieval", 1.0)])
def test_the_official_ramp_of_alpha(tables: dict[str, Any], task: str, epochs: float) -> None:
    table = tables[f"alpha_{task}"]
    momentum = Momentum(alpha=table["alpha"], alpha_epochs=epochs)
    for epoch, step, alpha in table["rows"]:
        assert momentum.alpha_at(epoch + step / table["len_loader"]) == pytest.approx(alpha, rel=1e-9)


def test_every_parameter_decays() -> None:
    module = nn.Linear(2, 2)
    before = [parameter.detach().clone() for parameter in module.parameters()]
    optimiser = build_optimiser(module, Optimiser(lr=0.1, weight_decay=0.5))
    for parameter in module.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimiser.step()
    for old, new in zip(before, module.parameters(), strict=True):
        torch.testing.assert_close(new.detach(), old * (1 - 0.1 * 0.5))
