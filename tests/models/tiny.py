"""Tiny models with random weights and a vocabulary of their own, for tests that need no recorded case."""

from pathlib import Path

import torch
import yaml

from blipvid.models.answerer import BlipAnswerer
from blipvid.models.blip import BlipModel
from blipvid.models.captioner import BlipCaptioner
from blipvid.models.retriever import BlipRetriever
from blipvid.models.spec import ModelSpec, TextSize, VisionSize
from blipvid.models.tokenizer import SPECIAL_TOKENS
from blipvid.models.zoo import build

WORDS = ["a", "red", "green", "dog", "cat", "runs", "sits", "on", "the", "grass", "##s", "?"]


def write_vocab(folder: Path) -> Path:
    """Writes a WordPiece vocabulary of a dozen words."""
    path = folder / "vocab.txt"
    path.write_text("".join(f"{piece}\n" for piece in [*SPECIAL_TOKENS, *WORDS]), encoding="utf-8")
    return path


def tiny_spec(folder: Path, **changes: object) -> ModelSpec:
    """A two-layer model for pictures of 32 px."""
    values = {
        "name": "tiny",
        "task": "retrieval",
        "checkpoint": "tiny.pth",
        "image_size": 32,
        "vision": VisionSize(width=24, depth=2, heads=3),
        "text": TextSize(width=16, depth=2, heads=2, mlp=32, max_positions=40),
        "embed_dim": 8,
        "vocab": str(write_vocab(folder)),
    }
    return ModelSpec.model_validate({**values, **changes})


def tiny_model(folder: Path, **changes: object) -> BlipModel:
    """The model of `tiny_spec`, in evaluation mode; its weights are large enough that scores differ."""
    model = build(tiny_spec(folder, **changes))
    generator = torch.Generator().manual_seed(7)
    for parameter in model.parameters():
        if parameter.dim() > 1:
            parameter.data = torch.randn(parameter.shape, generator=generator) * 0.2
    return model.eval().requires_grad_(requires_grad=False)


def tiny_retriever(folder: Path, **changes: object) -> BlipRetriever:
    """A tiny model for retrieval."""
    model = tiny_model(folder, **changes)
    assert isinstance(model, BlipRetriever)
    return model


def tiny_answerer(folder: Path, **changes: object) -> BlipAnswerer:
    """A tiny model for question answering."""
    model = tiny_model(folder, **{"task": "vqa", **changes})
    assert isinstance(model, BlipAnswerer)
    return model


def tiny_captioner(folder: Path, **changes: object) -> BlipCaptioner:
    """A tiny model for captioning."""
    model = tiny_model(folder, **{"task": "caption", **changes})
    assert isinstance(model, BlipCaptioner)
    return model


def write_model(folder: Path, state: dict[str, torch.Tensor] | None = None, **changes: object) -> Path:
    """Writes checkpoint and model file of a tiny model; returns the model file."""
    spec = tiny_spec(folder, **changes)
    torch.save(
        {"model": state if state is not None else tiny_model(folder, **changes).state_dict()}, folder / "tiny.pth"
    )
    path = folder / "tiny.yaml"
    path.write_text(yaml.safe_dump(spec.model_dump(exclude_none=True)), encoding="utf-8")
    return path
