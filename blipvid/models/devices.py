"""Where a model runs: the best device there is, or the one asked for."""

import torch

from blipvid.core.errors import ConfigError
from blipvid.core.processes import this_process


def choose_device(device: str) -> str:
    """Turns `auto` into the best device there is, and checks any other.

    Of several processes each gets a GPU of its machine, by `auto` and by `cuda`, in turn where there are fewer.

    Raises:
        ConfigError: No such device here.
    """
    if device in ("auto", "cuda") and torch.cuda.is_available():
        process = this_process()
        return "cuda" if process.count == 1 else f"cuda:{process.local_rank % torch.cuda.device_count()}"
    if device == "auto":
        return "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:  # torch asserts that it was compiled with CUDA
        raise ConfigError(
            f"device '{device}': this machine, or this build of torch, has no such device; "
            "choose auto, cpu, cuda, cuda:1 or mps."
        ) from error
    return device
