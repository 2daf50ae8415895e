"""BLIP for NLVR2: a text tower that looks at two pictures at once and says whether a sentence is true of them.

Each layer looks at either picture with an attention of its own and merges what it saw. Knows no frames and no clips: a
clip is its tokens.

Shape legend: P pairs, S sentences, V tokens of one picture, L text length, D text width, H heads.

Source: salesforce/BLIP models/blip_nlvr.py, models/nlvr_encoder.py; Li et al. 2022, section 5.4.
"""

from collections.abc import Sequence

import torch
from torch import nn

from blipvid.core.features import Features
from blipvid.models.blip import BlipModel
from blipvid.models.med import DROPOUT, LAYER_NORM_EPS, CrossAttention, KeysValues, MedEncoder, Projections
from blipvid.models.spec import ModelSpec, TextSize
from blipvid.models.tokenizer import Tokenizer

FIRST_MERGING = 6
"""From this layer on, counted from 0, a learnt map merges; before it the mean. Source: models/nlvr_encoder.py."""


class TwinResidualNorm(nn.Module):
    """As `med.ResidualNorm`, of what was seen in two pictures, merged.

    Args:
        width: Text width (D).
        merges: Whether a linear map merges; the mean does where not.
    """

    def __init__(self, width: int, *, merges: bool) -> None:
        super().__init__()
        self.dense0 = nn.Linear(width, width)
        self.dense1 = nn.Linear(width, width)
        self.merge_layer = nn.Linear(2 * width, width) if merges else None
        self.LayerNorm = nn.LayerNorm(width, eps=LAYER_NORM_EPS)
        self.dropout = nn.Dropout(DROPOUT)

    def forward(self, first: torch.Tensor, second: torch.Tensor, residual: torch.Tensor) -> torch.Tensor:
        """Returns the normalised sum; all of shape (P, L, D)."""
        seen = self.dense0(first), self.dense1(second)
        merged = (seen[0] + seen[1]) / 2 if self.merge_layer is None else self.merge_layer(torch.cat(seen, dim=-1))
        return self.LayerNorm(self.dropout(merged) + residual)


class TwinAttention(nn.Module):
    """Cross-attention to two pictures, used in place of a `med.Attention`."""

    def __init__(self, width: int, heads: int, memory_width: int, *, merges: bool) -> None:
        super().__init__()
        self.self0 = Projections(width, heads, memory_width)
        self.self1 = Projections(width, heads, memory_width)
        self.output = TwinResidualNorm(width, merges=merges)

    def keys_values(self, states: torch.Tensor) -> KeysValues:
        """Returns keys and values, each (P, 2, H, V, D/H), of the tokens of pairs (P, 2, V, memory width)."""
        first, second = states.unbind(1)
        keys, values = zip(self.self0.keys_values(first), self.self1.keys_values(second), strict=True)
        return torch.stack(keys, dim=1), torch.stack(values, dim=1)

    def forward(self, x: torch.Tensor, keys_values: KeysValues, mask: torch.Tensor | None = None) -> torch.Tensor:
        """Returns (P, L, D); mask as in `med.Attention`, the same for both pictures."""
        first, second = zip(*(part.unbind(1) for part in keys_values), strict=True)
        return self.output(self.self0.context(x, first, mask), self.self1.context(x, second, mask), x)


class TwinEncoder(MedEncoder):
    """The text tower with a memory of pairs: its tokens are (P, 2, V, memory width)."""

    @staticmethod
    def cross_attention(number: int, size: TextSize, memory_width: int) -> CrossAttention:
        """Makes the twin attention of layer `number`."""
        return TwinAttention(size.width, size.heads, memory_width, merges=number >= FIRST_MERGING)


class BlipPairJudge(BlipModel):
    """Vision tower, twin text tower and classifier with official parameter names; a `core.protocols.PairJudge`.

    Made from the same arguments as every `BlipModel`.
    """

    def __init__(
        self, spec: ModelSpec, tokenizer: Tokenizer, image_size: int | None = None, drop_path: float = 0.0
    ) -> None:
        super().__init__(spec, tokenizer, image_size, drop_path)
        width = spec.text.width
        self.text_encoder = TwinEncoder(spec.text, len(tokenizer), memory_width=spec.vision.width)
        self.cls_head = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 2))

    def encode_images(self, pixels: torch.Tensor) -> Features:
        """Encodes pictures (B, 3, S, S) float in [0, 1]; the class tokens serve as embeddings."""
        tokens = self.see(pixels)
        return Features(tokens, tokens[:, 0])

    def judge_pairs(
        self, first: torch.Tensor, second: torch.Tensor, sentences: Sequence[str], max_tokens: int
    ) -> torch.Tensor:
        """Says whether sentences are true of pairs of pictures.

        Args:
            first: Tokens (P, V, vision width) of the first picture of each pair.
            second: Tokens of the second ones.
            sentences: S cleaned sentences, S a multiple of P; those about one pair stand together.
            max_tokens: Longest sentence in word pieces with [ENC] and [SEP]; the tower's positions bound it further.

        Returns:
            (S, 2) float32 logits, index 1 says that the sentence is true.
        """
        pairs = torch.stack([first, second], dim=1).to(self.device)
        ids, mask = (part.to(self.device) for part in self.tokenizer(sentences, min(max_tokens, self.max_tokens)))
        ids[:, 0] = self.tokenizer.enc
        with self.precision.context(self.device):
            states = self.text_encoder(ids, mask, self.text_encoder.remember(pairs))
            return self.cls_head(states[:, 0]).float()
