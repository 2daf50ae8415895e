from pathlib import Path

import pytest
import torch
import yaml

from blipvid.core.errors import ConfigError
from blipvid.models.zoo import build, load_model, load_spec
from blipvid.train.loop import METRICS, read_metrics
from blipvid.train.run import draw_weights, run
from tests.train.tiny import tiny_recipe


def test_weights_start_with_the_deviation_asked_for(tmp_path: Path) -> None:
    model = build(load_spec(tiny_recipe(tmp_path).model))
    draw_weights(model, 0.2)
    # Cutting a normal distribution off at two deviations leaves 0.88 of its deviation.
    for weight in (model.text_encoder.embeddings.word_embeddings.weight, model.visual_encoder.pos_embed):
        assert 0.15 < weight.std().item() < 0.2
        assert weight.abs().max().item() <= 0.4


def test_a_run_can_start_from_a_trained_model(tmp_path: Path) -> None:
    first = run(tiny_recipe(tmp_path, steps=2), tmp_path / "first", "cpu")
    still = tiny_recipe(tmp_path, steps=1, start_from=str(first), optimiser={"lr": 1e-12})
    second = run(still, tmp_path / "second", "cpu")
    before, after = (load_model(str(path)).model.state_dict() for path in (first, second))
    for key in before:
        torch.testing.assert_close(after[key], before[key], atol=1e-5, rtol=0)
    assert len(list(read_metrics(tmp_path / "second" / METRICS))) == 1


def test_trained_weights_are_not_drawn_anew(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="start_std"):
        tiny_recipe(tmp_path, start_from="demo-retriever", start_std=0.1)


def test_the_model_comes_out_with_its_file(tmp_path: Path) -> None:
    written = run(tiny_recipe(tmp_path, steps=1), tmp_path / "out", "cpu")
    assert written == tmp_path / "out" / "model" / "tiny.yaml"
    said = yaml.safe_load(written.read_text())
    assert said["checkpoint"] == "model.safetensors"
    assert said["image_size"] == 32
    assert load_model(str(written)).report.missing == ()
