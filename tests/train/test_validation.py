"""Benchmarks that are run while training."""

import json
from pathlib import Path

import pytest

from blipvid.core.errors import BlipvidError, ConfigError
from blipvid.models.zoo import load_model
from blipvid.train.recipe import Recipe
from blipvid.train.run import run
from blipvid.train.states import METRICS, read_metrics
from tests.bench.world import World, make_world
from tests.train.tiny import MODEL, tiny_recipe


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return make_world(tmp_path_factory.mktemp("world"))


def recipe_of(folder: Path, world: World, **said: object) -> Recipe:
    validation = {"benchmark": str(world.benchmark), "metric": "t2v_r1", "every_steps": 2} | said
    return tiny_recipe(folder, validation=validation, steps=5)


def test_the_best_model_is_kept_and_every_score_is_noted(world: World, tmp_path: Path) -> None:
    run(recipe_of(tmp_path, world), tmp_path / "out", "cpu", data_root=world.folder)
    scores = {line["step"]: line["t2v_r1"] for line in read_metrics(tmp_path / "out" / METRICS) if "t2v_r1" in line}
    assert list(scores) == [2, 4, 5]
    best = json.loads((tmp_path / "out" / "best" / "score.json").read_text())
    assert best["score"] == max(scores.values())
    assert scores[best["step"]] == best["score"]
    assert load_model(str(tmp_path / "out" / "best" / "tiny.yaml")).report.missing == ()


def test_measuring_changes_nothing_of_the_training(world: World, tmp_path: Path) -> None:
    plain = tiny_recipe(tmp_path / "plain", steps=5)
    run(plain, tmp_path / "one", "cpu")
    run(recipe_of(tmp_path / "measured", world), tmp_path / "two", "cpu", data_root=world.folder)
    one, two = ([line["loss"] for line in read_metrics(tmp_path / name / METRICS)] for name in ("one", "two"))
    assert one == two


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        ({"metric": "t2v_r7"}, r"gives no 't2v_r7' but .*'validation\.metric'"),
        ({"benchmark": "no-such-set"}, r"no-such-set"),
    ],
)
def test_mistakes_show_before_the_first_step(world: World, tmp_path: Path, said: dict[str, str], sentence: str) -> None:
    with pytest.raises(BlipvidError, match=sentence):
        run(recipe_of(tmp_path, world, **said), tmp_path / "out", "cpu", data_root=world.folder)
    assert not (tmp_path / "out" / METRICS).exists()


def test_frames_of_another_size_are_refused(world: World, tmp_path: Path) -> None:
    said = {"benchmark": str(world.benchmark), "metric": "t2v_r1", "every_steps": 2}
    with pytest.raises(ConfigError, match=r"frames of \d+ px.*trained on 64 px"):
        run(
            tiny_recipe(tmp_path, MODEL | {"image_size": 64}, validation=said),
            tmp_path / "out",
            "cpu",
            data_root=world.folder,
        )
