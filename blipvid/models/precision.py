"""The arithmetic of the encoders: fp32, or autocast to a half precision with fp32 weights."""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch

from blipvid.core.config import did_you_mean
from blipvid.core.errors import ConfigError

_TYPES = {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True, slots=True)
class Precision:
    """One of `fp32`, `bf16`, `fp16`.

    Raises:
        ConfigError: Another name.
    """

    name: str

    def __post_init__(self) -> None:
        if self.name not in _TYPES:
            raise ConfigError(
                f"unknown precision '{self.name}': one of {', '.join(_TYPES)}.{did_you_mean(self.name, _TYPES)}"
            )

    def context(self, device: torch.device) -> AbstractContextManager[object]:
        """Returns the autocast context for a device; LayerNorm and softmax stay in fp32."""
        dtype = _TYPES[self.name]
        return nullcontext() if dtype is None else torch.autocast(device.type, dtype)


def forbid_tf32() -> None:
    """Has GPUs compute float32 products and convolutions in float32 proper, as the published figures were.

    torch lets convolutions use TF32 unless told otherwise; the run record says what was allowed.
    """
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
