"""The multimodal mixture of encoder-decoder (MED): one BERT that reads text alone or text together with a picture.

Shape legend: B batch, Q texts, L text length, D text width, V memory length (all tokens of a clip), H heads,
P packed length (the tokens of many texts, one after the other, without padding).

Parameter names are the official ones. The text tower is ours, not transformers', because cross-attention keys and
values must be shared between texts (`VisualMemory`) and because its internals have changed under BLIP many times.
Decoding is a third use of the same layers: a causal mask beside the padding mask, and an LM head above.

Source: salesforce/BLIP models/med.py; Li et al. 2022, section 3.1.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

import torch
from torch import nn
from torch.nn.functional import gelu, scaled_dot_product_attention

from blipvid.models.spec import TextSize

LAYER_NORM_EPS = 1e-12  # Source: BERT, salesforce/BLIP configs/med_config.json
DROPOUT = 0.1  # same source; on hidden states and attention weights
INIT_STD = 0.02  # same source, `initializer_range`

KeysValues = tuple[torch.Tensor, torch.Tensor]

PACKED_TOKENS = 8192
"""Tokens of texts that go through one layer at once; bounds memory, changes nothing else."""


class Projections(nn.Module):
    """Query, key and value projections, split into heads."""

    def __init__(self, width: int, heads: int, memory_width: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(memory_width, width)
        self.value = nn.Linear(memory_width, width)

    def split(self, states: torch.Tensor) -> torch.Tensor:
        """(B, L, D) -> (B, H, L, D/H)."""
        return states.unflatten(-1, (self.heads, -1)).transpose(-2, -3)


class ResidualNorm(nn.Module):
    """Dense, dropout, LayerNorm of the sum with the residual: how each sub-layer of a post-norm BERT ends."""

    def __init__(self, inner: int, width: int) -> None:
        super().__init__()
        self.dense = nn.Linear(inner, width)
        self.LayerNorm = nn.LayerNorm(width, eps=LAYER_NORM_EPS)
        self.dropout = nn.Dropout(DROPOUT)

    def forward(self, states: torch.Tensor, residual: torch.Tensor) -> torch.Tensor:
        """Returns the normalised sum, of the residual's shape."""
        return self.LayerNorm(self.dropout(self.dense(states)) + residual)


class Attention(nn.Module):
    """One attention sub-layer; attends to itself or to a memory, whoever's keys and values it is given."""

    def __init__(self, width: int, heads: int, memory_width: int | None = None) -> None:
        super().__init__()
        self.self = Projections(width, heads, memory_width or width)
        self.output = ResidualNorm(width, width)

    def keys_values(self, states: torch.Tensor) -> KeysValues:
        """Returns keys and values, each (B, H, V, D/H), of states (B, V, memory width)."""
        return self.self.split(self.self.key(states)), self.self.split(self.self.value(states))

    def context(self, x: torch.Tensor, keys_values: KeysValues, mask: torch.Tensor | None = None) -> torch.Tensor:
        """Returns what x (B, L, D) gathers from the keys and values: (B, L, D), before the output projection."""
        keys, values = keys_values
        gathered = scaled_dot_product_attention(
            self.self.split(self.self.query(x)), keys, values, mask, DROPOUT if self.training else 0.0
        )
        return gathered.transpose(-2, -3).flatten(-2)

    def forward(self, x: torch.Tensor, keys_values: KeysValues, mask: torch.Tensor | None = None) -> torch.Tensor:
        """Returns (B, L, D); mask is bool, True where attention is allowed, broadcastable to (B, H, L, V)."""
        return self.output(self.context(x, keys_values, mask), x)


class Intermediate(nn.Module):
    """First half of the feed-forward part, with exact (erf) GELU."""

    def __init__(self, width: int, mlp: int) -> None:
        super().__init__()
        self.dense = nn.Linear(width, mlp)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(..., D) -> (..., mlp)."""
        return gelu(self.dense(x))


class MedLayer(nn.Module):
    """Self-attention, cross-attention where there is a memory, feed-forward."""

    def __init__(self, size: TextSize, memory_width: int) -> None:
        super().__init__()
        self.attention = Attention(size.width, size.heads)
        self.crossattention = Attention(size.width, size.heads, memory_width)
        self.intermediate = Intermediate(size.width, size.mlp)
        self.output = ResidualNorm(size.mlp, size.width)

    def feed_forward(self, x: torch.Tensor) -> torch.Tensor:
        """(..., D) -> (..., D)."""
        return self.output(self.intermediate(x), x)


class Embeddings(nn.Module):
    """Word plus position, LayerNorm, dropout. There are no token types."""

    def __init__(self, size: TextSize, vocab_size: int) -> None:
        super().__init__()
        self.word_embeddings = nn.Embedding(vocab_size, size.width)
        self.position_embeddings = nn.Embedding(size.max_positions, size.width)
        self.LayerNorm = nn.LayerNorm(size.width, eps=LAYER_NORM_EPS)
        self.dropout = nn.Dropout(DROPOUT)

    def forward(self, ids: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        """Returns states (..., D) of ids and positions, int64, of shapes that broadcast to (...)."""
        return self.dropout(self.LayerNorm(self.word_embeddings(ids) + self.position_embeddings(positions)))


class Layers(nn.Module):
    """The stack of layers, under the official name `encoder.layer`."""

    def __init__(self, size: TextSize, memory_width: int) -> None:
        super().__init__()
        self.layer = nn.ModuleList(MedLayer(size, memory_width) for _ in range(size.depth))


class VisualMemory:
    """The cross-attention keys and values of pictures or of one clip, made from its tokens and shared by all readers.

    They are made layer by layer when a reader arrives there, so that only one layer's are alive at a time; with
    `keep` they stay for the next reader (8 frames at 384 px in fp32: 28 MB a layer, 340 MB for all twelve).

    Args:
        tower: The text tower whose key and value projections are used.
        tokens: (B, V, memory width) float. B is 1 for a clip met by many texts.
        keep: Whether to hold on to the keys and values of every layer.
    """

    def __init__(self, tower: "MedEncoder", tokens: torch.Tensor, keep: bool = False) -> None:
        self.tokens = tokens
        self._tower = tower
        self._kept: dict[int, KeysValues] | None = {} if keep else None

    def layer(self, number: int) -> KeysValues:
        """Returns the keys and values of one layer, each (B, H, V, D/H)."""
        if self._kept is not None and number in self._kept:
            return self._kept[number]
        made = self._tower.layers[number].crossattention.keys_values(self.tokens)
        if self._kept is not None:
            self._kept[number] = made
        return made


@dataclass(frozen=True, slots=True)
class PackedTexts:
    """Texts one after the other without padding, sorted by length so that equal lengths lie together.

    Attributes:
        ids: (P,) int64.
        positions: (P,) int64, the place of each token in its text.
        runs: For each distinct length, (length, how many texts).
        firsts: (Q,) int64, where each text begins, in sorted order.
        order: (Q,) int64, the original place of each sorted text.
    """

    ids: torch.Tensor
    positions: torch.Tensor
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
        runs=tuple(zip(distinct.tolist(), counts.tolist(), strict=True)),
        firsts=torch.cumsum(ordered, 0) - ordered,
        order=order,
    )


class MedEncoder(nn.Module):
    """The text tower as an encoder: of text alone, or of text grounded in a picture.

    Args:
        size: Sizes of the tower.
        vocab_size: Rows of the word embedding.
        memory_width: Width of the tokens that cross-attention reads.
    """

    def __init__(self, size: TextSize, vocab_size: int, memory_width: int) -> None:
        super().__init__()
        self.embeddings = Embeddings(size, vocab_size)
        self.encoder = Layers(size, memory_width)
        self.apply(_initialise)

    @property
    def layers(self) -> list[MedLayer]:
        """The layers, first to last."""
        return cast(list[MedLayer], list(self.encoder.layer))

    def remember(self, tokens: torch.Tensor, keep: bool = False) -> VisualMemory:
        """Makes the memory of pictures or of a clip from their tokens (B, V, memory width)."""
        return VisualMemory(self, tokens, keep)

    def forward(self, ids: torch.Tensor, mask: torch.Tensor, memory: VisualMemory | None = None) -> torch.Tensor:
        """Reads a padded batch; the way of training, and of whoever needs all states.

        Args:
            ids: (B, L) int64, right-padded.
            mask: (B, L), 1 or True for tokens.
            memory: What cross-attention reads, of B pictures or of one; None reads the text alone.

        Returns:
            (B, L, D) states. Those of padding positions mean nothing.
        """
        allowed = mask.bool()[:, None, None, :]
        x = self.embeddings(ids, torch.arange(ids.shape[1], device=ids.device))
        for number, layer in enumerate(self.layers):
            x = layer.attention(x, layer.attention.keys_values(x), allowed)
            if memory is not None:
                x = layer.crossattention(x, memory.layer(number))
            x = layer.feed_forward(x)
        return x

    def first_states(self, ids: torch.Tensor, mask: torch.Tensor, memory: VisualMemory | None = None) -> torch.Tensor:
        """Reads many texts and returns the state of each one's first token, which is all that scoring needs.

        The same numbers as `forward(...)[:, 0]` up to rounding, with less work: no padding is computed; all texts are
        one long query to the memory of one clip, whose keys and values are never repeated; in the last layer only the
        first tokens ask.

        Args:
            ids: (Q, L) int64, right-padded.
            mask: (Q, L), 1 or True for tokens; at least one each.
            memory: The memory of *one* clip (B = 1), or None to read the texts alone.

        Returns:
            (Q, D) states in the order of the texts.
        """
        pieces = [pack(*piece) for piece in _pieces(ids, mask.sum(1))]
        states = [self.embeddings(piece.ids, piece.positions) for piece in pieces]
        last = len(self.layers) - 1
        for number, layer in enumerate(self.layers):
            keys_values = memory.layer(number) if memory is not None else None
            for i, piece in enumerate(pieces):
                x = _attend_in_runs(layer.attention, states[i], piece, firsts_only=number == last)
                if keys_values is not None:
                    x = layer.crossattention(x[None], keys_values)[0]
                states[i] = layer.feed_forward(x)
        found = [torch.empty_like(x).index_copy_(0, p.order, x) for p, x in zip(pieces, states, strict=True)]
        return torch.cat(found)


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


def _initialise(module: nn.Module) -> None:
    """BERT's initialisation. Source: salesforce/BLIP models/med.py `_init_weights`; the pad row is not zeroed."""
    if isinstance(module, nn.Linear | nn.Embedding):
        nn.init.normal_(module.weight, std=INIT_STD)
    if isinstance(module, nn.Linear):
        nn.init.zeros_(module.bias)
