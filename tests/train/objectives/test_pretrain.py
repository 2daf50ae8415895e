"""The objective against three recorded official steps, with momentum towers, a queue that wraps around and SGD."""

import pytest
import torch
from torch.testing import assert_close

from blipvid.train.objectives.pretrain import PretrainObjective
from blipvid.train.recipe import Momentum, PretrainLosses
from blipvid.train.start import take_over_training_state
from tests.load_goldens import Goldens
from tests.parity.official import pretrained_of
from tests.train.recorded import batches_of, draw_by_argmax


@pytest.fixture
def objective(goldens: Goldens) -> PretrainObjective:
    case = goldens["pretrain"]
    config = case.config
    momentum = Momentum(momentum=config["momentum"], queue=config["queue_size"], alpha=1.0, alpha_epochs=1.0)
    made = PretrainObjective(pretrained_of(goldens), PretrainLosses(kind="pretrain", momentum=momentum)).eval()
    taken = take_over_training_state(made, case.tensors("weights"))
    assert {key for key in made.state_dict() if key.startswith("contrast.")} - set(taken) == {
        "contrast.queue.idx_queue",
        "contrast.queue.ptr_queue",
    }
    return made


def test_three_official_steps(goldens: Goldens, objective: PretrainObjective, monkeypatch: pytest.MonkeyPatch) -> None:
    case = goldens["pretrain"]
    wanted, values = case.tensors("outputs"), case.meta["values"]
    weights = draw_by_argmax(monkeypatch)
    learnt = [parameter for parameter in objective.parameters() if parameter.requires_grad]
    sgd = torch.optim.SGD(learnt, lr=values["sgd_lr"])
    for step, batch in enumerate(batches_of(case, [list(range(6))] * 3)):
        objective.before_batch()
        losses = objective(batch, values["alphas"][step])
        found = torch.stack([losses[name] for name in ("itc", "itm", "lm")])
        assert_close(found, wanted["losses_ita_itm_lm"][step], atol=case.atol, rtol=1e-4)
        sgd.zero_grad()
        found.sum().backward()
        if step == 0:
            _check_gradients(objective, values["grad_norms_step1"], wanted, case.atol)
        sgd.step()
        recorded = wanted["neg_weights_t2i_then_i2t"][step]
        found_weights = torch.cat(weights[2 * step : 2 * step + 2])
        assert_close(found_weights, recorded / recorded.sum(1, keepdim=True), atol=case.atol, rtol=1e-4)
        assert found_weights.argmax(1).tolist() == wanted["neg_index_t2i_then_i2t"][step].tolist()
        contrast = objective.contrast
        assert contrast.temperature.item() == pytest.approx(values["temps_after_step"][step], rel=1e-4)
        assert contrast.queue.ptr_queue.item() == values["queue_ptr_after_step"][step]
        if step == 2:  # recorded after the last step, whatever the names say
            for name in ("image_queue", "text_queue"):
                assert_close(getattr(contrast.queue, name), wanted[f"step1_{name}"], atol=case.atol, rtol=1e-4)
            words = contrast.towers.text_encoder_m.embeddings.word_embeddings.weight
            assert_close(words, wanted["step1_text_encoder_m.word_embeddings"], atol=case.atol, rtol=1e-4)
    _check_final_state(goldens, objective)


def _check_gradients(
    objective: PretrainObjective, norms: dict[str, float], wanted: dict[str, torch.Tensor], atol: float
) -> None:
    parameters = objective.named_parameters(remove_duplicate=False)
    found = {_official(name): parameter.grad for name, parameter in parameters if parameter.requires_grad}
    assert [name for name, gradient in found.items() if gradient is None] == []
    assert set(norms) <= set(found) | {"text_decoder.cls.predictions.decoder.weight"}
    for name, norm in norms.items():
        if name in found:
            assert found[name].norm().item() == pytest.approx(norm, rel=1e-4, abs=atol), name
    for name in ("text_decoder.bert.encoder.layer.0.crossattention.self.value.weight", "temp"):
        assert_close(found[name], wanted[f"grad0_{name}"], atol=atol, rtol=1e-4)


def _check_final_state(goldens: Goldens, objective: PretrainObjective) -> None:
    case = goldens["pretrain"]
    state = {_official(key): tensor for key, tensor in objective.state_dict().items()}
    for key, tensor in case.tensors("final_state").items():
        assert_close(state[key], tensor, atol=case.atol, rtol=1e-4)
    digest = case.meta["values"]["final_digest_mean_absmean_meancosramp"]
    for key, numbers in digest.items():
        if key.endswith("position_ids") or ".predictions.decoder." in key:
            continue  # numbers of places, and second names of the shared matrix and bias
        flat = state[key].detach().double().flatten()
        ramp = torch.arange(flat.numel(), dtype=torch.float64).cos()
        found = [flat.mean().item(), flat.abs().mean().item(), (flat * ramp).mean().item()]
        assert found == pytest.approx(numbers, rel=1e-4, abs=case.atol), key


def _official(key: str) -> str:
    for ours, theirs in (
        ("contrast.temperature", "temp"),
        ("contrast.queue.ptr_queue", "queue_ptr"),
        ("contrast.queue.", ""),
        ("contrast.towers.", ""),
        ("model.", ""),
    ):
        if key.startswith(ours):
            return theirs + key.removeprefix(ours)
    raise AssertionError(key)


def test_parts_are_shared_for_real(goldens: Goldens) -> None:
    model = pretrained_of(goldens)
    names: dict[int, list[str]] = {}
    for key, tensor in model.state_dict(keep_vars=True).items():
        names.setdefault(id(tensor), []).append(key)
    found = {frozenset(own) for own in names.values() if len(own) > 1}
    recorded = goldens["pretrain"].meta["tied_keys"]
    second = "text_decoder.cls.predictions."  # the head's own second names, which we do not keep
    wanted = {frozenset(k for k in own if not k.startswith(f"{second}decoder")) for own in recorded}
    assert found == {own for own in wanted if len(own) > 1}
