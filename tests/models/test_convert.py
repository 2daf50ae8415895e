import json
from pathlib import Path

import pytest
import torch

from blipvid.core.errors import ConfigError
from blipvid.models.convert import LAYOUTS, as_stored_officially, convert
from blipvid.models.layouts import kind_of, to_hugging_face, to_official
from blipvid.models.spec import TEXT_SIZES, VISION_SIZES, VisionSize
from blipvid.models.zoo import build, load_model, load_spec
from tests.models.tiny import tiny_retriever, tiny_spec, write_model


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(("task", "width"), [("retrieval", 24), ("vqa", 16)])
def test_round_trip_is_exact(tmp_path: Path, layout: str, task: str, width: int) -> None:
    first = load_model(str(write_model(tmp_path, task=task, vision=VisionSize(width=width, depth=2, heads=2))))
    written = convert(first.model, first.spec, layout, tmp_path / "out", first.image_size)
    back = load_model(str(written))
    before, after = first.model.state_dict(), back.model.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[key], after[key]) for key in before)
    assert (back.spec.vision, back.spec.task) == (first.spec.vision, task)
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


@pytest.mark.parametrize(("recorded", "task"), [("itm_base", "retrieval"), ("vqa_base", "vqa"), ("nlvr_base", "nlvr")])
def test_official_export_has_exactly_the_keys_of_the_official_class(
    test_data: Path, tmp_path: Path, recorded: str, task: str
) -> None:
    wanted = official_keys(test_data)[recorded]
    vocab = test_data / "data" / "tokenizer" / "bert-base-uncased-vocab.txt"
    spec = tiny_spec(
        tmp_path,
        task=task,
        vision=VISION_SIZES["vit-b16"],
        text=TEXT_SIZES["bert-base"],
        embed_dim=256,
        image_size=384 if task == "retrieval" else 480,
        vocab=str(vocab),
    )
    with torch.device("meta"):
        stored = as_stored_officially(build(spec).state_dict(), spec)
    assert {key: list(tensor.shape) for key, tensor in stored.items()} == wanted


def test_the_answer_decoder_looks_at_text_whatever_the_vision_tower(tmp_path: Path) -> None:
    spec = tiny_spec(tmp_path, task="vqa", vision=VISION_SIZES["vit-l16"])
    state = build(spec).state_dict()
    assert state["text_encoder.encoder.layer.0.crossattention.self.key.weight"].shape == (16, 1024)
    assert state["text_decoder.bert.encoder.layer.0.crossattention.self.key.weight"].shape == (16, 16)


def test_towers_of_different_widths_have_no_hugging_face_answerer(tmp_path: Path) -> None:
    loaded = load_model(str(write_model(tmp_path, task="vqa")))
    with pytest.raises(ConfigError, match="24 and 16 wide, and BlipForQuestionAnswering knows equal towers only"):
        convert(loaded.model, loaded.spec, "hf", tmp_path / "out", 32)


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
