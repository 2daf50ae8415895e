"""The contrastive part (ITC) that pre-training and retrieval fine-tuning have in common.

Shape legend: B pictures and as many texts of a batch, C candidates (own batch, then queue), E embedding width.
"""

from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import nn

from blipvid.core.errors import ConfigError
from blipvid.models.retriever import BlipRetriever
from blipvid.models.vision import normalise_pixels
from blipvid.train.objectives.losses import contrastive_loss, matching_targets
from blipvid.train.objectives.momentum import NOBODY, FeatureQueue, MomentumTowers
from blipvid.train.objectives.objective import Objective
from blipvid.train.pictures.batches import CAPTIONED, CaptionBatch
from blipvid.train.recipe import ContrastiveLosses

R = TypeVar("R", bound=BlipRetriever)
C = TypeVar("C", bound=ContrastiveLosses)

TEMPERATURE_BOUNDS = (0.001, 0.5)  # Source: salesforce/BLIP models/blip_retrieval.py


@dataclass(frozen=True, slots=True)
class Compared:
    """A batch after its comparison.

    Attributes:
        itc: The loss, a scalar.
        image_to_text: (B, B) similarities of pictures with the batch's texts as the candidates have them, divided by
            the temperature.
        text_to_image: (B, B) likewise.
    """

    itc: torch.Tensor
    image_to_text: torch.Tensor
    text_to_image: torch.Tensor


class Contrast(nn.Module):
    """The learnt temperature, and where the recipe wants them the momentum towers and their queue.

    Args:
        model: The retriever that is trained.
        settings: The objective part of the recipe.

    Source: Li et al. 2021 (ALBEF), sections 3.2 and 3.3; salesforce/BLIP models/blip_pretrain.py, blip_retrieval.py.
    """

    def __init__(self, model: BlipRetriever, settings: ContrastiveLosses) -> None:
        super().__init__()
        self.temperature = nn.Parameter(torch.tensor(settings.temperature))
        self.settings = settings.momentum
        if self.settings is not None:
            self.towers = MomentumTowers(model, self.settings.momentum)
            self.queue = FeatureQueue(model.text_proj.out_features, self.settings.queue)

    def check(self, pictures: int) -> None:
        """Makes sure that the queue holds whole steps of so many pictures.

        Raises:
            ConfigError: It does not.
        """
        if self.settings is not None and self.settings.queue % pictures:
            raise ConfigError(
                f"a queue of {self.settings.queue} places cannot be filled by steps of {pictures} pictures over all "
                "processes; make 'objective.momentum.queue' a multiple of that."
            )

    def before_batch(self, model: BlipRetriever) -> None:
        """Puts the temperature back into its bounds, and lets the momentum towers go one step on.

        Args:
            model: The retriever that is trained.
        """
        with torch.no_grad():
            self.temperature.clamp_(*TEMPERATURE_BOUNDS)
        if self.settings is not None:
            self.towers.follow(model)

    def forward(
        self,
        pixels: torch.Tensor,
        texts: tuple[torch.Tensor, torch.Tensor],
        embeds: tuple[torch.Tensor, torch.Tensor],
        ids: torch.Tensor | None,
        epochs: float,
    ) -> Compared:
        """Compares a batch with its candidates, and lets the queue go one step on.

        Args:
            pixels: (B, 3, S, S) float in [0, 1].
            texts: Ids and mask, each (B, L), with [CLS] first.
            embeds: Of the pictures and of the texts, each (B, E), L2-normalised.
            ids: (B,) int64; equal ids are the same picture. None: each text belongs to its own picture alone.
            epochs: Epochs done so far.
        """
        places = torch.arange(len(pixels), device=pixels.device)
        ids, kept = (places, torch.full_like(places, NOBODY)) if ids is None else (ids, ids)
        if self.settings is None:
            with exactly(pixels.device):
                return _within(*embeds, matching_targets(ids, ids), self.temperature)
        momentum = self.towers.embed(normalise_pixels(pixels), *texts)
        with exactly(pixels.device):
            compared = self._with_memory(embeds, momentum, ids, self.settings.alpha_at(epochs))
        self.queue.push(*momentum, kept)
        return compared

    def _with_memory(
        self,
        own: tuple[torch.Tensor, torch.Tensor],
        momentum: tuple[torch.Tensor, torch.Tensor],
        ids: torch.Tensor,
        alpha: float,
    ) -> Compared:
        """Compares embeddings of pictures and texts, each (B, E), with what the momentum towers made of them before."""
        (images, texts), (images_m, texts_m) = own, momentum
        all_images = torch.cat([images_m, self.queue.image_queue.T])
        all_texts = torch.cat([texts_m, self.queue.text_queue.T])
        hard = matching_targets(ids, torch.cat([ids, self.queue.idx_queue[0]]))
        with torch.no_grad():
            i2t_targets = alpha * (images_m @ all_texts.T / self.temperature).softmax(1) + (1 - alpha) * hard
            t2i_targets = alpha * (texts_m @ all_images.T / self.temperature).softmax(1) + (1 - alpha) * hard
        i2t, t2i = images @ all_texts.T / self.temperature, texts @ all_images.T / self.temperature
        loss = contrastive_loss(i2t, t2i, i2t_targets, t2i_targets)
        return Compared(loss, i2t[:, : len(ids)], t2i[:, : len(ids)])


class ContrastiveObjective(Objective[R, CaptionBatch, C]):
    """What objectives with ITC have in common.

    Args:
        model: The retriever that is trained.
        settings: The objective part of the recipe.
    """

    takes = CAPTIONED

    def __init__(self, model: R, settings: C) -> None:
        super().__init__(model, settings)
        self.contrast = Contrast(model, settings)

    def check(self, pictures: int) -> None:
        """Makes sure that the queue fits; see `Contrast.check`."""
        if self.settings.compares:
            self.contrast.check(pictures)

    def before_batch(self) -> None:
        """Bounds the temperature and moves the momentum towers."""
        if self.settings.compares:
            self.contrast.before_batch(self.model)


def _within(images: torch.Tensor, texts: torch.Tensor, targets: torch.Tensor, temperature: torch.Tensor) -> Compared:
    """Compares embeddings of pictures and texts, each (B, E), with one another."""
    similarity = images @ texts.T / temperature
    return Compared(contrastive_loss(similarity, similarity.T, targets, targets), similarity, similarity.T)


def exactly(device: torch.device) -> torch.autocast:
    """Returns a context without half precision: similarities divided by the temperature are too large for it."""
    return torch.autocast(device.type, enabled=False)
