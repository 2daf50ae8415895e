from pathlib import Path

import pytest

from blipvid.core.errors import ConfigError
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
