"""The objective against the recorded official step, and against one picture, question and answer at a time."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy
from torch.testing import assert_close

from blipvid.demo.pictures import draw_asked
from blipvid.models.answerer import BlipAnswerer
from blipvid.models.zoo import build, load_spec
from blipvid.train.objectives.losses import lm_labels
from blipvid.train.objectives.vqa import VqaObjective
from blipvid.train.pictures.batches import QuestionBatch
from blipvid.train.pictures.images import DrawnBatches
from blipvid.train.recipe import Recipe, VqaLosses
from tests.load_goldens import Goldens
from tests.parity.official import answerer_of, unit_range
from tests.train.tiny import ANSWERER, QUESTIONS, tiny_recipe


@pytest.fixture(scope="module")
def recorded(goldens: Goldens) -> tuple[VqaObjective, QuestionBatch]:
    case = goldens["vqa"]
    texts, inputs = case.meta["texts"], case.tensors("inputs")
    batch = QuestionBatch(
        pixels=unit_range(inputs["image"]) * 255.0,
        questions=texts["questions"],
        answers=texts["train_answers"],
        answer_question=torch.arange(4).repeat_interleave(torch.tensor(case.meta["values"]["n"])),
        weights=inputs["weights"],
    )
    return VqaObjective(answerer_of(goldens), VqaLosses(kind="vqa")).eval(), batch  # recorded without dropout


def test_losses_of_the_official_step(goldens: Goldens, recorded: tuple[VqaObjective, QuestionBatch]) -> None:
    objective, batch = recorded
    case = goldens["vqa"]
    wanted = case.tensors("outputs")
    assert_close(objective.answer_losses(batch), wanted["train_loss_per_answer"], atol=case.atol, rtol=1e-5)
    assert_close(objective(batch, 0.0)["lm"], wanted["train_loss"], atol=1e-5, rtol=1e-5)


def test_labels_of_the_official_step(goldens: Goldens, recorded: tuple[VqaObjective, QuestionBatch]) -> None:
    objective, batch = recorded
    ids, mask = objective.model.tokenizer(batch.answers)
    ids[:, 0] = objective.model.tokenizer.dec
    wanted = goldens["vqa"].tensors("outputs")
    assert torch.equal(ids, wanted["train_answer_ids"])
    assert torch.equal(lm_labels(ids, mask), wanted["train_labels"])


@pytest.fixture
def recipe(tmp_path: Path) -> Recipe:
    return tiny_recipe(tmp_path, ANSWERER, pictures=QUESTIONS, objective={"kind": "vqa", "text_dropout": False})


@pytest.fixture
def objective(recipe: Recipe) -> VqaObjective:
    torch.manual_seed(0)
    model = build(load_spec(recipe.model))
    assert isinstance(model, BlipAnswerer)
    return VqaObjective(model, recipe.objective).train()  # type: ignore[arg-type]


@pytest.fixture
def batch(recipe: Recipe) -> QuestionBatch:
    return DrawnBatches(VqaObjective.takes, recipe.pictures, 32, recipe.seed)[0].batch


def test_losses_agree_with_one_picture_question_and_answer_at_a_time(objective: VqaObjective) -> None:
    pixels, _ = draw_asked(np.random.default_rng(0), 2, 32)
    asked = [
        [("what shape is the big red thing?", {"ring": 0.6, "a big ring": 0.4}), ("where is it?", {"none": 1.0})],
        [("how many?", {"two": 0.2}), ("which colour?", {"red": 0.5, "blue": 0.3, "at the top left": 0.2})],
    ]
    batch = QuestionBatch.gather(torch.from_numpy(pixels).permute(0, 3, 1, 2), asked)
    model, total = objective.model, torch.zeros(())
    losses = []
    for picture, own in zip(batch.pixels, asked, strict=True):
        tokens = model.encode_images(picture[None].float() / 255).tokens
        for question, weighted in own:
            ids, mask = model.tokenizer([question])
            ids[:, 0] = model.tokenizer.enc
            states = model.text_encoder(ids, mask, model.text_encoder.remember(tokens))
            for answer, weight in weighted.items():
                ids, mask = model.tokenizer([answer])
                ids[:, 0] = model.tokenizer.dec
                logits = model.text_decoder(ids, mask, model.text_decoder.remember(states))
                losses.append(cross_entropy(logits[0, :-1], ids[0, 1:], label_smoothing=0.1, reduction="sum"))
                total = total + weight * losses[-1] / 4
    assert_close(objective.answer_losses(batch), torch.stack(losses), atol=1e-5, rtol=1e-5)
    assert_close(objective(batch, 0.0)["lm"], total, atol=1e-5, rtol=1e-5)


def test_pictures_are_encoded_once(objective: VqaObjective, batch: QuestionBatch) -> None:
    seen: list[int] = []
    objective.model.visual_encoder.register_forward_hook(lambda module, given, out: seen.append(len(given[0])))
    objective(batch, 0.0)
    assert seen == [8]
    assert len(batch.questions) == 24


def test_every_parameter_learns(objective: VqaObjective, batch: QuestionBatch) -> None:
    objective(batch, 0.0)["lm"].backward()
    assert [name for name, parameter in objective.named_parameters() if parameter.grad is None] == []


def test_dropout_of_both_text_towers_follows_the_recipe(objective: VqaObjective) -> None:
    towers = objective.model.text_encoder, objective.model.text_decoder.bert
    assert objective.model.visual_encoder.training
    assert not any(tower.training for tower in towers)
    dropping = VqaObjective(objective.model, VqaLosses(kind="vqa")).train()
    assert all(tower.training for tower in towers)
    dropping.eval()
    assert not any(tower.training for tower in towers)
