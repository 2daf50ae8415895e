from pathlib import Path

import yaml

from blipvid.models.answerer import BlipAnswerer
from blipvid.models.zoo import load_model
from blipvid.train.run import run
from tests.train.tiny import ANSWERER, QUESTIONS, tiny_recipe


def test_the_model_comes_out_with_its_file(tmp_path: Path) -> None:
    written = run(tiny_recipe(tmp_path, steps=1), tmp_path / "out", "cpu")
    assert written == tmp_path / "out" / "model" / "tiny.yaml"
    said = yaml.safe_load(written.read_text())
    assert said["checkpoint"] == "model.safetensors"
    assert said["image_size"] == 32
    assert load_model(str(written)).report.missing == ()


def test_an_answerer_comes_out_of_questions(tmp_path: Path) -> None:
    recipe = tiny_recipe(tmp_path, ANSWERER, steps=1, pictures=QUESTIONS, objective={"kind": "vqa"})
    loaded = load_model(str(run(recipe, tmp_path / "out", "cpu")))
    assert isinstance(loaded.model, BlipAnswerer)
    assert loaded.report.missing == ()
    assert loaded.spec.task == "vqa"
