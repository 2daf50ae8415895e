"""The matching part (ITM) that pre-training and retrieval fine-tuning have in common.

Shape legend: B pictures and as many texts of a batch, P texts or pairs, L text length, D text width.
"""

import torch

from blipvid.models.med import MedEncoder, Memory
from blipvid.models.retriever import BlipRetriever
from blipvid.train.objectives.losses import matching_loss

READ_TOGETHER = 64
"""Texts that the text tower reads at once; bounds the padding between short and long captions."""


def match_pairs(
    model: BlipRetriever,
    memory: Memory,
    texts: tuple[torch.Tensor, torch.Tensor],
    pictures: tuple[torch.Tensor, torch.Tensor],
    sayings: tuple[torch.Tensor, torch.Tensor],
) -> torch.Tensor:
    """Tells matching from wrong pairs, all in one pass, in which each picture's keys and values are made once.

    Args:
        model: The retriever that is trained.
        memory: Of all pictures that occur.
        texts: Ids and mask of all texts that occur, with [CLS] first.
        pictures: Places in the memory, each (B,) int64: the own pictures, and a wrong one for each own text.
        sayings: Places among the texts likewise: the own texts, and a wrong one for each own picture.

    Returns:
        The loss, a scalar.

    Source of the order of pairs: salesforce/BLIP models/blip_pretrain.py.
    """
    ids, mask = texts
    grounded = ids.clone()
    grounded[:, 0] = model.tokenizer.enc
    which_picture = torch.cat([pictures[0], pictures[1], pictures[0]])
    which_text = torch.cat([sayings[0], sayings[0], sayings[1]])
    states = read_firsts(model.text_encoder, grounded[which_text], mask[which_text], memory, which_picture)
    return matching_loss(model.itm_head(states).float(), len(pictures[0]))


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
