"""Retrieval: contrastive (ITC) and matching (ITM) losses on pictures with captions, some of which share a picture."""

import torch
from torch.nn.functional import normalize

from blipvid.models.retriever import BlipRetriever
from blipvid.train.objectives.contrast import ContrastiveObjective, exactly
from blipvid.train.objectives.gather import gather_all, gather_learning, rank, world_size
from blipvid.train.objectives.losses import draw_negatives, negative_weights
from blipvid.train.objectives.matching import match_pairs, read_firsts
from blipvid.train.pictures.batches import CaptionBatch
from blipvid.train.recipe import RetrievalLosses


class RetrievalObjective(ContrastiveObjective[BlipRetriever, RetrievalLosses]):
    """ITC and ITM, the negatives of ITM drawn by the similarity of ITC.

    Args:
        model: The retriever to train.
        settings: The objective part of the recipe.
    """

    trains = BlipRetriever

    def forward(self, batch: CaptionBatch, epochs: float) -> dict[str, torch.Tensor]:
        """Computes the losses of one step.

        Args:
            batch: B pictures and captions.
            epochs: Epochs done so far, fractions included.

        Returns:
            Scalars `itc` and `itm`; training minimises their sum.

        Source: salesforce/BLIP models/blip_retrieval.py.
        """
        model = self.model
        together = self.settings.negatives_of_all and world_size() > 1
        padded_to = self.max_tokens if together else None  # texts of all processes must be of one length
        tokenised = model.tokenizer(batch.captions, self.max_tokens, padded_to)
        texts, mask = (part.to(model.device) for part in tokenised)
        pixels, ids = batch.pixels.to(model.device).float() / 255.0, batch.ids.to(model.device)
        features = model.encode_images(pixels)
        of_images = normalize(features.embeds.float(), dim=-1)
        of_texts = normalize(model.text_proj(read_firsts(model.text_encoder, texts, mask)).float(), dim=-1)
        compared = self.contrast(pixels, (texts, mask), (of_images, of_texts), ids, epochs)

        images_of_all, texts_of_all, ids_of_all, tokens, own = of_images, of_texts, ids, features.tokens, 0
        if together:
            images_of_all, texts_of_all, ids_of_all = gather_all(of_images), gather_all(of_texts), gather_all(ids)
            texts, mask, tokens = gather_all(texts), gather_all(mask), gather_learning(tokens)
            own = rank() * len(ids)
        same, temperature = ids[:, None] == ids_of_all[None], self.contrast.temperature
        with exactly(model.device):
            drawn = draw_negatives(
                for_texts=negative_weights(of_texts @ images_of_all.T / temperature, same),
                for_images=negative_weights(of_images @ texts_of_all.T / temperature, same),
            )
        places = torch.arange(own, own + len(ids), device=model.device)
        occur, where = torch.cat([places, drawn.images]).unique(return_inverse=True)
        memory = model.text_encoder.remember(tokens[occur], keep=True)
        pictures = where[: len(ids)], where[len(ids) :]
        return {"itc": compared.itc, "itm": match_pairs(model, memory, (texts, mask), pictures, (places, drawn.texts))}
