"""Pre-training: contrastive (ITC), matching (ITM) and language model (LM) losses on pictures with captions."""

import torch
from torch.nn.functional import normalize

from blipvid.models.pretrained import BlipPretrained
from blipvid.train.batches import CAPTIONED, CaptionBatch
from blipvid.train.contrast import Contrast
from blipvid.train.losses import draw_negatives, lm_labels, lm_loss, negative_weights
from blipvid.train.matching import match_pairs, read_firsts
from blipvid.train.objective import Objective
from blipvid.train.recipe import PretrainLosses

NEGATIVE_FLOOR = 1e-4
"""Weight that every wrong pair has besides its likeness. Source: salesforce/BLIP models/blip_pretrain.py."""


class PretrainObjective(Objective[BlipPretrained, CaptionBatch, PretrainLosses]):
    """ITC, ITM and LM, of one pass of the pictures through the vision tower.

    Args:
        model: The model to train.
        settings: The objective part of the recipe.
    """

    trains = BlipPretrained
    takes = CAPTIONED

    def __init__(self, model: BlipPretrained, settings: PretrainLosses) -> None:
        super().__init__(model, settings)
        self.contrast = Contrast(model, settings)

    def forward(self, batch: CaptionBatch, epochs: float) -> dict[str, torch.Tensor]:
        """Computes the losses of one step.

        Args:
            batch: B pictures and captions; each caption belongs to its own picture alone, whatever the ids say.
            epochs: Epochs done so far, fractions included.

        Returns:
            Scalars `itc`, `itm` and `lm`; training minimises their sum.

        Source: salesforce/BLIP models/blip_pretrain.py.
        """
        model = self.model
        self.contrast.bound_temperature()
        texts, mask = (part.to(model.device) for part in model.tokenizer(batch.captions, self.settings.max_tokens))
        pixels = batch.pixels.to(model.device).float() / 255.0
        features = model.encode_images(pixels)
        of_images = normalize(features.embeds.float(), dim=-1)
        of_texts = normalize(model.text_proj(read_firsts(model.text_encoder, texts, mask)).float(), dim=-1)
        compared = self.contrast(model, pixels, (texts, mask), (of_images, of_texts), None, epochs)

        places = torch.arange(len(texts), device=model.device)
        same = places[:, None] == places
        drawn = draw_negatives(
            for_texts=negative_weights(compared.text_to_image, same, NEGATIVE_FLOOR),
            for_images=negative_weights(compared.image_to_text, same, NEGATIVE_FLOOR),
        )
        memory = model.text_encoder.remember(features.tokens, keep=True)
        itm = match_pairs(model, memory, (texts, mask), (places, drawn.images), (places, drawn.texts))

        written = texts.clone()
        written[:, 0] = model.tokenizer.dec
        if not model.shares_cross_attention:
            memory = model.text_decoder.remember(features.tokens)
        lm = lm_loss(model.text_decoder(written, mask, memory).float(), lm_labels(written, mask))
        return {"itc": compared.itc, "itm": itm, "lm": lm}
