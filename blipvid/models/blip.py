"""What every BLIP has: a vision tower, a tokenizer, an arithmetic. The text towers and heads are the subclasses'.

Knows no frames and no clips: a clip is the tokens of its pictures.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from blipvid.models.precision import Precision
from blipvid.models.spec import ModelSpec
from blipvid.models.tokenizer import Tokenizer
from blipvid.models.vision import build_vision, normalise_pixels


class BlipModel(nn.Module):
    """The common part of all BLIP models, with official parameter names.

    Args:
        spec: Sizes.
        tokenizer: Gives the number of words and the ids of the special tokens.
        image_size: Side in pixels of the pictures, where it differs from the spec's.
        drop_path: Stochastic depth of the vision tower; training only.
    """

    def __init__(
        self, spec: ModelSpec, tokenizer: Tokenizer, image_size: int | None = None, drop_path: float = 0.0
    ) -> None:
        super().__init__()
        self.tokenizer = tokenizer
        self.precision = Precision("fp32")
        self.max_tokens = spec.text.max_positions
        self.visual_encoder = build_vision(spec.vision, image_size or spec.image_size, drop_path)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.parameters()).device

    @contextmanager
    def exactly(self) -> Iterator[None]:
        """Has everything in the block computed in fp32, whatever the model's own precision."""
        own, self.precision = self.precision, Precision("fp32")
        try:
            yield
        finally:
            self.precision = own

    def see(self, pixels: torch.Tensor) -> torch.Tensor:
        """Encodes pictures (B, 3, S, S) float in [0, 1], on any device, into tokens (B, 1 + (S/patch)^2, D)."""
        with self.precision.context(self.device):
            return self.visual_encoder(normalise_pixels(pixels.to(self.device)))
