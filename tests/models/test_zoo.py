from pathlib import Path
from typing import get_args

import pytest
import torch

from blipvid.core.errors import CheckpointError, ConfigError
from blipvid.core.features import Features
from blipvid.core.protocols import ExactMatcher, Retriever
from blipvid.models.retriever import BlipRetriever
from blipvid.models.spec import Task, VisionSize
from blipvid.models.zoo import list_models, load_model, load_spec
from tests.models.tiny import tiny_spec, write_model

RELEASED = {
    "blip-base-retrieval-coco",
    "blip-large-retrieval-coco",
    "blip-base-retrieval-flickr",
    "blip-large-retrieval-flickr",
    "blip-base",
    "blip-base-14m",
    "blip-base-capfilt-large",
    "blip-large",
}


def test_shipped_model_files() -> None:
    names = list_models()
    assert set(names) >= RELEASED
    for name in names:
        spec = load_spec(name)
        assert spec.name == name
        assert spec.about
        assert spec.licence != "unknown"
        assert spec.image_size % spec.vision.patch == 0


def test_loaded_model_is_a_retriever(tmp_path: Path) -> None:
    loaded = load_model(str(write_model(tmp_path)))
    assert isinstance(loaded.model, Retriever)
    assert isinstance(loaded.model, ExactMatcher)
    assert not loaded.model.training
    assert len(loaded.sha256) == 64
    assert loaded.image_size == 32
    assert load_model(str(write_model(tmp_path)), image_size=64).model.visual_encoder.pos_embed.shape[1] == 17


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_is_near(tmp_path: Path, precision: str) -> None:
    path = str(write_model(tmp_path))
    exact, near = load_model(path).model, load_model(path, precision=precision).model
    pixels = torch.rand(2, 3, 32, 32)
    a, b = exact.encode_images(pixels), near.encode_images(pixels)
    assert torch.nn.functional.cosine_similarity(a.embeds, b.embeds.float()).min() > 0.999
    assert not torch.equal(a.tokens, b.tokens.float())
    texts = exact.encode_texts(["a red dog", "the cat"], 35)

    def scores(model: BlipRetriever, features: Features) -> torch.Tensor:
        return model.match(model.remember(features.tokens[0]), model.prepare_texts(texts, 10**6), torch.arange(2))

    assert 0 < (scores(exact, a) - scores(near, b)).abs().max() < 0.1
    with near.exactly():
        torch.testing.assert_close(scores(near, a), scores(exact, a), atol=0, rtol=0)
    assert near.precision.name == precision


def test_wrong_names_and_files(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="Did you mean 'blip-base-retrieval-coco'"):
        load_spec("blip-base-retrieval-cocoa")
    with pytest.raises(ConfigError, match=r"absent\.yaml: cannot be read"):
        load_spec(str(tmp_path / "absent.yaml"))
    path = write_model(tmp_path)
    with pytest.raises(ConfigError, match="unknown precision 'fp32x'"):
        load_model(str(path), precision="fp32x")
    path.write_text(path.read_text().replace("depth: 2", "deph: 2", 1), encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load_spec(str(path))
    assert "unknown key 'text.deph'. Did you mean 'depth'?" in str(caught.value)
    assert "key 'text.depth' is missing" in str(caught.value)


def test_sizes_by_name_and_their_misspelling(tmp_path: Path) -> None:
    assert tiny_spec(tmp_path, vision="vit-l16").vision.depth == 24
    with pytest.raises(ValueError, match="Did you mean 'vit-b16'"):
        tiny_spec(tmp_path, vision="vit-b-16")


def test_checkpoint_of_another_hash(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="names 0000"):
        load_model(str(write_model(tmp_path, sha256="0" * 64)))


@pytest.mark.parametrize("task", get_args(Task))
def test_every_task_has_a_model(tmp_path: Path, task: str) -> None:
    path = write_model(tmp_path, task=task, vision=VisionSize(width=16, depth=2, heads=2))
    loaded = load_model(str(path))
    assert loaded.spec.task == task
    assert loaded.report.missing == ()


def test_vocabulary_and_sizes_must_agree(tmp_path: Path) -> None:
    spec = tiny_spec(tmp_path)
    for size in (17, 19):  # without and with [DEC] and [ENC]
        load_model(str(write_model(tmp_path, text=spec.text.model_copy(update={"vocab_size": size}))))
    with pytest.raises(ConfigError, match=r"'text.vocab_size' is 30524, but vocabulary .* has 19 pieces"):
        load_model(str(write_model(tmp_path, text=spec.text.model_copy(update={"vocab_size": 30524}))))
    with pytest.raises(ConfigError, match="no such vocabulary file"):
        load_model(str(write_model(tmp_path, vocab=str(tmp_path / "no.txt"))))
    (tmp_path / "odd.txt").write_text("a\nb\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"lacks \[PAD\]"):
        load_model(str(write_model(tmp_path, vocab=str(tmp_path / "odd.txt"))))


def test_pictures_that_cannot_be_cut(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="cannot be cut into patches of 16 px"):
        load_model(str(write_model(tmp_path)), image_size=40)


def test_heads_that_do_not_share_the_width(tmp_path: Path) -> None:
    path = write_model(tmp_path)
    path.write_text(path.read_text(encoding="utf-8").replace("heads: 3", "heads: 5"), encoding="utf-8")
    with pytest.raises(ConfigError, match=r"key 'vision': 'width' 24 cannot be shared by 'heads' 5"):
        load_spec(str(path))
