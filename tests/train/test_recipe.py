import math
import re
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from blipvid.core.errors import ConfigError
from blipvid.core.places import definitions
from blipvid.models.zoo import load_spec
from blipvid.train.recipe import (
    ContrastiveLosses,
    Momentum,
    Optimiser,
    PretrainLosses,
    RetrievalLosses,
    Schedule,
    VqaLosses,
    Weights,
    list_recipes,
    load_recipe,
)
from tests.train.tiny import tiny_recipe, write_recipe


@pytest.mark.parametrize("name", list_recipes())
def test_shipped_recipes_are_right_and_named_after_their_files(name: str) -> None:
    recipe = load_recipe(name)
    assert recipe.name == name
    load_spec(recipe.model)


def test_a_model_named_by_path_is_found_beside_the_recipe(tmp_path: Path) -> None:
    assert load_spec(tiny_recipe(tmp_path).model).name == "tiny"


def test_all_mistakes_are_named_at_once(tmp_path: Path) -> None:
    path = write_recipe(tmp_path, optimizer={"lr": 1}, steps=0, objective={"kind": "retreival"})
    with pytest.raises(ConfigError) as caught:
        load_recipe(str(path))
    message = str(caught.value)
    assert "optimizer" in message
    assert "Did you mean 'optimiser'" in message
    assert "steps" in message
    assert "objective" in message
    assert "'retrieval', 'caption', 'vqa', 'nlvr', 'visdial'" in message


def test_an_unknown_recipe_gets_a_hint() -> None:
    with pytest.raises(ConfigError, match="Did you mean 'demo-retrieval'"):
        load_recipe("demo-retreival")


def test_each_objective_has_keys_of_its_own(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"unknown key 'objective\.temperature'\. Known keys here: drop_path, kind, max_tokens"
    ):
        tiny_recipe(tmp_path, objective={"kind": "vqa", "temperature": 0.07})
    assert isinstance(tiny_recipe(tmp_path, objective={"kind": "vqa"}).objective, VqaLosses)


class Told(NamedTuple):
    """What a recipe says; of `starts` the trained model, the vision tower and the text towers."""

    model: str
    starts: tuple[str | None, str | None, str | None]
    image_size: int
    pictures: int
    lr: float
    epochs: int
    max_tokens: int
    drop_path: float = 0.0
    recomputed: int = 0


IMAGENET_AND_BERT = (None, "deit_base_patch16_224", "bert-base-uncased")
LARGE_AND_BERT = (None, "vit_large_patch16_224.augreg_in21k", "bert-base-uncased")
BASE, CAPFILT, LARGE = [(name, None, None) for name in ("blip-base", "blip-base-capfilt-large", "blip-large")]

# Source: salesforce/BLIP configs/*.yaml and, for lengths of texts and drop-path, models/*.py
RELEASED = {
    "retrieval-coco-base": Told("blip-base-retrieval-coco", BASE, 384, 32 * 8, 1e-5, 6, 35, recomputed=4),
    "retrieval-coco-large": Told("blip-large-retrieval-coco", LARGE, 384, 16 * 16, 5e-6, 6, 35, 0.1, 12),
    "retrieval-flickr-base": Told("blip-base-retrieval-flickr", BASE, 384, 32 * 8, 1e-5, 6, 35, recomputed=4),
    "retrieval-flickr-large": Told("blip-large-retrieval-flickr", LARGE, 384, 16 * 16, 5e-6, 6, 35, 0.1, 10),
    "caption-coco-base": Told("blip-base-caption-capfilt-large", CAPFILT, 384, 32 * 8, 1e-5, 5, 40),
    "caption-coco-large": Told("blip-large-caption", LARGE, 384, 16 * 16, 2e-6, 5, 40, 0.1, 5),
    "vqa-base": Told("blip-vqa-capfilt-large", CAPFILT, 480, 16 * 16, 2e-5, 10, 35, 0.1),
    "nlvr-base": Told("blip-base-nlvr", BASE, 384, 16 * 16, 3e-5, 15, 512, 0.1),
    "pretrain-base": Told("blip-base-14m", IMAGENET_AND_BERT, 224, 75 * 8, 3e-4, 20, 30),
}
# Source: arXiv:2201.12086 section 4.1 and Table 14; what it leaves open is as in the released code
OF_THE_PAPER = {
    "pretrain-base-paper": Told("blip-base-14m", IMAGENET_AND_BERT, 224, 2880, 3e-4, 20, 30),
    "pretrain-large-paper": Told("blip-large", LARGE_AND_BERT, 224, 2400, 2e-4, 20, 30, 0.1),
    "visdial-base": Told("blip-base-visdial", BASE, 384, 240, 2e-5, 20, 512),
}


@pytest.mark.parametrize("name", RELEASED | OF_THE_PAPER)
def test_recipes_hold_the_published_numbers(name: str) -> None:
    told, recipe = (RELEASED | OF_THE_PAPER)[name], load_recipe(name)
    (processes,) = re.findall(r"For (\d+) processes", (definitions("configs/train") / f"{name}.yaml").read_text())
    spec = load_spec(recipe.model)
    found = Told(
        spec.name,
        (recipe.start_from, recipe.start_vision, recipe.start_text),
        spec.image_size,
        recipe.pictures.batch_size * int(processes) * recipe.accumulate,
        recipe.optimiser.lr,
        recipe.epochs or 0,
        recipe.objective.max_tokens,
        recipe.objective.drop_path,
        recipe.recompute_blocks,
    )
    assert found == told
    assert recipe.optimiser == Optimiser(lr=told.lr, weight_decay=0.05, betas=(0.9, 0.999), clip_norm=None)
    assert recipe.objective.text_dropout


@pytest.mark.parametrize("name", RELEASED | OF_THE_PAPER)
def test_rates_and_augmentation_go_as_published(name: str) -> None:
    recipe = load_recipe(name)
    assert recipe.schedule.per == "epoch"
    if name.startswith("pretrain"):
        decay = 0.85 if name.endswith("-paper") else 0.9
        wanted = Schedule(kind="step", per="epoch", decay=decay, min_lr=1e-6, warmup_steps=3000, warmup_lr=1e-6)
        assert recipe.schedule == wanted
    else:
        assert (recipe.schedule.kind, recipe.schedule.min_lr, recipe.schedule.warmup_steps) == ("cosine", 0.0, 0)
    augment = recipe.pictures.augment
    assert augment.min_scale == (0.2 if name.startswith("pretrain") else 0.5)
    assert augment.flip
    assert augment.randaugment


@pytest.mark.parametrize(
    "name", [name for name in RELEASED | OF_THE_PAPER if name.startswith(("pretrain", "retrieval"))]
)
def test_contrast_is_as_published(name: str) -> None:
    objective = load_recipe(name).objective
    assert isinstance(objective, ContrastiveLosses)
    alpha_epochs = 2.0 if name.startswith("pretrain") else 1.0
    assert objective.momentum == Momentum(momentum=0.995, queue=57600, alpha=0.4, alpha_epochs=alpha_epochs)
    assert objective.temperature == 0.07
    if isinstance(objective, RetrievalLosses):
        assert objective.negatives_of_all == ("coco" in name)
    else:
        assert isinstance(objective, PretrainLosses)
        assert objective.weights == Weights(itc=1, itm=1, lm=1)


def test_every_shipped_recipe_but_those_of_the_demo_is_held_against_a_publication() -> None:
    assert {name for name in list_recipes() if not name.startswith("demo-")} == set(RELEASED | OF_THE_PAPER)


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"optimiser": {"lr": 1e-3, "betas": [1.5, 2.0]}}, r"optimiser\.betas\.0'.*less than 1.*optimiser\.betas\.1'"),
    ({"optimiser": {"lr": 1e-3, "betas": [0.9, 1.0]}}, r"optimiser\.betas\.1'.*less than 1 \(found 1\.0\)"),
    ({"optimiser": {"lr": 1e-3, "betas": [-0.1, 0.9]}}, r"optimiser\.betas\.0'.*greater than or equal to 0"),
    ({"optimiser": {"lr": math.inf}}, r"optimiser\.lr'.*finite"),
    ({"optimiser": {"lr": 1e-3, "clip_norm": math.inf}}, r"optimiser\.clip_norm'.*finite"),
    ({"seed": 2**70}, r"'seed'.*less than 2147483648"),
    ({"seed": -1}, r"'seed'.*greater than or equal to 0"),
    ({"schedule": {"min_lr": 0.1}}, r"'schedule\.min_lr' 0\.1 is above 'optimiser\.lr' 0\.002"),
    (
        {"schedule": {"warmup_steps": 2, "warmup_lr": 0.1}},
        r"'schedule\.warmup_lr' 0\.1 is above 'optimiser\.lr' 0\.002",
    ),
    ({"schedule": {"min_lr": 0.1}, "epochs": 2}, r"'schedule\.min_lr'.*; give one of 'steps' and 'epochs'"),
]


@pytest.mark.parametrize(("said", "message"), WRONG)
def test_numbers_that_cannot_be_are_named(tmp_path: Path, said: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        tiny_recipe(tmp_path, **said)


def test_the_largest_seed_and_rates_that_stay_are_allowed(tmp_path: Path) -> None:
    schedule = {"min_lr": 0.002, "warmup_steps": 1, "warmup_lr": 0.002}
    assert tiny_recipe(tmp_path, schedule=schedule, seed=2**31 - 1).seed == 2**31 - 1
    assert tiny_recipe(tmp_path, optimiser={"lr": 1e-12}, schedule={}).optimiser.lr == 1e-12  # without any warm-up


@pytest.mark.parametrize(
    ("objective", "alone"),
    [
        ({"kind": "retrieval"}, False),
        ({"kind": "pretrain"}, False),
        ({"kind": "pretrain", "weights": {"itc": 0}}, False),
        ({"kind": "pretrain", "weights": {"itm": 0}}, False),
        ({"kind": "pretrain", "weights": {"itc": 0, "itm": 0}}, True),
        ({"kind": "caption"}, True),
        ({"kind": "vqa"}, True),
        ({"kind": "nlvr"}, True),
        ({"kind": "visdial"}, True),
    ],
)
def test_only_what_compares_needs_two_pictures(tmp_path: Path, objective: dict[str, Any], alone: bool) -> None:
    pictures = {"source": "demo", "batch_size": 1}
    if alone:
        assert tiny_recipe(tmp_path, objective=objective, pictures=pictures).pictures.batch_size == 1
    else:
        with pytest.raises(ConfigError, match=rf"'{objective['kind']}' compares .*'pictures\.batch_size' 2 or more"):
            tiny_recipe(tmp_path, objective=objective, pictures=pictures)
