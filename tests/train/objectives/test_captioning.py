"""The objective against the recorded official step."""

from contextlib import nullcontext
from pathlib import Path

import pytest
import torch
from torch.testing import assert_close

from blipvid.core.errors import ConfigError
from blipvid.models.captioner import BlipCaptioner
from blipvid.models.zoo import load_spec
from blipvid.train.objectives.captioning import CaptionObjective
from blipvid.train.objectives.losses import IGNORED
from blipvid.train.pictures.batches import CaptionBatch
from blipvid.train.recipe import CaptionLosses
from blipvid.train.start import first_model
from tests.load_goldens import Goldens
from tests.parity.official import captioner_of, unit_range
from tests.train.tiny import MODEL, tiny_recipe


@pytest.mark.parametrize(("texts", "ending"), [("captions", ""), ("captions_trunc40", "_trunc40")])
def test_the_official_step(goldens: Goldens, texts: str, ending: str) -> None:
    case = goldens["captioning"]
    wanted = case.tensors("outputs")
    prompt = case.config["prompt"]
    model = captioner_of(goldens).requires_grad_(requires_grad=True)
    objective = CaptionObjective(model, CaptionLosses(kind="caption", prompt=prompt))
    pixels = unit_range(case.tensors("inputs")["image"]) * 255.0
    batch = CaptionBatch.gather(pixels, [said.removeprefix(prompt) for said in case.meta["texts"][texts]])
    found = dict(zip(("input_ids", "mask", "labels"), objective.tokenise(batch.captions), strict=True))
    for name, tensor in found.items():
        assert torch.equal(tensor, wanted[f"lm_{name}{ending}"]), name
    loss = objective.eval()(batch, 0.0)["lm"]
    assert_close(loss, wanted[f"lm_loss{ending}"], atol=case.atol, rtol=1e-4)
    if not ending:
        loss.backward()
        for name, key in (
            ("grad_word_embeddings_norm", "text_decoder.bert.embeddings.word_embeddings.weight"),
            ("grad_patch_proj_norm", "visual_encoder.patch_embed.proj.weight"),
        ):
            gradient = objective.model.get_parameter(key).grad
            assert gradient is not None
            assert_close(gradient.norm(), wanted[name], atol=case.atol, rtol=1e-4)


def test_captions_longer_than_the_tower_are_cut(tmp_path: Path) -> None:
    recipe = tiny_recipe(tmp_path, MODEL | {"task": "caption"}, objective={"kind": "caption", "max_tokens": 60})
    objective = CaptionObjective(first_model(recipe, load_spec(recipe.model), BlipCaptioner), recipe.objective)
    assert objective.tokenise(["red " * 70])[0].shape == (1, 40)


@pytest.mark.parametrize(("max_tokens", "fits"), [(5, False), (6, True)])
def test_the_prompt_must_leave_room_for_a_word(tmp_path: Path, max_tokens: int, fits: bool) -> None:
    recipe = tiny_recipe(tmp_path, MODEL | {"task": "caption"}, objective={"kind": "caption", "max_tokens": max_tokens})
    objective = CaptionObjective(first_model(recipe, load_spec(recipe.model), BlipCaptioner), recipe.objective)
    with nullcontext() if fits else pytest.raises(ConfigError, match=r"no room .* 'a picture of ' of 4"):
        objective.check(8)
    labels = objective.tokenise(["red"])[2]
    assert bool((labels != IGNORED).sum() > 1) == fits  # a word, and the end
