"""VisDial: the matching loss (ITM) of dialogs about pictures, of which the last answer is right or wrong."""

import torch
from torch.nn.functional import cross_entropy

from blipvid.models.dialog_ranker import BlipDialogRanker
from blipvid.train.objectives.objective import Objective
from blipvid.train.pictures.batches import IN_DIALOG, DialogBatch
from blipvid.train.recipe import VisdialLosses


class VisdialObjective(Objective[BlipDialogRanker, DialogBatch, VisdialLosses]):
    """Cross entropy of right and wrong; each picture and caption is remembered once, for all of its dialogs.

    Args:
        model: The ranker to train.
        settings: The objective part of the recipe.
    """

    trains = BlipDialogRanker
    takes = IN_DIALOG

    def forward(self, batch: DialogBatch, epochs: float) -> dict[str, torch.Tensor]:
        """Computes the loss of one step.

        Args:
            batch: B pictures and captions, and their dialogs.
            epochs: Not needed.

        Returns:
            Scalar `itm`, a mean over the dialogs.

        Source: Li et al. 2022, section 5.5; what is on record stands in `models/dialog_ranker.py`.
        """
        model = self.model
        tokens = model.encode_images(batch.pixels.to(model.device).float() / 255.0).tokens
        logits = model.judge(model.remember(tokens, batch.captions), batch.dialogs, self.max_tokens)
        return {"itm": cross_entropy(logits, batch.labels.to(model.device))}
