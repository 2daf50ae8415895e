"""Writes a loaded model in the layout of its choice: official, Hugging Face's, or blipvid's own.

All three hold the same tensors, so that writing one and reading it back is exact.
"""

import json
from pathlib import Path
from typing import Any

import torch
import yaml
from safetensors.torch import save_file

from blipvid.core.config import did_you_mean
from blipvid.core.errors import ConfigError
from blipvid.core.files import replacing
from blipvid.models.answerer import BlipAnswerer
from blipvid.models.blip import BlipModel
from blipvid.models.captioner import BlipCaptioner
from blipvid.models.checkpoints import State, second_names
from blipvid.models.dialog_ranker import BlipDialogRanker
from blipvid.models.layouts import TIED, to_hugging_face
from blipvid.models.med import DROPOUT
from blipvid.models.med import LAYER_NORM_EPS as TEXT_EPS
from blipvid.models.pair_judge import BlipPairJudge
from blipvid.models.pretrained import BlipPretrained
from blipvid.models.retriever import BlipRetriever
from blipvid.models.spec import ModelSpec
from blipvid.models.vision import LAYER_NORM_EPS as VISION_EPS
from blipvid.models.vision import PIXEL_MEAN, PIXEL_STD

LAYOUTS = ("blipvid", "official", "hf")

_KINDS: dict[type[BlipModel], tuple[str, str | None]] = {
    BlipPretrained: ("pretrain", None),
    BlipRetriever: ("retrieval", "BlipForImageTextRetrieval"),
    BlipCaptioner: ("caption", "BlipForConditionalGeneration"),
    BlipAnswerer: ("vqa", "BlipForQuestionAnswering"),
    BlipPairJudge: ("nlvr", None),
    BlipDialogRanker: ("visdial", None),
}
"""Model -> its task in model files, and transformers' class for it where there is one."""


def convert(model: BlipModel, spec: ModelSpec, layout: str, out: Path, image_size: int, half: bool = False) -> Path:
    """Writes a model.

    Args:
        model: The loaded model.
        spec: Its model file.
        layout: `blipvid` (a folder: model file, safetensors, tokenizer), `official` (one `.pth` as salesforce/BLIP's
            ITM or VQA class saves it, with a model file beside it) or `hf` (a folder for `from_pretrained` of
            transformers' `BlipForImageTextRetrieval` or `BlipForQuestionAnswering`, with a model file in it).
        out: Folder to write into; made where absent.
        image_size: Side in pixels of the pictures the model takes now.
        half: Whether weights are stored as float16, which rounds them; they are loaded as float32 all the same.

    Returns:
        The model file (`.yaml`) that loads what was written.

    Raises:
        ConfigError: No such layout, or the model does not fit into it.
    """
    if layout not in LAYOUTS:
        raise ConfigError(f"unknown layout '{layout}': one of {', '.join(LAYOUTS)}.{did_you_mean(layout, LAYOUTS)}")
    task, hugging_face_class = _KINDS[type(model)]
    if layout == "hf" and hugging_face_class is None:
        raise ConfigError(
            f"model '{spec.name}' is a {task} model, for which transformers has no class; write layout 'official' or "
            "'blipvid'."
        )
    if layout == "hf" and task == "vqa" and spec.vision.width != spec.text.width:
        raise ConfigError(
            f"model '{spec.name}': its towers are {spec.vision.width} and {spec.text.width} wide, and "
            f"{hugging_face_class} knows equal towers only; write layout 'official' or 'blipvid'."
        )
    out.mkdir(parents=True, exist_ok=True)
    stored = torch.float16 if half else torch.float32
    state = {key: tensor.detach().to("cpu", stored).contiguous() for key, tensor in model.state_dict().items()}
    model.tokenizer.save(out)
    if layout == "official":
        checkpoint = f"{spec.name}.pth"
        with replacing(out / checkpoint) as path:
            torch.save({"model": as_stored_officially(state, spec)}, path)
    else:
        checkpoint = "model.safetensors"
        names = to_hugging_face if layout == "hf" else str
        again = second_names(model)
        tensors = {names(key): tensor for key, tensor in state.items() if key not in again}
        with replacing(out / checkpoint) as path:
            save_file(tensors, path, metadata={"format": "pt"})
    if layout == "hf" and hugging_face_class is not None:
        _write_json(out / "config.json", _hugging_face_config(hugging_face_class, model, spec, image_size))
        _write_json(out / "preprocessor_config.json", _hugging_face_pixels(image_size))
    written = spec.model_copy(
        update={
            "checkpoint": checkpoint,
            "mirror": None,
            "sha256": None,
            "image_size": image_size,
            "vocab": "vocab.txt",
            "task": task,
        }
    )
    model_file = out / f"{spec.name}.yaml"
    text = yaml.safe_dump(written.model_dump(exclude_none=True), sort_keys=False, allow_unicode=True)
    _write(model_file, text)
    _write(out / "vocab.txt", "".join(f"{piece}\n" for piece in model.tokenizer.pieces()))
    return model_file


def as_stored_officially(state: State, spec: ModelSpec) -> State:
    """Adds the position numbers that every official text tower stores, and the second names of shared tensors."""
    end = "embeddings.word_embeddings.weight"
    towers = [key.removesuffix(end) for key in state if key.endswith(end)]
    positions = {f"{tower}embeddings.position_ids": torch.arange(spec.text.max_positions)[None] for tower in towers}
    return state | positions | {second: state[first] for second, first in TIED.items() if first in state}


def _hugging_face_config(architecture: str, model: BlipModel, spec: ModelSpec, image_size: int) -> dict[str, Any]:
    """Source: transformers' BlipConfig; defaults that differ from the official code are written out."""
    tokenizer = model.tokenizer
    return {
        "architectures": [architecture],
        "model_type": "blip",
        "projection_dim": spec.embed_dim,
        "image_text_hidden_size": spec.embed_dim,
        "vision_config": {
            "model_type": "blip_vision_model",
            "hidden_size": spec.vision.width,
            "intermediate_size": int(spec.vision.width * spec.vision.mlp_ratio),
            "num_hidden_layers": spec.vision.depth,
            "num_attention_heads": spec.vision.heads,
            "image_size": image_size,
            "patch_size": spec.vision.patch,
            "hidden_act": "gelu",
            "layer_norm_eps": VISION_EPS,
        },
        "text_config": {
            "model_type": "blip_text_model",
            "vocab_size": len(tokenizer),
            "hidden_size": spec.text.width,
            "encoder_hidden_size": spec.vision.width,
            "intermediate_size": spec.text.mlp,
            "num_hidden_layers": spec.text.depth,
            "num_attention_heads": spec.text.heads,
            "max_position_embeddings": spec.text.max_positions,
            "hidden_act": "gelu",
            "layer_norm_eps": TEXT_EPS,
            "hidden_dropout_prob": DROPOUT,
            "attention_probs_dropout_prob": DROPOUT,
            "bos_token_id": tokenizer.dec,
            "pad_token_id": tokenizer.pad,
            "sep_token_id": tokenizer.sep,
        },
    }


def _hugging_face_pixels(image_size: int) -> dict[str, Any]:
    return {
        "image_processor_type": "BlipImageProcessor",
        "do_resize": True,
        "size": {"height": image_size, "width": image_size},
        "resample": 3,  # bicubic, as PIL numbers it
        "do_rescale": True,
        "do_normalize": True,
        "image_mean": list(PIXEL_MEAN),
        "image_std": list(PIXEL_STD),
        "do_convert_rgb": True,
    }


def _write_json(path: Path, content: dict[str, Any]) -> None:
    _write(path, json.dumps(content, indent=2) + "\n")


def _write(path: Path, text: str) -> None:
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
