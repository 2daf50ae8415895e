"""BLIP for retrieval: two towers with a common embedding (ITC) and a matching head on the grounded text tower (ITM).

Holds no momentum copies and no queues: those belong to training. Knows no frames and no clips: a clip is its tokens.
"""

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn.functional import normalize

from blipvid.core.features import Features, Texts
from blipvid.models.blip import BlipModel
from blipvid.models.med import MedEncoder, Memory
from blipvid.models.packed import PreparedTexts, first_states
from blipvid.models.spec import ModelSpec
from blipvid.models.tokenizer import Tokenizer

MATCH = 1
"""Index of "they match" in the two-way matching head. Source: salesforce/BLIP models/blip_retrieval.py."""


class BlipRetriever(BlipModel):
    """Image, text and matching encoder with official parameter names; satisfies `core.protocols.Retriever`.

    Made from the same arguments as every `BlipModel`.
    """

    def __init__(
        self, spec: ModelSpec, tokenizer: Tokenizer, image_size: int | None = None, drop_path: float = 0.0
    ) -> None:
        super().__init__(spec, tokenizer, image_size, drop_path)
        self.text_encoder = MedEncoder(spec.text, len(tokenizer), memory_width=spec.vision.width)
        self.vision_proj = nn.Linear(spec.vision.width, spec.embed_dim)
        self.text_proj = nn.Linear(spec.text.width, spec.embed_dim)
        self.itm_head = nn.Linear(spec.text.width, 2)

    def encode_images(self, pixels: torch.Tensor) -> Features:
        """Encodes pictures.

        Args:
            pixels: (B, 3, S, S) float in [0, 1] on any device.

        Returns:
            Tokens (B, 1 + (S/patch)^2, D) and projected class tokens (B, E), not normalised.
        """
        tokens = self.see(pixels)
        with self.precision.context(self.device):
            return Features(tokens, self.vision_proj(tokens[:, 0]))

    def encode_texts(self, texts: Sequence[str], max_tokens: int) -> Texts:
        """Tokenises texts and embeds them by the text-only tower.

        Args:
            texts: Q cleaned texts.
            max_tokens: Longest text in word pieces with [CLS] and [SEP]; the tower's positions bound it further.

        Returns:
            Ids and mask (Q, L) with [CLS] first, embeddings (Q, E) float32, L2-normalised.
        """
        ids, mask = (part.to(self.device) for part in self.tokenizer(texts, min(max_tokens, self.max_tokens)))
        with self.precision.context(self.device):
            embeds = self.text_proj(first_states(self.text_encoder, ids, mask))
        return Texts(ids, mask, normalize(embeds.float(), dim=-1))

    def remember(self, tokens: torch.Tensor) -> Memory:
        """Makes the memory of one clip from its tokens (N*T, D)."""
        return self.text_encoder.remember(tokens[None].to(self.device))

    def prepare_texts(self, texts: Texts, memory_bytes: int) -> PreparedTexts:
        """Does the part of matching texts that no clip changes.

        Args:
            texts: Q texts, from `encode_texts`.
            memory_bytes: What this and matching may take besides weights and clips.

        Returns:
            The texts as `match` takes them.
        """
        # parity: the official evaluation opens a grounded text with [ENC], the ITM demo class with [CLS]; only [ENC]
        # gives the published scores (tests/parity/test_retrieval.py)
        ids = texts.ids.clone()
        ids[:, 0] = self.tokenizer.enc
        with self.precision.context(self.device):
            return PreparedTexts(self.text_encoder, ids, texts.mask, memory_bytes)

    def match(self, memory: Memory, texts: PreparedTexts, rows: torch.Tensor) -> torch.Tensor:
        """Scores texts against one clip.

        Args:
            memory: The clip, from `remember`.
            texts: Texts, from `prepare_texts`.
            rows: (R,) int64, which of them.

        Returns:
            (R,) float32 matching logits.
        """
        with self.precision.context(self.device):
            states = texts.first_states(rows.cpu(), memory)
        # the head stays in fp32: two digits of a half precision would make ties of close scores
        return self.itm_head(states.float())[:, MATCH]
