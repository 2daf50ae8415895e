"""Contrastive learning with a memory: towers that follow slowly, and a queue of what they saw (MoCo, ALBEF).

Only training has these; a trained model is a plain model. Names of parameters and buffers are the official ones, so
that those in a released checkpoint can be taken over.

Shape legend: B pictures and as many texts of a batch, E width of the common embedding, Q places in the queue.
"""

from collections.abc import Iterator
from copy import deepcopy

import torch
from torch import nn
from torch.nn.functional import normalize
from torch.optim.swa_utils import get_ema_multi_avg_fn

from blipvid.models.retriever import BlipRetriever
from blipvid.train.objectives.gather import gather_all

NOBODY = -100
"""Id of a place in the queue that was never filled. Source: salesforce/BLIP models/blip_retrieval.py."""


class MomentumTowers(nn.Module):
    """Copies of the embedding half of a retriever whose weights are moving averages of the learnt ones.

    Args:
        model: The retriever that is trained.
        momentum: Share of a weight that stays at each step.

    Source: He et al. 2020 (MoCo), section 3.2; salesforce/BLIP models/blip_pretrain.py.
    """

    def __init__(self, model: BlipRetriever, momentum: float) -> None:
        super().__init__()
        self.visual_encoder_m = deepcopy(model.visual_encoder)
        self.vision_proj_m = deepcopy(model.vision_proj)
        self.text_encoder_m = deepcopy(model.text_encoder)
        self.text_proj_m = deepcopy(model.text_proj)
        self.requires_grad_(requires_grad=False)
        self._average = get_ema_multi_avg_fn(momentum)

    @torch.no_grad()
    def follow(self, model: BlipRetriever) -> None:
        """Moves each weight a little towards that of the model."""
        learnt = [parameter for name in self._copied() for parameter in model.get_submodule(name).parameters()]
        self._average(list(self.parameters()), learnt, 0)

    def _copied(self) -> Iterator[str]:
        return (name.removesuffix("_m") for name, _ in self.named_children())

    @torch.no_grad()
    def embed(self, images: torch.Tensor, ids: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Embeds normalised pictures (B, 3, S, S) and texts (B, L): each (B, E), L2-normalised."""
        of_images = self.vision_proj_m(self.visual_encoder_m(images)[:, 0])
        of_texts = self.text_proj_m(self.text_encoder_m(ids, mask)[:, 0])
        return normalize(of_images.float(), dim=-1), normalize(of_texts.float(), dim=-1)


class FeatureQueue(nn.Module):
    """The embeddings that the momentum towers made last, of all processes.

    Args:
        width: Width of the embeddings (E).
        size: Places (Q), a multiple of the pictures of one step over all processes.
    """

    image_queue: torch.Tensor
    text_queue: torch.Tensor
    idx_queue: torch.Tensor
    ptr_queue: torch.Tensor

    def __init__(self, width: int, size: int) -> None:
        super().__init__()
        self.register_buffer("image_queue", normalize(torch.randn(width, size), dim=0))
        self.register_buffer("text_queue", normalize(torch.randn(width, size), dim=0))
        self.register_buffer("idx_queue", torch.full((1, size), NOBODY))
        self.register_buffer("ptr_queue", torch.zeros(1, dtype=torch.long))

    @torch.no_grad()
    def push(self, images: torch.Tensor, texts: torch.Tensor, ids: torch.Tensor) -> None:
        """Puts embeddings (B, E) and ids (B,) of all processes, which divide Q, in the place of the oldest."""
        images, texts, ids = gather_all(images), gather_all(texts), gather_all(ids)
        begin, size = int(self.ptr_queue), self.idx_queue.shape[1]
        places = slice(begin, begin + len(ids))
        self.image_queue[:, places] = images.T.to(self.image_queue.dtype)
        self.text_queue[:, places] = texts.T.to(self.text_queue.dtype)
        self.idx_queue[0, places] = ids
        self.ptr_queue[0] = (begin + len(ids)) % size
