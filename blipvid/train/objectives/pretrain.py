"""Pre-training: contrastive (ITC), matching (ITM) and language model (LM) losses on pictures with captions."""

import torch
from torch.nn.functional import normalize

from blipvid.core.features import Features
from blipvid.models.med import Memory
from blipvid.models.pretrained import BlipPretrained
from blipvid.train.objectives.contrast import ContrastiveObjective
from blipvid.train.objectives.losses import draw_negatives, lm_labels, lm_loss, negative_weights
from blipvid.train.objectives.matching import match_pairs, read_firsts
from blipvid.train.pictures.batches import CaptionBatch
from blipvid.train.recipe import PretrainLosses

NEGATIVE_FLOOR = 1e-4
"""Weight that every wrong pair has besides its likeness. Source: salesforce/BLIP models/blip_pretrain.py."""

Tokens = tuple[torch.Tensor, torch.Tensor]
"""Ids and mask, each (B, L), with [CLS] first."""


class PretrainObjective(ContrastiveObjective[BlipPretrained, PretrainLosses]):
    """ITC, ITM and LM, of one pass of the pictures through the vision tower.

    Args:
        model: The model to train.
        settings: The objective part of the recipe.
    """

    trains = BlipPretrained

    @property
    def learns_everything(self) -> bool:
        """Heads, or a text tower's self-attention, are left out where a loss counts nothing."""
        weights = self.settings.weights
        return all((weights.itc, weights.itm, weights.lm))

    def forward(self, batch: CaptionBatch, epochs: float) -> dict[str, torch.Tensor]:
        """Computes the losses of one step.

        Args:
            batch: B pictures and captions; each caption belongs to its own picture alone, whatever the ids say.
            epochs: Epochs done so far, fractions included.

        Returns:
            Scalars `itc`, `itm` and `lm`, each times its weight; training minimises their sum.

        Source: salesforce/BLIP models/blip_pretrain.py.
        """
        model, weights = self.model, self.settings.weights
        texts, mask = (part.to(model.device) for part in model.tokenizer(batch.captions, self.max_tokens))
        pixels = batch.pixels.to(model.device).float() / 255.0
        features = model.encode_images(pixels)
        memory = model.text_encoder.remember(features.tokens, keep=True)
        losses: dict[str, torch.Tensor] = {}
        if self.settings.compares:
            itc, itm = self._compare(pixels, features, (texts, mask), memory, epochs)
            losses |= {"itc": weights.itc * itc, "itm": weights.itm * itm}
        if weights.lm:
            losses["lm"] = weights.lm * self._write(features, (texts, mask), memory)
        return losses

    def _compare(
        self, pixels: torch.Tensor, features: Features, texts: Tokens, memory: Memory, epochs: float
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Returns the losses of ITC and ITM."""
        model = self.model
        of_images = normalize(features.embeds.float(), dim=-1)
        of_texts = normalize(model.text_proj(read_firsts(model.text_encoder, *texts)).float(), dim=-1)
        compared = self.contrast(pixels, texts, (of_images, of_texts), None, epochs)
        places = torch.arange(len(pixels), device=model.device)
        same = places[:, None] == places
        drawn = draw_negatives(
            for_texts=negative_weights(compared.text_to_image, same, NEGATIVE_FLOOR),
            for_images=negative_weights(compared.image_to_text, same, NEGATIVE_FLOOR),
        )
        return compared.itc, match_pairs(model, memory, texts, (places, drawn.images), (places, drawn.texts))

    def _write(self, features: Features, texts: Tokens, memory: Memory) -> torch.Tensor:
        """Returns the loss of LM; the decoder has the same keys and values where it shares cross-attention."""
        model, (ids, mask) = self.model, texts
        written = ids.clone()
        written[:, 0] = model.tokenizer.dec
        if not model.shares_cross_attention:
            memory = model.text_decoder.remember(features.tokens)
        return lm_loss(model.text_decoder(written, mask, memory).float(), lm_labels(written, mask))
