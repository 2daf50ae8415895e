from pathlib import Path

import pytest
import torch
from torch.nn.functional import cross_entropy, normalize

from blipvid.models.zoo import build, load_spec
from blipvid.train.objectives import matching, retrieval
from blipvid.train.objectives.losses import Negatives
from blipvid.train.objectives.matching import read_firsts
from blipvid.train.objectives.retrieval import RetrievalObjective
from blipvid.train.pictures.batches import CAPTIONED, CaptionBatch
from blipvid.train.pictures.images import DrawnBatches
from blipvid.train.recipe import Recipe
from tests.train.tiny import tiny_recipe

PLAIN = {"kind": "retrieval", "text_dropout": False, "momentum": None}


@pytest.fixture
def recipe(tmp_path: Path) -> Recipe:
    return tiny_recipe(tmp_path, objective=PLAIN)


@pytest.fixture
def objective(recipe: Recipe) -> RetrievalObjective:
    torch.manual_seed(0)
    return RetrievalObjective(build(load_spec(recipe.model)), recipe.objective).train()


@pytest.fixture
def batch(recipe: Recipe) -> CaptionBatch:
    return DrawnBatches(CAPTIONED, recipe.pictures, 32, recipe.seed)[0].batch


def test_losses_agree_with_one_text_and_one_picture_at_a_time(
    objective: RetrievalObjective, batch: CaptionBatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = Negatives(torch.arange(8).roll(1), torch.arange(8).roll(3))
    monkeypatch.setattr(retrieval, "draw_negatives", lambda for_texts, for_images: wrong)
    found = objective(batch, 0.0)

    model = objective.model
    tokens, images, texts, ids = [], [], [], []
    for pixels, caption in zip(batch.pixels, batch.captions, strict=True):
        features = model.encode_images(pixels[None].float() / 255)
        tokens.append(features.tokens)
        images.append(normalize(features.embeds[0], dim=0))
        own, mask = model.tokenizer([caption])
        texts.append(normalize(model.text_proj(model.text_encoder(own, mask)[0, 0]), dim=0))
        own = own.clone()
        own[0, 0] = model.tokenizer.enc
        ids.append(own)

    def match(picture: int, text: int, label: int) -> torch.Tensor:
        memory = model.text_encoder.remember(tokens[picture])
        state = model.text_encoder(ids[text], torch.ones_like(ids[text]), memory)[:, 0]
        return cross_entropy(model.itm_head(state), torch.tensor([label]))

    each = [match(i, i, 1) for i in range(8)]
    each += [match(int(wrong.images[i]), i, 0) for i in range(8)]
    each += [match(i, int(wrong.texts[i]), 0) for i in range(8)]
    torch.testing.assert_close(found["itm"], torch.stack(each).mean(), atol=1e-5, rtol=1e-5)

    sim = torch.stack(images) @ torch.stack(texts).T / 0.07
    assert len(set(batch.captions)) == 8
    own_place = torch.arange(8)
    itc = (cross_entropy(sim, own_place) + cross_entropy(sim.T, own_place)) / 2
    torch.testing.assert_close(found["itc"], itc, atol=1e-5, rtol=1e-5)


def test_reading_by_length_changes_nothing(objective: RetrievalObjective, monkeypatch: pytest.MonkeyPatch) -> None:
    tower = objective.model.text_encoder
    ids, mask = objective.model.tokenizer(
        ["a ring", "a big red star left of a ring", "a star", "two big rings", "rings"]
    )
    together = tower(ids, mask)[:, 0]
    monkeypatch.setattr(matching, "READ_TOGETHER", 2)
    torch.testing.assert_close(read_firsts(tower, ids, mask), together, atol=1e-5, rtol=1e-5)


def test_every_parameter_learns(objective: RetrievalObjective, batch: CaptionBatch) -> None:
    sum(objective(batch, 0.0).values()).backward()  # type: ignore[union-attr]
    without = [name for name, parameter in objective.named_parameters() if parameter.grad is None]
    assert without == []


def test_dropout_of_the_text_tower_follows_the_recipe(recipe: Recipe, objective: RetrievalObjective) -> None:
    assert not objective.model.text_encoder.training
    assert objective.model.visual_encoder.training
    dropping = RetrievalObjective(objective.model, recipe.objective.model_copy(update={"text_dropout": True})).train()
    assert dropping.model.text_encoder.training
    assert not dropping.eval().model.text_encoder.training


def test_the_temperature_stays_in_bounds(objective: RetrievalObjective) -> None:
    with torch.no_grad():
        objective.contrast.temperature.fill_(3.0)
    objective.before_batch()
    assert objective.contrast.temperature.item() == 0.5
