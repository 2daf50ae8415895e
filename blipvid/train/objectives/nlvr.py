"""NLVR2: the cross entropy of whether a sentence is true of two pictures."""

import torch
from torch.nn.functional import cross_entropy

from blipvid.models.pair_judge import BlipPairJudge
from blipvid.train.objectives.objective import Objective
from blipvid.train.pictures.batches import PAIRED, PairBatch
from blipvid.train.recipe import NlvrLosses


class NlvrObjective(Objective[BlipPairJudge, PairBatch, NlvrLosses]):
    """Cross entropy of true and false.

    Args:
        model: The judge to train.
        settings: The objective part of the recipe.
    """

    trains = BlipPairJudge
    takes = PAIRED

    def forward(self, batch: PairBatch, epochs: float) -> dict[str, torch.Tensor]:
        """Computes the loss of one step.

        Args:
            batch: 2B pictures, B sentences.
            epochs: Not needed.

        Returns:
            Scalar `nlvr`, a mean over the sentences.

        Source: salesforce/BLIP models/blip_nlvr.py.
        """
        model = self.model
        first, second = model.encode_images(batch.pixels.to(model.device).float() / 255.0).tokens.chunk(2)
        logits = model.judge_pairs(first, second, batch.sentences, self.max_tokens)
        return {"nlvr": cross_entropy(logits, batch.labels.to(model.device))}
