"""Losses as pure functions of similarities and logits; no model and no state in here.

Shape legend: B pictures and as many texts of a batch, C candidates (here C = B), L text length, W words.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch.nn.functional import cross_entropy

from blipvid.core.errors import DataError
from blipvid.models.answerer import LABEL_SMOOTHING

IGNORED = -100
"""Label of a token that is not learnt."""


def matching_targets(ids: torch.Tensor, candidates: torch.Tensor) -> torch.Tensor:
    """Says which candidates belong to which members of a batch.

    Args:
        ids: (B,) int64; equal ids are the same picture, or say the same.
        candidates: (C,) int64, every own id among them.

    Returns:
        (B, C) float32, each row a distribution over the matching candidates.

    Source: salesforce/BLIP models/blip_retrieval.py.
    """
    same = (ids[:, None] == candidates[None, :]).float()
    return same / same.sum(1, keepdim=True)


def contrastive_loss(
    image_to_text: torch.Tensor, text_to_image: torch.Tensor, i2t_targets: torch.Tensor, t2i_targets: torch.Tensor
) -> torch.Tensor:
    """Image-text contrastive loss (ITC): the mean of the soft cross entropies of both directions.

    Args:
        image_to_text: (B, C) similarities divided by the temperature.
        text_to_image: (B, C) likewise.
        i2t_targets: (B, C), rows sum to 1.
        t2i_targets: (B, C), rows sum to 1.

    Returns:
        Scalar.

    Source: Li et al. 2021 (ALBEF), section 3.2; salesforce/BLIP models/blip_retrieval.py.
    """
    return (cross_entropy(image_to_text, i2t_targets) + cross_entropy(text_to_image, t2i_targets)) / 2


@dataclass(frozen=True, slots=True)
class Negatives:
    """For each text the place of a picture, and for each picture the place of a text, that do not match: (B,) int64."""

    images: torch.Tensor
    texts: torch.Tensor


def negative_weights(similarity: torch.Tensor, same: torch.Tensor, floor: float = 0.0) -> torch.Tensor:
    """Says how likely each candidate is to be drawn as a negative, up to a factor for each row.

    Args:
        similarity: (B, C), divided by the temperature.
        same: (B, C) bool; pairs that are never negatives.
        floor: Weight that every candidate has besides its share of the softmax.

    Returns:
        (B, C) float32, without gradient.

    Raises:
        DataError: Some row has no negative at all: the batch holds one single id.

    Source: salesforce/BLIP models/blip_retrieval.py (no floor), models/blip_pretrain.py (1e-4).
    """
    if bool(same.all(1).any()):
        raise DataError(
            "all captions of one step belong to the same picture, so nothing is a wrong pair; raise "
            "'pictures.batch_size' of the recipe."
        )
    scores = similarity.detach().float().nan_to_num()  # the loss itself says that something is not a number
    if floor == 0:
        # Masked before the softmax, which only rescales each row: rows that see nothing but themselves stay finite.
        return scores.masked_fill(same, -torch.inf).softmax(1)
    return (scores.softmax(1) + floor).masked_fill(same, 0.0)


def draw_negatives(for_texts: torch.Tensor, for_images: torch.Tensor) -> Negatives:
    """Draws one wrong picture for each text and one wrong text for each picture.

    Args:
        for_texts: (B, C) weights of pictures, from `negative_weights`.
        for_images: (B, C) weights of texts.

    Returns:
        Places among the candidates, drawn from torch's global generator: all pictures first, then all texts.
    """
    return Negatives(torch.multinomial(for_texts, 1)[:, 0], torch.multinomial(for_images, 1)[:, 0])


def matching_loss(logits: torch.Tensor, n_matching: int) -> torch.Tensor:
    """Image-text matching loss (ITM): cross entropy of "they match" for the first pairs, "they do not" for the rest.

    Args:
        logits: (P, 2), index 1 says that the pair matches.
        n_matching: How many pairs at the front match.

    Returns:
        Scalar.

    Source: Li et al. 2021 (ALBEF), section 3.2.
    """
    labels = torch.zeros(len(logits), dtype=torch.int64, device=logits.device)
    labels[:n_matching] = 1
    return cross_entropy(logits, labels)


def lm_labels(ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Returns ids (B, L) int64 with IGNORED wherever `mask` is 0."""
    return ids.masked_fill(mask == 0, IGNORED)


def lm_loss(logits: torch.Tensor, labels: torch.Tensor, reduction: Literal["mean", "none"] = "mean") -> torch.Tensor:
    """Language model loss (LM): label-smoothed cross entropy of each token, given those before it.

    Args:
        logits: (B, L, W), at each token the scores of the one that follows.
        labels: (B, L) int64, from `lm_labels`; the first one of each text is never learnt.
        reduction: `mean` over all tokens learnt, a scalar; `none`: (B,) sums over the tokens of each text.

    Source: salesforce/BLIP models/med.py, `BertLMHeadModel.forward`.
    """
    learnt = labels[:, 1:]
    each = cross_entropy(
        logits[:, :-1].transpose(1, 2), learnt, ignore_index=IGNORED, reduction="none", label_smoothing=LABEL_SMOOTHING
    )
    return each.sum(1) if reduction == "none" else each.sum() / (learnt != IGNORED).sum()
