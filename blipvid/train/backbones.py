"""Towers of other makers that a pre-training starts with: vision transformers of timm, BERT of transformers.

Both come from the hub or from files of the same layout. Nothing here knows BLIP's own checkpoints.
"""

from pathlib import Path

import timm
import torch
from timm.models import load_state_dict
from timm.models.vision_transformer import checkpoint_filter_fn
from torch import nn
from transformers import BertForMaskedLM

from blipvid.core.errors import CheckpointError
from blipvid.models.blip import BlipModel
from blipvid.models.checkpoints import State
from blipvid.models.decoder import MedDecoder
from blipvid.models.med import MedEncoder

NPZ = ".npz"
"""Ending of the weights that google-research/vision_transformer gives, which timm reads."""
WEIGHT_FILES = (".pth", ".pt", ".bin", ".safetensors", NPZ)

NEW_WORDS = 2
"""[DEC] and [ENC], which BERT does not know."""


def start_vision(model: BlipModel, name: str) -> None:
    """Takes the weights of a vision transformer; its position table is resized, its classifier left out.

    Args:
        model: Changed in place.
        name: A model of timm (`deit_base_patch16_224`, fetched from the hub), or the path of a `.pth`, `.safetensors`
            or `.npz` file.

    Raises:
        CheckpointError: It cannot be had, or its sizes are others.

    Source: salesforce/BLIP models/blip_pretrain.py, where ViT-B starts from `deit_base_patch16_224` and ViT-L from
    `vit_large_patch16_224_in21k`.
    """
    tower = model.visual_encoder
    of_file = name.endswith(WEIGHT_FILES)
    if of_file and not Path(name).is_file():
        raise CheckpointError(
            f"vision tower '{name}' cannot be had (there is no such file); fetch it, or mend key 'start_vision' of the "
            "recipe."
        )
    try:
        if name.endswith(NPZ):
            tower.load_pretrained(name)
            return
        state = load_state_dict(name) if of_file else timm.create_model(name, pretrained=True).state_dict()
        state = checkpoint_filter_fn(state, tower)
    except Exception as error:  # timm, the hub and torch each have their own
        raise CheckpointError(
            f"vision tower '{name}' cannot be had ({_first_line(error)}); key 'start_vision' of the recipe takes a "
            "model of timm or the path of a weight file."
        ) from error
    _load(tower, {key: tensor for key, tensor in state.items() if not key.startswith("head")}, f"vision tower '{name}'")


def start_text(model: BlipModel, name: str) -> None:
    """Takes the weights of a BERT for every text tower; cross-attention and new words stay as they were drawn.

    Args:
        model: Changed in place.
        name: A model on the hub (`bert-base-uncased`), or the folder of one.

    Raises:
        CheckpointError: It cannot be had, or its sizes are others.

    Source: salesforce/BLIP models/blip_pretrain.py.
    """
    try:
        state = BertForMaskedLM.from_pretrained(name).state_dict()
    except (OSError, ValueError, RuntimeError) as error:
        raise CheckpointError(
            f"text tower '{name}' cannot be had ({_first_line(error)}); key 'start_text' of the recipe takes a BERT on "
            "the hub or its folder."
        ) from error
    own = {key.removeprefix("bert."): tensor for key, tensor in state.items() if key.startswith("bert.")}
    head = {key: tensor for key, tensor in state.items() if key.startswith("cls.")}
    for tower in model.children():
        if isinstance(tower, MedEncoder):
            _load(tower, own, f"text tower '{name}'")
        if isinstance(tower, MedDecoder):
            _load(tower, {f"bert.{key}": tensor for key, tensor in own.items()} | head, f"text tower '{name}'")


def _load(tower: nn.Module, given: State, what: str) -> None:
    """Loads what a tower has a place for; vocabularies may be shorter than ours, which has two words more."""
    own = tower.state_dict()
    common = {key: _lengthened(tensor, own[key]) for key, tensor in given.items() if key in own}
    other = [key for key, tensor in common.items() if tensor.shape != own[key].shape]
    if other or not common:
        reason = f"{other[0]} is {tuple(common[other[0]].shape)}, not {tuple(own[other[0]].shape)}" if other else ""
        raise CheckpointError(f"{what} does not fit the model file: {reason or 'no part of it is known'}.")
    tower.load_state_dict(common, strict=False)


def _lengthened(given: torch.Tensor, own: torch.Tensor) -> torch.Tensor:
    """Returns a table of words with our own rows after its last."""
    short = len(own) - len(given) if given.dim() and own.dim() else 0
    return torch.cat([given, own[-short:].to(given.dtype)]) if short == NEW_WORDS else given


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(".") if lines else type(error).__name__
