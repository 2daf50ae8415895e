from pathlib import Path

import pytest
import torch
import yaml

from blipvid.core.errors import ConfigError
from blipvid.models.zoo import build, load_model, load_spec
from blipvid.train.loop import METRICS, read_metrics
from blipvid.train.run import draw_weights, place_patches, run
from tests.train.tiny import tiny_recipe


def test_weights_start_with_the_deviation_asked_for(tmp_path: Path) -> None:
    model = build(load_spec(tiny_recipe(tmp_path).model))
    draw_weights(model, 0.2)
    # Cutting a normal distribution off at two deviations leaves 0.88 of its deviation.
    for weight in (model.text_encoder.embeddings.word_embeddings.weight, model.visual_encoder.blocks[0].mlp.fc1.weight):
        assert 0.15 < weight.std().item() < 0.2
        assert weight.abs().max().item() <= 0.4


def test_positions_say_where_a_patch_is(tmp_path: Path) -> None:
    table = torch.full((1, 1 + 6 * 6, 32), 7.0)
    place_patches(table, 0.5)
    assert (table[0, 0] == 7).all()
    assert table[0, 1:].abs().max().item() == pytest.approx(0.5, abs=0.01)
    grid = table[0, 1:].unflatten(0, (6, 6))
    assert torch.equal(grid[2, :, :16], grid[5, :, :16])  # columns in the first half, whatever the row
    assert torch.equal(grid[:, 1, 16:], grid[:, 4, 16:])  # rows in the second
    apart = torch.cdist(table[0, 1:], table[0, 1:]) + 9 * torch.eye(36)
    assert apart.min() > 0.1
    neighbours, far = (grid[0, 0] - grid[0, 1]).norm(), (grid[0, 0] - grid[0, 5]).norm()
    assert neighbours < far


def test_a_run_can_start_from_a_trained_model(tmp_path: Path) -> None:
    first = run(tiny_recipe(tmp_path, steps=2), tmp_path / "first", "cpu")
    still = tiny_recipe(tmp_path, steps=1, start_from=str(first), optimiser={"lr": 1e-12})
    second = run(still, tmp_path / "second", "cpu")
    before, after = (load_model(str(path)).model.state_dict() for path in (first, second))
    for key in before:
        torch.testing.assert_close(after[key], before[key], atol=1e-5, rtol=0)
    assert len(list(read_metrics(tmp_path / "second" / METRICS))) == 1


def test_trained_weights_are_not_drawn_anew(tmp_path: Path) -> None:
    for key in ("start_std", "start_positions"):
        with pytest.raises(ConfigError, match=key):
            tiny_recipe(tmp_path, start_from="demo-retriever", **{key: 0.1})


def test_the_model_comes_out_with_its_file(tmp_path: Path) -> None:
    written = run(tiny_recipe(tmp_path, steps=1), tmp_path / "out", "cpu")
    assert written == tmp_path / "out" / "model" / "tiny.yaml"
    said = yaml.safe_load(written.read_text())
    assert said["checkpoint"] == "model.safetensors"
    assert said["image_size"] == 32
    assert load_model(str(written)).report.missing == ()
