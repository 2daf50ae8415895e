"""What the processes of one training show each other. With one process, everything is as it is."""

from typing import Any

import torch
import torch.distributed as dist


def world_size() -> int:
    """Returns how many processes train together."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """Returns the number of this process among them."""
    return dist.get_rank() if world_size() > 1 else 0


def gather_all(own: torch.Tensor) -> torch.Tensor:
    """Returns the tensors of all processes, all of one shape, one below the other in the order of the ranks.

    Without gradient; see `gather_learning`.
    """
    if world_size() == 1:
        return own.detach()
    parts = [torch.empty_like(own) for _ in range(world_size())]
    dist.all_gather(parts, own.detach().contiguous())
    return torch.cat(parts)


def gather_learning(own: torch.Tensor) -> torch.Tensor:
    """Likewise, but what the losses of all processes say of the own part flows back into it, summed.

    Source: salesforce/BLIP models/blip_retrieval.py `all_gather_with_grad`.
    """
    return own if world_size() == 1 else _GatherLearning.apply(own)


class _GatherLearning(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, own: torch.Tensor) -> torch.Tensor:
        return gather_all(own)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> torch.Tensor:
        everywhere = gradients[0].contiguous().clone()
        dist.all_reduce(everywhere)
        return everywhere.chunk(world_size())[rank()]
