import re
from pathlib import Path

import pytest

from blipvid.core.errors import ConfigError
from blipvid.core.places import definitions
from blipvid.models.zoo import load_spec
from blipvid.train.recipe import VqaLosses, list_recipes, load_recipe
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


# model, pictures a step, rate, lowest rate, epochs, recomputed blocks. Source: salesforce/BLIP configs/*.yaml
OFFICIAL = {
    "retrieval-coco-base": ("blip-base-retrieval-coco", 32 * 8, 1e-5, 0.0, 6, 4),
    "retrieval-coco-large": ("blip-large-retrieval-coco", 16 * 16, 5e-6, 0.0, 6, 12),
    "retrieval-flickr-base": ("blip-base-retrieval-flickr", 32 * 8, 1e-5, 0.0, 6, 4),
    "retrieval-flickr-large": ("blip-large-retrieval-flickr", 16 * 16, 5e-6, 0.0, 6, 10),
    "caption-coco-base": ("blip-base-caption-capfilt-large", 32 * 8, 1e-5, 0.0, 5, 0),
    "caption-coco-large": ("blip-large-caption", 16 * 16, 2e-6, 0.0, 5, 5),
    "vqa-base": ("blip-vqa-capfilt-large", 16 * 16, 2e-5, 0.0, 10, 0),
    "nlvr-base": ("blip-base-nlvr", 16 * 16, 3e-5, 0.0, 15, 0),
    "pretrain-base": ("blip-base-14m", 75 * 8, 3e-4, 1e-6, 20, 0),
}


@pytest.mark.parametrize("name", OFFICIAL)
def test_recipes_hold_the_released_numbers(name: str) -> None:
    model, pictures, lr, lowest, epochs, recomputed = OFFICIAL[name]
    recipe = load_recipe(name)
    (processes,) = re.findall(r"For (\d+) processes", (definitions("configs/train") / f"{name}.yaml").read_text())
    assert recipe.model == model
    assert recipe.pictures.batch_size * int(processes) == pictures
    assert (recipe.optimiser.lr, recipe.schedule.min_lr) == (lr, lowest)
    assert (recipe.epochs, recipe.recompute_blocks) == (epochs, recomputed)
    assert recipe.optimiser.weight_decay == 0.05
    assert recipe.optimiser.clip_norm is None
    assert recipe.schedule.per == "epoch"
    assert recipe.schedule.kind == ("step" if name == "pretrain-base" else "cosine")
    assert recipe.pictures.augment.min_scale == (0.2 if name == "pretrain-base" else 0.5)
    large = "-large" in name.removesuffix("-capfilt-large")
    assert recipe.objective.drop_path == (0.1 if large or name.startswith(("vqa", "nlvr")) else 0.0)
    if name.startswith(("pretrain", "retrieval")):
        momentum = recipe.objective.momentum  # type: ignore[union-attr]
        assert (momentum.momentum, momentum.queue, momentum.alpha) == (0.995, 57600, 0.4)
        assert momentum.alpha_epochs == (2.0 if name.startswith("pretrain") else 1.0)
    if name.startswith("retrieval"):
        assert recipe.objective.negatives_of_all == ("coco" in name)  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("name", "pictures", "lr"), [("pretrain-base-paper", 2880, 3e-4), ("pretrain-large-paper", 2400, 2e-4)]
)
def test_recipes_of_the_paper_hold_its_numbers(name: str, pictures: int, lr: float) -> None:
    recipe = load_recipe(name)
    assert recipe.pictures.batch_size * 32 == pictures
    assert (recipe.optimiser.lr, recipe.schedule.decay, recipe.epochs) == (lr, 0.85, 20)
