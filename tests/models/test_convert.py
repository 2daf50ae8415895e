import json
from pathlib import Path

import pytest
import torch

from blipvid.core.errors import ConfigError
from blipvid.models.convert import LAYOUTS, convert
from blipvid.models.layouts import kind_of, to_hugging_face, to_official
from blipvid.models.retriever import BlipRetriever
from blipvid.models.zoo import load_model, load_spec
from tests.models.tiny import tiny_retriever, write_model


@pytest.mark.parametrize("layout", LAYOUTS)
def test_round_trip_is_exact(tmp_path: Path, layout: str) -> None:
    first = load_model(str(write_model(tmp_path)))
    written = convert(first.model, first.spec, layout, tmp_path / "out", first.image_size)
    back = load_model(str(written))
    before, after = first.model.state_dict(), back.model.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[key], after[key]) for key in before)
    assert back.spec.vision == first.spec.vision
    assert (
        back.model.tokenizer(["a red dogs runs?"])[0].tolist()
        == first.model.tokenizer(["a red dogs runs?"])[0].tolist()
    )
    assert bool(back.report.renamed) == (layout == "hf")


def test_every_converted_model_can_be_moved(tmp_path: Path) -> None:
    first = load_model(str(write_model(tmp_path)))
    written = convert(first.model, first.spec, "official", tmp_path / "out", first.image_size)
    moved = (tmp_path / "out").rename(tmp_path / "elsewhere")
    assert load_model(str(moved / written.name)).sha256


def test_unknown_layout(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="Did you mean 'official'"):
        convert(tiny_retriever(tmp_path), load_spec(str(write_model(tmp_path))), "offical", tmp_path, 32)


def official_keys(test_data: Path) -> dict[str, dict[str, list[int]]]:
    recorded = json.loads((test_data / "goldens" / "official_state_dict_keys.json").read_text(encoding="utf-8"))
    return {name: entry["keys"] for name, entry in recorded.items()}


def test_official_export_has_exactly_the_keys_of_the_official_class(test_data: Path, tmp_path: Path) -> None:
    wanted = official_keys(test_data)["itm_base"]
    from blipvid.models.spec import TEXT_SIZES, VISION_SIZES
    from tests.models.tiny import tiny_spec

    vocab = test_data / "data" / "tokenizer" / "bert-base-uncased-vocab.txt"
    spec = tiny_spec(
        tmp_path,
        vision=VISION_SIZES["vit-b16"],
        text=TEXT_SIZES["bert-base"],
        embed_dim=256,
        image_size=384,
        vocab=str(vocab),
    )
    from blipvid.models.tokenizer import load_tokenizer

    with torch.device("meta"):
        model = BlipRetriever(spec, load_tokenizer(spec.vocab))
    ours = {key: list(tensor.shape) for key, tensor in model.state_dict().items()}
    position_ids = "text_encoder.embeddings.position_ids"
    assert {**ours, position_ids: [1, 512]} == wanted


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("caption_base", "captioning"),
        ("itm_base", "retrieval"),
        ("retrieval_base", "retrieval"),
        ("vqa_base", "VQA"),
        ("nlvr_base", "NLVR2"),
        ("pretrain_base", "pre-training"),
        ("pretrain_large", "pre-training"),
        ("feature_base", "feature-extractor"),
    ],
)
def test_names_of_every_released_layout(test_data: Path, name: str, words: str) -> None:
    keys = official_keys(test_data)[name]
    assert words in kind_of(keys)
    theirs = [to_hugging_face(key) for key in keys]
    assert len(set(theirs)) == len(keys)
    assert [to_official(key) for key in theirs] == list(keys)
    assert [to_official(f"module.{key}") for key in keys] == list(keys)
    assert not any(key.startswith("visual_encoder.") for key in theirs)
