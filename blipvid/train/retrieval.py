"""Retrieval: contrastive (ITC) and matching (ITM) losses on pictures with captions."""

import torch
from torch import nn
from torch.nn.functional import normalize

from blipvid.models.med import MedEncoder, Memory
from blipvid.models.retriever import BlipRetriever
from blipvid.train.batches import CAPTIONED, CaptionBatch
from blipvid.train.losses import contrastive_loss, draw_hard_negatives, matching_loss, matching_targets
from blipvid.train.objective import Objective
from blipvid.train.recipe import RetrievalLosses

TEMPERATURE_BOUNDS = (0.001, 0.5)  # Source: salesforce/BLIP models/blip_retrieval.py

READ_TOGETHER = 64
"""Texts that the text tower reads at once; bounds the padding between short and long captions."""


class RetrievalObjective(Objective[BlipRetriever, CaptionBatch, RetrievalLosses]):
    """ITC and ITM, the negatives of ITM drawn by the similarity of ITC.

    Args:
        model: The retriever to train.
        settings: The objective part of the recipe.
    """

    trains = BlipRetriever
    takes = CAPTIONED
    text_towers = ("text_encoder",)

    def __init__(self, model: BlipRetriever, settings: RetrievalLosses) -> None:
        super().__init__(model, settings)
        self.temperature = nn.Parameter(torch.tensor(settings.temperature))

    def forward(self, batch: CaptionBatch, progress: float) -> dict[str, torch.Tensor]:
        """Computes the losses of one step.

        Args:
            batch: B pictures and captions.
            progress: Share of the training that is done, in [0, 1].

        Returns:
            Scalars `itc` and `itm`; training minimises their sum.

        Source: salesforce/BLIP models/blip_retrieval.py, without momentum copies and queue.
        """
        model = self.model
        with torch.no_grad():
            self.temperature.clamp_(*TEMPERATURE_BOUNDS)
        pictures = model.encode_images(batch.pixels.to(model.device).float() / 255.0)
        texts, mask = (part.to(model.device) for part in model.tokenizer(batch.captions, self.settings.max_tokens))
        read = model.text_proj(read_firsts(model.text_encoder, texts, mask))
        similarity = normalize(pictures.embeds.float(), dim=-1) @ normalize(read.float(), dim=-1).T / self.temperature
        ids = batch.ids.to(model.device)
        targets = matching_targets(ids)
        itc = contrastive_loss(similarity, similarity.T, targets, targets)

        wrong = draw_hard_negatives(similarity, ids)
        grounded = texts.clone()
        grounded[:, 0] = model.tokenizer.enc
        place = torch.arange(len(texts), device=model.device)
        # Pairs in the official order: matching, text with a wrong picture, picture with a wrong text.
        which_text = torch.cat([place, place, wrong.texts])
        which_picture = torch.cat([place, wrong.images, place])
        memory = model.text_encoder.remember(pictures.tokens, keep=True)
        states = read_firsts(model.text_encoder, grounded[which_text], mask[which_text], memory, which_picture)
        itm = matching_loss(model.itm_head(states).float(), len(texts))
        return {"itc": itc, "itm": itm}


def read_firsts(
    tower: MedEncoder,
    ids: torch.Tensor,
    mask: torch.Tensor,
    memory: Memory | None = None,
    which: torch.Tensor | None = None,
) -> torch.Tensor:
    """Reads texts, alone or each with a picture of the batch, and returns the state of each one's first token.

    The same numbers as the tower's own forward pass, with less work: texts of like length are read together, so that
    little padding is computed; keys and values are made once a picture; in the last layer only first tokens ask.

    Args:
        tower: The text tower.
        ids: (P, L) int64, right-padded.
        mask: (P, L), 1 for tokens.
        memory: Of the B pictures of the batch; None reads the texts alone.
        which: (P,) int64, the picture that goes with each text.

    Returns:
        (P, D) states in the order of the texts.
    """
    lengths, order = mask.sum(1).sort()
    layers = tower.layers
    states: list[torch.Tensor] = []
    for some in order.split(READ_TOGETHER):
        longest = int(lengths[len(states) * READ_TOGETHER + len(some) - 1])
        allowed = mask[some, None, None, :longest].bool()
        x = tower.embeddings(ids[some, :longest], torch.arange(longest, device=ids.device))
        for number, layer in enumerate(layers):
            own = layer.attention.keys_values(x)
            if layer is layers[-1]:
                x = x[:, :1]
            x = layer.attention(x, own, allowed)
            if memory is not None and which is not None:
                keys, values = memory.layer(number)
                x = layer.crossattention(x, (keys[which[some]], values[which[some]]))
            x = layer.feed_forward(x)
        states.append(x[:, 0])
    return torch.cat(states)[order.argsort()]
