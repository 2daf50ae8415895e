"""Question answering: the language model loss of answers, after questions that were read together with pictures."""

import torch

from blipvid.models.answerer import BlipAnswerer
from blipvid.train.objectives.losses import lm_labels, lm_loss
from blipvid.train.objectives.objective import Objective
from blipvid.train.pictures.batches import ASKED, QuestionBatch
from blipvid.train.recipe import VqaLosses


class VqaObjective(Objective[BlipAnswerer, QuestionBatch, VqaLosses]):
    """LM loss of every answer, times its weight.

    Args:
        model: The answerer to train.
        settings: The objective part of the recipe.
    """

    trains = BlipAnswerer
    takes = ASKED

    def forward(self, batch: QuestionBatch, epochs: float) -> dict[str, torch.Tensor]:
        """Computes the loss of one step.

        Args:
            batch: B pictures, Q questions, A answers.
            epochs: Not needed.

        Returns:
            Scalar `lm`: the weighted sum over all answers, divided by Q.

        Source: salesforce/BLIP models/blip_vqa.py, where each picture has one question.
        """
        weights = batch.weights.to(self.model.device)
        return {"lm": (weights * self.answer_losses(batch)).sum() / len(batch.questions)}

    def answer_losses(self, batch: QuestionBatch) -> torch.Tensor:
        """Returns the loss of each answer, (A,), a sum over its tokens.

        Each picture is encoded once and remembered once, for all of its questions.
        """
        model = self.model
        pictures = model.encode_images(batch.pixels.to(model.device).float() / 255.0)
        ids, mask = self._tokenise(batch.questions, model.tokenizer.enc, self.max_tokens)
        states = model.text_encoder(ids, mask, model.text_encoder.remember(pictures.tokens))

        which = batch.answer_question.to(model.device)
        memory = model.text_decoder.remember(states[which], mask[which])
        ids, mask = self._tokenise(batch.answers, model.tokenizer.dec, model.max_tokens)
        return lm_loss(model.text_decoder(ids, mask, memory).float(), lm_labels(ids, mask), reduction="none")

    def _tokenise(self, texts: list[str], first: int, max_tokens: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Returns ids that begin with `first`, and their mask, both (texts, L), on the model's device."""
        ids, mask = (part.to(self.model.device) for part in self.model.tokenizer(texts, max_tokens))
        ids[:, 0] = first
        return ids, mask
