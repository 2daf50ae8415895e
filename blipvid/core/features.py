"""The types that hold tensors: what encoders give and matchers take.

Apart from `types.py` so that decoding processes, which need no torch, start quickly.
"""

from dataclasses import dataclass

import torch


@dataclass(frozen=True, slots=True)
class Features:
    """What an image encoder says of B pictures, or, once lifted, of a clip.

    Attributes:
        tokens: (B, T, D) float, all tokens of each picture after the last norm; token 0 is the class token.
        embeds: (B, E) float, class token after the vision projection; *not* normalised for single pictures, because
            a clip's embedding is the normalised mean over its frames.
    """

    tokens: torch.Tensor
    embeds: torch.Tensor


@dataclass(frozen=True, slots=True)
class Texts:
    """Tokenised and embedded texts.

    Attributes:
        ids: (Q, L) int64, right-padded; first token [CLS].
        mask: (Q, L) int64, 1 for tokens, 0 for padding.
        embeds: (Q, E) float, L2-normalised text embedding.
    """

    ids: torch.Tensor
    mask: torch.Tensor
    embeds: torch.Tensor

    def __len__(self) -> int:
        return self.ids.shape[0]

    def take(self, index: torch.Tensor) -> "Texts":
        """Returns the texts at `index` (int64, any length), in that order."""
        return Texts(self.ids[index], self.mask[index], self.embeds[index])
