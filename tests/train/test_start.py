from pathlib import Path

import pytest
import torch

from blipvid.core.errors import CapabilityError, CheckpointError, ConfigError
from blipvid.models.answerer import BlipAnswerer
from blipvid.models.retriever import BlipRetriever
from blipvid.models.vision import resize_positions
from blipvid.models.zoo import build, load_model, load_spec
from blipvid.train.objectives.retrieval import RetrievalObjective
from blipvid.train.recipe import Recipe
from blipvid.train.run import run
from blipvid.train.start import add_waves, draw_weights, first_model, take_over_training_state
from blipvid.train.states import METRICS, read_metrics
from tests.train.tiny import ANSWERER, MODEL, QUESTIONS, tiny_recipe


def test_weights_start_with_the_deviation_asked_for(tmp_path: Path) -> None:
    model = build(load_spec(tiny_recipe(tmp_path).model))
    draw_weights(model, 0.2)
    # Cutting a normal distribution off at two deviations leaves 0.88 of its deviation.
    for weight in (model.text_encoder.embeddings.word_embeddings.weight, model.visual_encoder.pos_embed):
        assert 0.15 < weight.std().item() < 0.2
        assert weight.abs().max().item() <= 0.4


def test_waves_make_neighbours_alike_and_all_places_different(tmp_path: Path) -> None:
    model = build(load_spec(tiny_recipe(tmp_path).model))
    torch.nn.init.constant_(model.visual_encoder.pos_embed, 3.0)
    add_waves(model, 0.5)
    table = model.visual_encoder.pos_embed[0].detach() - 3.0  # they are added to what was there
    assert table.abs().max().item() <= 0.5
    assert table[0].abs().max().item() == 0  # the class token has no place
    grid = table[1:].view(4, 4, -1)
    apart = (grid[:, :, None, None] - grid).norm(dim=-1)  # of every place from every other
    assert (apart.view(16, 16) + 9 * torch.eye(16)).min() > 0.1
    assert apart[0, 0, 0, 1] < apart[0, 0, 0, 2] < apart[0, 0, 0, 3]
    torch.testing.assert_close(apart[0, 0, 0, 1], apart[2, 2, 1, 2])  # rows count like columns


def test_waves_change_the_position_table_alone(tmp_path: Path) -> None:
    plain, waving = (tiny_recipe(tmp_path, start_std=0.1, **said) for said in ({}, {"start_waves": 0.5}))
    spec = load_spec(plain.model)
    before, after = (first_model(recipe, spec, BlipRetriever).state_dict() for recipe in (plain, waving))
    assert [key for key in before if not torch.equal(before[key], after[key])] == ["visual_encoder.pos_embed"]


def test_a_run_can_go_on_from_a_trained_model(tmp_path: Path) -> None:
    first = run(tiny_recipe(tmp_path, steps=2), tmp_path / "first", "cpu")
    still = tiny_recipe(tmp_path, steps=1, start_from=str(first), optimiser={"lr": 1e-12}, schedule={"warmup_lr": 0.0})
    second = run(still, tmp_path / "second", "cpu")
    before, after = (load_model(str(path)).model.state_dict() for path in (first, second))
    for key in before:
        torch.testing.assert_close(after[key], before[key], atol=1e-5, rtol=0)
    assert len(list(read_metrics(tmp_path / "second" / METRICS))) == 1


PRETRAIN = {"objective": {"kind": "pretrain", "momentum": None}, "steps": 1}


def answering(folder: Path, trained: Path, **sizes: object) -> Recipe:
    said = {"pictures": QUESTIONS, "objective": {"kind": "vqa"}, "start_from": str(trained), "start_std": 0.1}
    return tiny_recipe(folder, ANSWERER | sizes, **said)


def test_an_answerer_takes_over_the_towers_of_a_retriever(tmp_path: Path) -> None:
    trained = run(tiny_recipe(tmp_path / "one", steps=1), tmp_path / "out", "cpu")
    recipe = answering(tmp_path / "two", trained)
    spec = load_spec(recipe.model)
    given, taken = load_model(str(trained)).model.state_dict(), first_model(recipe, spec, BlipAnswerer).state_dict()
    shared = {key for key in given if torch.equal(given[key], taken.get(key, torch.tensor(torch.nan)))}
    assert shared == {key for key in given if key.split(".")[0] in ("visual_encoder", "text_encoder")}
    words = taken["text_decoder.bert.embeddings.word_embeddings.weight"]
    assert 0.07 < words.std().item() < 0.1  # the others are drawn as the recipe says


def test_towers_of_other_sizes_are_refused(tmp_path: Path) -> None:
    trained = run(tiny_recipe(tmp_path / "one", steps=1), tmp_path / "out", "cpu")
    recipe = answering(tmp_path / "two", trained, text=MODEL["text"] | {"mlp": 32})
    with pytest.raises(CheckpointError, match=r"tiny\.yaml' cannot be the begin.*another size.*'start_from'"):
        first_model(recipe, load_spec(recipe.model), BlipAnswerer)


def test_a_model_of_another_kind_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CapabilityError, match=r"'tiny' is no BlipRetriever.*'model'"):
        run(tiny_recipe(tmp_path, ANSWERER), tmp_path / "out", "cpu")


def test_the_momentum_tower_of_a_checkpoint_fits_larger_pictures(tmp_path: Path) -> None:
    objective = {"kind": "retrieval", "momentum": {"queue": 8}}
    small = tiny_recipe(tmp_path / "small", objective=objective)
    large = tiny_recipe(tmp_path / "large", MODEL | {"image_size": 64}, objective=objective)
    given, taking = (
        RetrievalObjective(first_model(recipe, load_spec(recipe.model), BlipRetriever), recipe.objective)
        for recipe in (small, large)
    )
    state = {key.removeprefix("contrast.towers."): tensor for key, tensor in given.state_dict().items()}
    taken = take_over_training_state(taking, state)
    assert {key for key in taking.state_dict() if key.startswith("contrast.towers.")} <= set(taken)
    wanted = resize_positions(given.contrast.towers.visual_encoder_m.pos_embed, 65)
    assert torch.equal(taking.contrast.towers.visual_encoder_m.pos_embed, wanted)


def test_a_decoder_that_looked_at_wider_pictures_makes_its_keys_anew(tmp_path: Path) -> None:
    wide = {"vision": MODEL["vision"] | {"width": 48}}
    trained = run(tiny_recipe(tmp_path / "one", MODEL | wide | {"task": "pretrain"}, **PRETRAIN), tmp_path / "o", "cpu")
    recipe = answering(tmp_path / "two", trained, **wide)
    given = load_model(str(trained)).model.state_dict()
    taken = first_model(recipe, load_spec(recipe.model), BlipAnswerer).state_dict()
    anew = {key for key in given if key in taken and not torch.equal(given[key], taken[key])}
    layer = "text_decoder.bert.encoder.layer.0.crossattention.self"
    assert anew == {f"{layer}.key.weight", f"{layer}.value.weight"}


def test_more_recomputed_blocks_than_there_are_is_refused(tmp_path: Path) -> None:
    recipe = tiny_recipe(tmp_path, recompute_blocks=2)
    with pytest.raises(ConfigError, match=r"'recompute_blocks' 2 is more than the 1 blocks of model 'tiny'"):
        first_model(recipe, load_spec(recipe.model), BlipRetriever)


@pytest.mark.parametrize(("name", "length"), [("queue_ptr", 24), ("ptr_queue", 24), ("queue_ptr", 16)])
def test_an_inherited_queue_is_filled_from_its_begin_by_steps_of_any_size(
    tmp_path: Path, name: str, length: int
) -> None:
    recipe = tiny_recipe(tmp_path, objective={"kind": "retrieval", "momentum": {"queue": 24}})
    objective = RetrievalObjective(first_model(recipe, load_spec(recipe.model), BlipRetriever), recipe.objective)
    left = {name: torch.tensor([6]), "image_queue": torch.ones(16, length), "text_queue": torch.ones(16, length)}
    taken = take_over_training_state(objective, left)
    assert taken == (["contrast.queue.image_queue", "contrast.queue.text_queue"] if length == 24 else [])
    queue = objective.contrast.queue
    for step in range(4):
        queue.push(torch.full((8, 16), step), torch.full((8, 16), step), torch.full((8,), step))
    assert queue.idx_queue[0].tolist() == [3] * 8 + [1] * 8 + [2] * 8
