"""Reading many texts together without computing any padding, each alone or all with one clip.

The same numbers as `MedEncoder.forward` up to rounding, with less work: texts lie one after the other, sorted by
length, and equal lengths attend to themselves as one batch without a mask; all texts are one long query to the memory
of the clip; where only the first tokens are wanted, only they ask in the last layer. Not for training, which reads each
text with a picture of its own.

Shape legend: Q texts, L text length, D text width, P packed length (the tokens of many texts, one after the other).
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch.nn.functional import scaled_dot_product_attention

from blipvid.models.med import Attention, MedEncoder, Memory

PACKED_TOKENS = 8192
"""Tokens of texts that go through one layer at once; bounds memory, changes nothing else."""


def first_states(
    tower: MedEncoder, ids: torch.Tensor, mask: torch.Tensor, memory: Memory | None = None
) -> torch.Tensor:
    """Reads texts and returns the state of each one's first token, which is all that scoring needs.

    Args:
        tower: The text tower.
        ids: (Q, L) int64, right-padded.
        mask: (Q, L), 1 or True for tokens; at least one each.
        memory: The memory of *one* clip (M = 1), or None to read the texts alone.

    Returns:
        (Q, D) states in the order of the texts.
    """
    pieces = [pack(*piece) for piece in _pieces(ids, mask.sum(1))]
    states = _read(tower, pieces, memory, firsts_only=True)
    return torch.cat([torch.empty_like(x).index_copy_(0, p.order, x) for p, x in zip(pieces, states, strict=True)])


def all_states(tower: MedEncoder, ids: torch.Tensor, mask: torch.Tensor, memory: Memory | None = None) -> torch.Tensor:
    """Reads texts and returns the states of all their tokens; arguments as those of `first_states`.

    Returns:
        (Q, L, D) states in the order of the texts, zeros at padding positions.
    """
    pieces = [pack(*piece) for piece in _pieces(ids, mask.sum(1))]
    states = _read(tower, pieces, memory, firsts_only=False)
    whole = [x.new_zeros(len(p.order), ids.shape[1], x.shape[-1]) for p, x in zip(pieces, states, strict=True)]
    for into, piece, x in zip(whole, pieces, states, strict=True):
        into[piece.texts, piece.positions] = x
    return torch.cat(whole)


@dataclass(frozen=True, slots=True)
class PackedTexts:
    """Texts one after the other without padding, sorted by length so that equal lengths lie together.

    Attributes:
        ids: (P,) int64.
        positions: (P,) int64, the place of each token in its text.
        texts: (P,) int64, the original place of the text of each token.
        runs: For each distinct length, (length, how many texts).
        firsts: (Q,) int64, where each text begins, in sorted order.
        order: (Q,) int64, the original place of each sorted text.
    """

    ids: torch.Tensor
    positions: torch.Tensor
    texts: torch.Tensor
    runs: tuple[tuple[int, int], ...]
    firsts: torch.Tensor
    order: torch.Tensor


def pack(ids: torch.Tensor, lengths: torch.Tensor) -> PackedTexts:
    """Packs right-padded ids (Q, L) of the given lengths (Q,)."""
    ordered, order = torch.sort(lengths, stable=True)
    distinct, counts = torch.unique_consecutive(ordered, return_counts=True)
    steps = torch.arange(ids.shape[1], device=ids.device)
    inside = steps < ordered[:, None]
    return PackedTexts(
        ids=ids[order][inside],
        positions=steps.expand(len(order), -1)[inside],
        texts=order.repeat_interleave(ordered),
        runs=tuple(zip(distinct.tolist(), counts.tolist(), strict=True)),
        firsts=torch.cumsum(ordered, 0) - ordered,
        order=order,
    )


def _read(
    tower: MedEncoder, pieces: list[PackedTexts], memory: Memory | None, *, firsts_only: bool
) -> list[torch.Tensor]:
    """Sends all pieces through the layers together, so that each layer's memory is made once.

    Returns:
        For each piece (P, D) states, or (Q, D) of the first tokens, in sorted order.
    """
    states = [tower.embeddings(piece.ids, piece.positions) for piece in pieces]
    last = len(tower.layers) - 1
    for number, layer in enumerate(tower.layers):
        keys_values = memory.layer(number) if memory is not None else None
        for i, piece in enumerate(pieces):
            x = _attend_in_runs(layer.attention, states[i], piece, firsts_only=firsts_only and number == last)
            if keys_values is not None:
                x = layer.crossattention(x[None], keys_values)[0]
            states[i] = layer.feed_forward(x)
    return states


def _attend_in_runs(attention: Attention, x: torch.Tensor, texts: PackedTexts, firsts_only: bool) -> torch.Tensor:
    """Self-attention of packed states (P, D), each run of equally long texts as one batch, so that no mask is needed.

    Returns:
        (P, D) states, or (Q, D) of the first tokens only.
    """
    askers = x[texts.firsts] if firsts_only else x
    query, key, value = attention.self.query(askers), attention.self.key(x), attention.self.value(x)
    gathered, start, asked = [], 0, 0
    for length, count in texts.runs:
        stop, heard = start + length * count, asked + (count if firsts_only else length * count)
        q, k, v = (
            attention.self.split(part.unflatten(0, (count, -1)))
            for part in (query[asked:heard], key[start:stop], value[start:stop])
        )
        gathered.append(scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2).flatten(0, 1))
        start, asked = stop, heard
    return attention.output(torch.cat(gathered), askers)


def _pieces(ids: torch.Tensor, lengths: torch.Tensor) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Cuts texts into pieces of at most about PACKED_TOKENS tokens each."""
    filled = torch.cumsum(lengths, 0)
    number = torch.div(filled - 1, PACKED_TOKENS, rounding_mode="floor")
    sizes = torch.unique_consecutive(number, return_counts=True)[1].tolist()
    yield from zip(ids.split(sizes), lengths.split(sizes), strict=True)
