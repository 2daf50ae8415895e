"""What the work is done on: how many processes, and what the record says of the machine without naming it."""

import os
import platform
from importlib.metadata import PackageNotFoundError, version

import torch

from blipvid.bench.record import Environment
from blipvid.core.processes import this_process

PACKAGES = ("torch", "timm", "transformers", "numpy", "scipy", "av", "decord", "safetensors")
MOST_WORKERS = 4


def choose_workers(workers: int | None) -> int:
    """Returns the number of decoding processes of this process: as asked for, else one for each core up to four.

    Processes that share the work of a machine share its cores.
    """
    if workers is not None:
        return workers
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(cores // this_process().local_count, MOST_WORKERS))


def package_version(name: str) -> str | None:
    """Returns the version of an installed package, or None."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def describe_environment(device: str) -> Environment:
    """Returns what the record says of the machine."""
    kind = torch.device(device).type
    name = f"{device} ({torch.cuda.get_device_name(device)})" if kind == "cuda" else device
    return Environment(
        python=platform.python_version(),
        platform=f"{platform.system()} {platform.machine()}",
        packages={package: package_version(package) for package in PACKAGES},
        device=name,
        cpu_threads=torch.get_num_threads(),
        tf32={
            "matmul": kind == "cuda" and torch.get_float32_matmul_precision() != "highest",
            "convolution": kind == "cuda" and torch.backends.cudnn.allow_tf32,
        },
    )
