"""The weights that a training starts from: of chance, of a trained model, or of one whose towers are taken over."""

import re
from collections.abc import Collection, Mapping
from typing import TypeVar, cast

import torch
from accelerate.utils import set_seed
from torch import nn

from blipvid.core.errors import CapabilityError, CheckpointError, ConfigError
from blipvid.models.answerer import BlipAnswerer
from blipvid.models.blip import BlipModel
from blipvid.models.checkpoints import State, read_state
from blipvid.models.layouts import twin_names
from blipvid.models.spec import ModelSpec
from blipvid.models.vision import recompute, resize_positions
from blipvid.models.zoo import build, fetch_weights, load_model, load_spec
from blipvid.train.backbones import start_text, start_vision
from blipvid.train.recipe import Recipe

M = TypeVar("M", bound=BlipModel)

LONGEST_WAVE = 8.0
"""Longest wave in a position table, in patches over 2 pi: about the side of small grids, so that every wave tells
places apart. The 10,000 of Vaswani et al. 2017 (section 3.5) is for long texts; here most waves would be flat."""


def first_model(recipe: Recipe, spec: ModelSpec, kind: type[M]) -> M:
    """Makes the model that a training begins with.

    Args:
        recipe: Says where its weights come from.
        spec: Its sizes.
        kind: What the objective trains.

    Returns:
        A trainable model.

    Raises:
        CapabilityError: The recipe names a model of another kind.
        CheckpointError: The trained model shares no tower with it, or has other sizes.
    """
    set_seed(recipe.seed)
    model = build(spec, drop_path=recipe.objective.drop_path)
    if not isinstance(model, kind):
        raise CapabilityError(
            f"model '{spec.name}' is no {kind.__name__}, which this objective trains; key 'model' of the recipe."
        )
    if recipe.start_std is not None:
        draw_weights(model, recipe.start_std)
    if recipe.start_vision is not None:
        start_vision(model, recipe.start_vision)
    if recipe.start_text is not None:
        start_text(model, recipe.start_text)
    if recipe.start_from is not None:
        take_over(model, recipe.start_from)
    if recipe.start_waves is not None:
        add_waves(model, recipe.start_waves)
    depth = len(model.visual_encoder.blocks)
    if recipe.recompute_blocks > depth:
        raise ConfigError(
            f"'recompute_blocks' {recipe.recompute_blocks} is more than the {depth} blocks of model '{spec.name}'; "
            f"give at most {depth}."
        )
    recompute(model.visual_encoder, recipe.recompute_blocks)
    return model


def draw_weights(model: nn.Module, std: float) -> None:
    """Draws the weights of linear maps, embeddings and position tables anew, normal and cut off at two deviations."""
    for module in model.modules():
        if isinstance(module, nn.Linear | nn.Embedding):
            nn.init.trunc_normal_(module.weight, std=std, a=-2 * std, b=2 * std)
    for name, parameter in model.named_parameters():
        if name.endswith("pos_embed"):
            nn.init.trunc_normal_(parameter, std=std, a=-2 * std, b=2 * std)


def take_over(model: BlipModel, name: str) -> None:
    """Copies the weights of all towers and heads that a trained model has as well.

    Args:
        model: Changed in place.
        name: Name or model file of the trained model, of this or another kind.

    Raises:
        CheckpointError: They have no part in common, or a common part has other sizes.
    """
    size = model.visual_encoder.patch_embed.img_size
    own, trained = model.state_dict(), load_model(name, image_size=size[0] if size else None).model.state_dict()
    common = in_common(own, trained)
    other = [key for key, tensor in common.items() if tensor.shape != own[key].shape]
    if isinstance(model, BlipAnswerer):
        # parity: a decoder that looked at pictures of another width now looks at questions; what made its keys and
        # values begins anew (tests/train/test_start.py)
        anew = [key for key in other if _READS_MEMORY.fullmatch(key)]
        other = [key for key in other if key not in anew]
        common = {key: tensor for key, tensor in common.items() if key not in anew}
    if other or not common:
        reason = f"{other[0]} has another size there" if other else "they have no tower in common"
        raise CheckpointError(
            f"model '{name}' cannot be the begin of this one: {reason}; key 'start_from' of the recipe."
        )
    model.load_state_dict(common, strict=False)


_READS_MEMORY = re.compile(r"text_decoder\..+\.crossattention\.self\.(key|value)\.weight")


def in_common(own: Collection[str], trained: Mapping[str, torch.Tensor]) -> State:
    """Returns what a trained model can give to another one, under the names of the latter.

    Args:
        own: Names of the parameters of the model that begins; where its cross-attention looks at two pictures, plain
            cross-attention serves for both.
        trained: Tensors of the trained model by name.
    """
    return {name: tensor for key, tensor in trained.items() for name in (key, *twin_names(key)) if name in own}


def take_over_training_state(objective: nn.Module, state: Mapping[str, torch.Tensor]) -> list[str]:
    """Copies temperature, momentum towers and queue from a checkpoint that was saved with them, as released ones are.

    Args:
        objective: Changed in place.
        state: Tensors under their official names.

    Returns:
        What was taken over; tensors of another shape, such as a queue of another length, are not. Nor is the place
        where the queue would be filled next: steps of another size begin elsewhere.

    Source: salesforce/BLIP models/blip.py `load_checkpoint`; so retrieval fine-tuning begins with the queue that
    pre-training left, and fills it from its begin.
    """
    own = objective.state_dict()
    named = {_training_name(key): tensor for key, tensor in state.items() if key not in POINTERS}
    table = "contrast.towers.visual_encoder_m.pos_embed"
    if table in named and table in own:
        named[table] = resize_positions(named[table].float(), own[table].shape[1])
    fitting = {key: tensor for key, tensor in named.items() if key in own and own[key].shape == tensor.shape}
    objective.load_state_dict(fitting, strict=False)
    return sorted(fitting)


def inherit_training_state(objective: nn.Module, name: str) -> list[str]:
    """Takes over what the checkpoint of a trained model has of training state; see `take_over_training_state`."""
    source, _ = fetch_weights(load_spec(name))
    return take_over_training_state(objective, read_state(source))


def _training_name(official: str) -> str:
    """Returns the name in our objectives of an official tensor that only training has."""
    tower, _, _ = official.partition(".")
    if tower.endswith("_m"):
        return f"contrast.towers.{official}"
    return {"temp": "contrast.temperature"}.get(official, f"contrast.queue.{official}")


POINTERS = ("queue_ptr", "ptr_queue")
"""Official names of the place where the queue is filled next, in pre-training and in retrieval."""


def add_waves(model: BlipModel, height: float) -> None:
    """Adds sines and cosines of row and column to the position table, so that places are told apart from the start.

    Args:
        model: Its table is (1, 1 + s*s, D), D a multiple of 4; the row of the class token stays.
        height: Amplitude of the waves.
    """
    table = cast(torch.Tensor, model.visual_encoder.pos_embed)
    side, quarter = round((table.shape[1] - 1) ** 0.5), table.shape[2] // 4
    turns = LONGEST_WAVE ** -(torch.arange(quarter) / quarter)
    angles = torch.arange(side)[:, None] * turns
    waves = torch.cat([angles.sin(), angles.cos()], dim=1)  # (s, D/2)
    grid = torch.cat([waves.repeat_interleave(side, 0), waves.repeat(side, 1)], dim=1)
    with torch.no_grad():
        table[0, 1:] += height * grid
