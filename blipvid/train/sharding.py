"""Weights of which each process holds a shard (FSDP): how they lie, and the whole model that they make.

Each process has a part of every weight, its gradient and its moments. A block of a vision tower is put together when it
is called and taken apart again; everything else is together from the way there until the end of the way back, since the
text towers' layers are called in pieces, past their own forward pass.
"""

from collections.abc import Callable
from copy import deepcopy
from functools import partial
from typing import Any, TypeVar, cast

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedType, FullyShardedDataParallelPlugin, parse_flag_from_env
from timm.models.vision_transformer import Block
from torch import nn

from blipvid.core.errors import ConfigError
from blipvid.models.blip import BlipModel
from blipvid.train.objectives.objective import Objective

M = TypeVar("M", bound=BlipModel)

WANTED = "ACCELERATE_USE_FSDP"
"""Environment variable that asks for shards; `accelerate launch --use_fsdp` sets it. Source: accelerate."""


def sharding_plugin() -> FullyShardedDataParallelPlugin | None:
    """Returns how weights are sharded, None where nobody asks for it."""
    if not parse_flag_from_env(WANTED):
        return None
    from torch.distributed.fsdp import MixedPrecisionPolicy  # older torch has none, and no need of it without shards

    return FullyShardedDataParallelPlugin(
        fsdp_version=2,
        auto_wrap_policy="transformer_based_wrap",
        transformer_cls_names_to_wrap=[Block.__name__],
        mixed_precision_policy=MixedPrecisionPolicy(),  # half precision is autocast's, as it is without shards
        state_dict_type="SHARDED_STATE_DICT",
        cpu_ram_efficient_loading=False,  # every process has the whole model, with buffers that it could not send
    )


def ready_for_shards(accelerator: Accelerator, objective: Objective[M, Any, Any]) -> Callable[[nn.Module], M]:
    """Makes an objective ready to be sharded, where it is to be.

    Args:
        accelerator: Which will do it.
        objective: Still whole; changed in place.

    Returns:
        A function of the wrapped objective that puts its model together. All processes have to call it at the same
        time; where weights are sharded, only the main process gets a filled one, on its device.

    Raises:
        ConfigError: There are to be shards where accelerate would train whole copies.
    """
    if accelerator.distributed_type == DistributedType.FSDP:
        empty = deepcopy(objective.model).to("meta")
        _without_scalars(objective)
        return partial(_gather_model, accelerator, empty)
    if parse_flag_from_env(WANTED):
        raise ConfigError(
            f"{WANTED} asks for weights in shards, which accelerate makes on accelerators and of processes that "
            f"torchrun started (here: {accelerator.num_processes} on '{accelerator.device.type}'); unset it to train "
            "without."
        )
    return lambda wrapped: cast(M, accelerator.unwrap_model(wrapped).model)


def own_part(parameter: torch.Tensor) -> torch.Tensor:
    """Returns what this process holds of a parameter: all of it, where weights are not sharded."""
    return parameter.to_local() if hasattr(parameter, "to_local") else parameter


def _without_scalars(objective: nn.Module) -> None:
    """Makes vectors of one number, which act alike, of learnt scalars, which cannot be sharded."""
    for module in objective.modules():
        for name, parameter in list(module.named_parameters(recurse=False)):
            if parameter.ndim == 0:
                setattr(module, name, nn.Parameter(parameter.detach()[None], parameter.requires_grad))


def _gather_model(accelerator: Accelerator, empty: M, wrapped: nn.Module) -> M:
    """Fills a copy of the empty model on the main process, from what all processes hold of the wrapped objective."""
    state = accelerator.get_state_dict(wrapped)
    model = deepcopy(empty)
    if accelerator.is_main_process:
        own = {key.removeprefix("model."): part for key, part in state.items() if key.startswith("model.")}
        model.load_state_dict(own, assign=True)
        model.to(accelerator.device)
    return model
