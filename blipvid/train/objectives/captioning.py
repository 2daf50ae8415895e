"""Captioning: the language model loss of captions, after a prompt that is not learnt."""

import torch

from blipvid.core.errors import ConfigError
from blipvid.models.captioner import BlipCaptioner
from blipvid.train.objectives.losses import IGNORED, lm_labels, lm_loss
from blipvid.train.objectives.objective import Objective
from blipvid.train.pictures.batches import CAPTIONED, CaptionBatch
from blipvid.train.recipe import CaptionLosses


class CaptionObjective(Objective[BlipCaptioner, CaptionBatch, CaptionLosses]):
    """LM loss of each caption.

    Args:
        model: The captioner to train.
        settings: The objective part of the recipe.
    """

    trains = BlipCaptioner
    takes = CAPTIONED

    def check(self, pictures: int) -> None:
        """Makes sure that the prompt leaves room for a caption.

        Raises:
            ConfigError: It does not.
        """
        start = self.model.start(self.settings.prompt).shape[1]
        if self.max_tokens <= start + 1:  # [SEP] is no caption
            raise ConfigError(
                f"captions of at most {self.max_tokens} tokens have no room for a word after the prompt "
                f"'{self.settings.prompt}' of {start}; raise 'objective.max_tokens', or 'max_positions' of the model."
            )

    def forward(self, batch: CaptionBatch, epochs: float) -> dict[str, torch.Tensor]:
        """Computes the loss of one step.

        Args:
            batch: B pictures and captions.
            epochs: Not needed.

        Returns:
            Scalar `lm`.

        Source: salesforce/BLIP models/blip.py `BLIP_Decoder.forward`.
        """
        model, ids, mask, labels = self.model, *self.tokenise(batch.captions)
        pictures = model.encode_images(batch.pixels.to(model.device).float() / 255.0)
        logits = model.text_decoder(ids, mask, model.text_decoder.remember(pictures.tokens))
        return {"lm": lm_loss(logits.float(), labels)}

    def tokenise(self, captions: list[str]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Returns ids, mask and labels of captions after the prompt, each (B, L) on the model's device."""
        model, prompt = self.model, self.settings.prompt
        texts = [prompt + caption for caption in captions]
        ids, mask = (part.to(model.device) for part in model.tokenizer(texts, self.max_tokens))
        ids[:, 0] = model.tokenizer.dec
        labels = lm_labels(ids, mask)
        labels[:, : model.start(prompt).shape[1]] = IGNORED
        return ids, mask, labels
