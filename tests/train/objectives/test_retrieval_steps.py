"""Retrieval fine-tuning against three recorded official steps, in which pictures share ids."""

import pytest
import torch
from torch.testing import assert_close

from blipvid.train.objectives.retrieval import RetrievalObjective
from blipvid.train.recipe import Momentum, RetrievalLosses
from blipvid.train.start import take_over_training_state
from tests.load_goldens import Goldens
from tests.parity.official import retriever_of
from tests.train.recorded import batches_of, draw_by_argmax

CASE = "retrieval_train"


@pytest.fixture
def objective(goldens: Goldens) -> RetrievalObjective:
    case = goldens[CASE]
    momentum = Momentum(momentum=case.config["momentum"], queue=case.config["queue_size"], alpha=1.0)
    model = retriever_of(goldens, CASE).requires_grad_(requires_grad=True)
    made = RetrievalObjective(model, RetrievalLosses(kind="retrieval", momentum=momentum)).eval()
    taken = take_over_training_state(made, case.tensors("weights"))
    assert {key for key in made.state_dict() if key.startswith("contrast.")} - set(taken) == {
        "contrast.queue.ptr_queue"
    }
    return made


def test_three_official_steps(goldens: Goldens, objective: RetrievalObjective, monkeypatch: pytest.MonkeyPatch) -> None:
    case = goldens[CASE]
    wanted, values = case.tensors("outputs"), case.meta["values"]
    weights = draw_by_argmax(monkeypatch)
    sgd = torch.optim.SGD([p for p in objective.parameters() if p.requires_grad], lr=values["sgd_lr"])
    contrast = objective.contrast
    for step, batch in enumerate(batches_of(case, values["idx"])):
        objective.before_batch()
        losses = objective(batch, values["alphas"][step])
        found = torch.stack([losses["itc"], losses["itm"]])
        assert_close(found, wanted["losses_ita_itm"][step], atol=case.atol, rtol=1e-4)
        sgd.zero_grad()
        found.sum().backward()
        if step == 0:
            norms = {name: p.grad.norm().item() for name, p in objective.named_parameters() if p.grad is not None}
            for name, norm in values["grad_norms_step1"].items():
                own = "contrast.temperature" if name == "temp" else f"model.{name}"
                assert norms[own] == pytest.approx(norm, rel=1e-4, abs=case.atol), name
        sgd.step()
        recorded = wanted["neg_weights_t2i_then_i2t"][step]
        found_weights = torch.cat(weights[2 * step : 2 * step + 2])
        assert_close(found_weights, recorded / recorded.sum(1, keepdim=True), atol=case.atol, rtol=1e-4)
        assert found_weights.argmax(1).tolist() == wanted["neg_index_t2i_then_i2t"][step].tolist()
        assert contrast.temperature.item() == pytest.approx(values["temps_after_step"][step], rel=1e-4)
        assert contrast.queue.ptr_queue.item() == values["ptr_after_step"][step]
        assert contrast.queue.idx_queue[0].tolist() == wanted["idx_queue_after_step"][step].tolist()
    for name in ("image_queue", "text_queue"):
        assert_close(getattr(contrast.queue, name), wanted[f"{name}_final"], atol=case.atol, rtol=1e-4)
    state = objective.state_dict()
    for key, tensor in wanted.items():
        if key.startswith("final/"):
            name = key.removeprefix("final/")
            tower = name.partition(".")[0]
            own = f"contrast.towers.{name}" if tower.endswith("_m") else f"model.{name}"
            assert_close(state["contrast.temperature" if name == "temp" else own], tensor, atol=case.atol, rtol=1e-4)


@pytest.mark.parametrize("begin", ["0.9", "1e-05"])
def test_the_temperature_is_put_into_its_bounds_first(
    goldens: Goldens, objective: RetrievalObjective, monkeypatch: pytest.MonkeyPatch, begin: str
) -> None:
    case = goldens[CASE]
    wanted = case.tensors("outputs")
    draw_by_argmax(monkeypatch)
    with torch.no_grad():
        objective.contrast.temperature.fill_(float(begin))
    objective.before_batch()
    losses = objective(batches_of(case, case.meta["values"]["idx"])[0], 0.3)
    found = torch.stack([losses["itc"], losses["itm"]])
    assert_close(found, wanted[f"clamp_from_{begin}_losses"], atol=case.atol, rtol=1e-4)
    assert objective.contrast.temperature.item() == pytest.approx(wanted[f"clamp_from_{begin}_temp"].item())
