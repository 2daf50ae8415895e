"""Towers of other makers, from files of the layout that the hub has."""

from pathlib import Path

import pytest
import torch
from timm.models.vision_transformer import VisionTransformer
from transformers import BertConfig, BertForMaskedLM

from blipvid.core.errors import CheckpointError
from blipvid.models.pretrained import BlipPretrained
from blipvid.models.zoo import build, load_spec
from blipvid.train.start import first_model
from tests.train.tiny import MODEL, tiny_recipe

SIZES = MODEL | {"task": "pretrain"}
OFFICIAL_WORDS = 2


@pytest.fixture
def model(tmp_path: Path) -> BlipPretrained:
    made = build(load_spec(tiny_recipe(tmp_path, SIZES).model))
    assert isinstance(made, BlipPretrained)
    return made


def vision_transformer(folder: Path, side_px: int) -> tuple[VisionTransformer, Path]:
    """Writes a classifier as the authors of DeiT do: all of it, head included, under the key `model`."""
    torch.manual_seed(1)
    made = VisionTransformer(
        img_size=side_px, patch_size=8, embed_dim=32, depth=1, num_heads=2, mlp_ratio=2, num_classes=10
    )
    path = folder / "deit.pth"
    torch.save({"model": made.state_dict()}, path)
    return made, path


@pytest.mark.parametrize("side_px", [32, 64])
def test_the_vision_tower_starts_as_the_classifier_was(tmp_path: Path, side_px: int) -> None:
    given, path = vision_transformer(tmp_path, side_px)
    recipe = tiny_recipe(tmp_path, SIZES, start_vision=path.name)  # named relative to the recipe
    tower = first_model(recipe, load_spec(recipe.model), BlipPretrained).visual_encoder
    wanted = given.state_dict()
    for key, tensor in tower.state_dict().items():
        if key == "pos_embed" and side_px == 64:  # resized; the class token's row is as it was
            torch.testing.assert_close(tensor[:, 0], wanted[key][:, 0])
            assert tensor.shape == (1, 17, 32)
        else:
            assert torch.equal(tensor, wanted[key]), key


def bert(folder: Path, words: int, **changes: int) -> BertForMaskedLM:
    """Writes a BERT of the tiny text tower's sizes."""
    torch.manual_seed(2)
    sizes = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 64}
    made = BertForMaskedLM(BertConfig(vocab_size=words, max_position_embeddings=40, **(sizes | changes)))
    made.save_pretrained(folder)
    return made.eval()


def test_the_text_towers_start_as_bert(tmp_path: Path, model: BlipPretrained) -> None:
    words = len(model.tokenizer) - OFFICIAL_WORDS
    given = bert(tmp_path / "bert", words)
    recipe = tiny_recipe(tmp_path, SIZES, start_text=str(tmp_path / "bert"))
    found = first_model(recipe, load_spec(recipe.model), BlipPretrained).eval()
    ids, mask = found.tokenizer(["a big red ring", "two stars"])
    with torch.no_grad():
        own = found.text_encoder(ids, mask)
        wanted = given.bert(ids, mask, token_type_ids=None).last_hidden_state
        # BERT adds the embedding of its one kind of token everywhere, which BLIP leaves out
        given.bert.embeddings.token_type_embeddings.weight.zero_()
        wanted = given.bert(ids, mask).last_hidden_state
    torch.testing.assert_close(own[mask.bool()], wanted[mask.bool()], atol=1e-5, rtol=1e-5)
    with torch.no_grad():
        logits = found.text_decoder.logits(own)[..., :words]
        torch.testing.assert_close(logits, given.cls(own), atol=1e-5, rtol=1e-5)
    assert found.text_encoder.embeddings is found.text_decoder.bert.embeddings
    new = found.text_encoder.embeddings.word_embeddings.weight[words:]
    assert new.shape == (OFFICIAL_WORDS, 32)
    assert 0.01 < new.std().item() < 0.03


@pytest.mark.parametrize(
    ("key", "what"), [("start_vision", "no-such-net"), ("start_vision", "none.pth"), ("start_text", "empty-folder")]
)
def test_what_cannot_be_had_is_named(tmp_path: Path, key: str, what: str) -> None:
    (tmp_path / "empty-folder").mkdir()
    recipe = tiny_recipe(tmp_path, SIZES, **{key: str(tmp_path / what) if key == "start_text" else what})
    with pytest.raises(CheckpointError, match=rf"{what}' cannot be had .*'{key}'"):
        first_model(recipe, load_spec(recipe.model), BlipPretrained)


@pytest.mark.parametrize("name", ["none.pth", "none.safetensors", "none.npz"])
def test_a_weight_file_that_is_not_there_is_one_sentence(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    recipe = tiny_recipe(tmp_path, SIZES, start_vision=name)
    with pytest.raises(CheckpointError) as caught:
        first_model(recipe, load_spec(recipe.model), BlipPretrained)
    assert str(caught.value) == (
        f"vision tower '{tmp_path / name}' cannot be had (there is no such file); fetch it, or mend key 'start_vision' "
        "of the recipe."
    )
    assert not caplog.records


def test_towers_of_other_sizes_are_refused(tmp_path: Path, model: BlipPretrained) -> None:
    bert(tmp_path / "bert", len(model.tokenizer), intermediate_size=48)
    recipe = tiny_recipe(tmp_path, SIZES, start_text=str(tmp_path / "bert"))
    with pytest.raises(
        CheckpointError, match=r"does not fit the model file: encoder\.layer\.0\.intermediate.*\(48, 32\)"
    ):
        first_model(recipe, load_spec(recipe.model), BlipPretrained)
