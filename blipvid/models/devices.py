"""Where a model runs: the best device there is, or the one asked for."""

import torch

from blipvid.core.errors import ConfigError


def choose_device(device: str) -> str:
    """Turns `auto` into the best device there is, and checks any other.

    Raises:
        ConfigError: No such device here.
    """
    if device == "auto":
        if torch.cuda.is_available():
            return "cuda"
        return "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:  # torch asserts that it was compiled with CUDA
        raise ConfigError(
            f"device '{device}': this machine, or this build of torch, has no such device; "
            "choose auto, cpu, cuda, cuda:1 or mps."
        ) from error
    return device
