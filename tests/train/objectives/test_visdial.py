"""The objective against one picture, caption and dialog at a time; nothing official was recorded or released."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy
from torch.testing import assert_close

from blipvid.models.dialog_ranker import BlipDialogRanker
from blipvid.models.zoo import build, load_model, load_spec
from blipvid.train.objectives.visdial import VisdialObjective
from blipvid.train.pictures.batches import IN_DIALOG, DialogBatch
from blipvid.train.recipe import VisdialLosses
from blipvid.train.run import run
from tests.train.tiny import MODEL, tiny_recipe

RANKER = {key: value for key, value in MODEL.items() if key != "embed_dim"} | {"task": "visdial"}
OF_A_STAR = [("is it red? yes what shape is it? a star", True), ("is it red? yes what shape is it? a big ring", False)]
OF_RINGS = [("how many rings are there? two", True), ("how many? none", False)]
SAID = [("a red star", OF_A_STAR), ("two rings, one small and one big", OF_RINGS)]

Said = tuple[str, list[tuple[str, bool]]]


def draw(rng: np.random.Generator, count: int, size_px: int) -> tuple[np.ndarray, list[Said]]:
    pixels = rng.integers(0, 256, (count, size_px, size_px, 3), dtype=np.uint8)
    return pixels, [SAID[number % len(SAID)] for number in range(count)]


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What recipes of this objective say, over a source of random pictures."""
    monkeypatch.setitem(IN_DIALOG.sources._own, "random", draw)
    pictures = {"source": "random", "batch_size": 4, "workers": 0}
    return {"sizes": RANKER, "pictures": pictures, "objective": {"kind": "visdial", "text_dropout": False}}


@pytest.fixture
def objective(tmp_path: Path, said: dict[str, Any]) -> VisdialObjective:
    torch.manual_seed(0)
    recipe = tiny_recipe(tmp_path, **said)
    model = build(load_spec(recipe.model))
    assert isinstance(model, BlipDialogRanker)
    assert isinstance(recipe.objective, VisdialLosses)
    return VisdialObjective(model, recipe.objective).train()


@pytest.fixture
def batch() -> DialogBatch:
    pixels, own = draw(np.random.default_rng(0), 2, 32)
    return DialogBatch.gather(torch.from_numpy(pixels).permute(0, 3, 1, 2), own)


def test_the_loss_agrees_with_one_dialog_at_a_time(objective: VisdialObjective, batch: DialogBatch) -> None:
    model, each = objective.model, []
    pixels, _ = draw(np.random.default_rng(0), 2, 32)
    for picture, (caption, judged) in zip(pixels, SAID, strict=True):
        tokens = model.encode_images(torch.from_numpy(picture).permute(2, 0, 1)[None] / 255).tokens
        read = model.text_encoder(*model.tokenizer([caption]))
        for dialog, right in judged:
            ids, mask = model.tokenizer([dialog])
            ids[:, 0] = model.tokenizer.enc
            memory = model.text_encoder.remember(torch.cat([tokens, read], dim=1))
            logits = model.itm_head(model.text_encoder(ids, mask, memory)[:, 0])
            each.append(cross_entropy(logits, torch.tensor([int(right)])))
    assert_close(objective(batch, 0.0)["itm"], torch.stack(each).mean(), atol=1e-5, rtol=1e-5)


def test_pictures_are_encoded_and_remembered_once(objective: VisdialObjective, batch: DialogBatch) -> None:
    seen: list[int] = []
    made: list[torch.Size] = []
    objective.model.visual_encoder.register_forward_hook(lambda module, given, out: seen.append(len(given[0])))
    projection = objective.model.text_encoder.layers[0].crossattention.self.key  # type: ignore[attr-defined]
    projection.register_forward_hook(lambda module, given, out: made.append(out.shape))
    objective(batch, 0.0)
    longest = int(objective.model.tokenizer(batch.captions)[1].sum(1).max())
    assert seen == [2]
    assert made == [(2, 17 + longest, 32)]
    assert len(batch.dialogs) == 4


def test_every_parameter_learns(objective: VisdialObjective, batch: DialogBatch) -> None:
    objective(batch, 0.0)["itm"].backward()
    assert [name for name, parameter in objective.named_parameters() if parameter.grad is None] == []


def test_a_ranker_begins_with_a_retriever_and_comes_out_of_training(tmp_path: Path, said: dict[str, Any]) -> None:
    trained = run(tiny_recipe(tmp_path / "one", steps=1), tmp_path / "first", "cpu")
    still = said | {"start_from": str(trained), "steps": 1, "optimiser": {"lr": 1e-12}, "schedule": {}}
    loaded = load_model(str(run(tiny_recipe(tmp_path / "two", **still), tmp_path / "second", "cpu")))
    assert isinstance(loaded.model, BlipDialogRanker)
    given = load_model(str(trained)).model.state_dict()
    for key, tensor in loaded.model.state_dict().items():
        assert_close(tensor, given[key], atol=1e-5, rtol=0)
