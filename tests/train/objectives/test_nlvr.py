"""The objective against the recorded official step, and what it starts from."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from blipvid.models.blip import BlipModel
from blipvid.models.pair_judge import BlipPairJudge
from blipvid.models.zoo import build, load_model, load_spec
from blipvid.train.objectives.nlvr import NlvrObjective
from blipvid.train.pictures.batches import PAIRED, PairBatch
from blipvid.train.recipe import NlvrLosses
from blipvid.train.run import run
from blipvid.train.start import first_model
from tests.load_goldens import Goldens
from tests.parity.official import judge_of, unit_range
from tests.train.tiny import MODEL, tiny_recipe

DEPTH = 7  # the last layer merges by a learnt map
TEXT = MODEL["text"] | {"depth": DEPTH}
JUDGE = MODEL | {"task": "nlvr", "text": TEXT}
SAID: list[tuple[str, bool]] = [("a red star", True), ("two big rings on the left", False), ("none", False)]


def draw(rng: np.random.Generator, count: int, size_px: int) -> tuple[np.ndarray, list[tuple[str, bool]]]:
    pixels = rng.integers(0, 256, (count, 2, size_px, size_px, 3), dtype=np.uint8)
    return pixels, [SAID[number % len(SAID)] for number in range(count)]


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What recipes of this objective say, over a source of random pictures."""
    monkeypatch.setitem(PAIRED.sources._own, "random", draw)
    pictures = {"source": "random", "batch_size": 4, "workers": 0}
    return {"sizes": JUDGE, "pictures": pictures, "objective": {"kind": "nlvr", "text_dropout": False}}


@pytest.fixture
def objective(tmp_path: Path, said: dict[str, Any]) -> NlvrObjective:
    torch.manual_seed(0)
    recipe = tiny_recipe(tmp_path, **said)
    model = build(load_spec(recipe.model))
    assert isinstance(model, BlipPairJudge)
    assert isinstance(recipe.objective, NlvrLosses)
    return NlvrObjective(model, recipe.objective).train()


@pytest.fixture
def batch() -> PairBatch:
    pixels, sentences = draw(np.random.default_rng(0), 3, 32)
    return PairBatch.gather(torch.from_numpy(pixels).permute(0, 1, 4, 2, 3), sentences)


def test_the_official_step(goldens: Goldens) -> None:
    case = goldens["nlvr"]
    wanted = case.tensors("outputs")
    batch = PairBatch(
        pixels=unit_range(case.tensors("inputs")["image"]) * 255.0,
        sentences=case.meta["texts"]["sentences"],
        labels=torch.tensor(case.meta["values"]["targets"]),
    )
    objective = NlvrObjective(judge_of(goldens), NlvrLosses(kind="nlvr")).eval()  # recorded without dropout
    loss = objective(batch, 0.0)["nlvr"]
    assert_close(loss, wanted["train_loss"], atol=case.atol, rtol=1e-5)
    loss.backward()
    for name, key in (
        ("grad_merge7", "7.crossattention.output.merge_layer.weight"),
        ("grad_self1_query0", "0.crossattention.self1.query.weight"),
    ):
        gradient = objective.model.get_parameter(f"text_encoder.encoder.layer.{key}").grad
        assert_close(gradient, wanted[name], atol=case.atol, rtol=1e-4)


def test_the_loss_agrees_with_one_pair_at_a_time(objective: NlvrObjective, batch: PairBatch) -> None:
    pixels, _ = draw(np.random.default_rng(0), 3, 32)
    each = []
    for pair, (sentence, true) in zip(pixels, SAID, strict=True):
        first, second = (
            objective.model.encode_images(torch.from_numpy(picture).permute(2, 0, 1)[None] / 255).tokens
            for picture in pair
        )
        logits = objective.model.judge_pairs(first, second, [sentence], 35)
        each.append(-logits.log_softmax(1)[0, int(true)])
    assert_close(objective(batch, 0.0)["nlvr"], torch.stack(each).mean(), atol=1e-5, rtol=1e-5)


def test_every_parameter_learns(objective: NlvrObjective, batch: PairBatch) -> None:
    objective(batch, 0.0)["nlvr"].backward()
    assert [name for name, parameter in objective.named_parameters() if parameter.grad is None] == []


def test_blocks_of_the_vision_tower_drop_out_by_default(tmp_path: Path, said: dict[str, Any]) -> None:
    def drop_rates(recipe_says: dict[str, Any], sizes: dict[str, Any]) -> list[float]:
        recipe = tiny_recipe(tmp_path, sizes | {"vision": MODEL["vision"] | {"depth": 3}}, **recipe_says)
        blocks = first_model(recipe, load_spec(recipe.model), BlipModel).visual_encoder.blocks
        return [getattr(block.drop_path1, "drop_prob", 0.0) for block in blocks]

    here = {key: value for key, value in said.items() if key != "sizes"}
    assert drop_rates(here, JUDGE) == pytest.approx([0.0, 0.05, 0.1])
    assert drop_rates({}, MODEL) == [0.0, 0.0, 0.0]


def test_a_judge_begins_with_a_retriever_and_comes_out_of_training(tmp_path: Path, said: dict[str, Any]) -> None:
    trained = run(tiny_recipe(tmp_path / "one", MODEL | {"text": TEXT}, steps=1), tmp_path / "first", "cpu")
    recipe = tiny_recipe(tmp_path / "two", **said, start_from=str(trained), steps=1)
    given, own = (
        load_model(str(trained)).model.state_dict(),
        first_model(recipe, load_spec(recipe.model), BlipPairJudge),
    )
    taken = own.state_dict()
    layer = f"text_encoder.encoder.layer.{DEPTH - 1}."
    assert torch.equal(taken[f"{layer}attention.self.query.weight"], given[f"{layer}attention.self.query.weight"])
    for number in (0, 1):
        twin, plain = (f"{layer}crossattention.self{end}.key.weight" for end in (number, ""))
        assert torch.equal(taken[twin], given[plain])
        twin, plain = (f"{layer}crossattention.output.dense{end}.bias" for end in (number, ""))
        assert torch.equal(taken[twin], given[plain])
    assert 0.015 < taken[f"{layer}crossattention.output.merge_layer.weight"].std() < 0.025  # BERT's 0.02

    loaded = load_model(str(run(recipe, tmp_path / "second", "cpu")))
    assert isinstance(loaded.model, BlipPairJudge)
    assert loaded.report.missing == ()
