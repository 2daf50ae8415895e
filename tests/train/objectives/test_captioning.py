"""The objective against the recorded official step."""

import pytest
import torch
from torch.testing import assert_close

from blipvid.train.objectives.captioning import CaptionObjective
from blipvid.train.pictures.batches import CaptionBatch
from blipvid.train.recipe import CaptionLosses
from tests.load_goldens import Goldens
from tests.parity.official import captioner_of, unit_range


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
