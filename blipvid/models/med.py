"""The multimodal mixture of encoder-decoder (MED): one BERT that reads text alone or text together with a picture.

Shape legend: B batch, M pictures or clips in a memory, L text length, D text width, V memory length (all tokens of a
clip), H heads.

Parameter names are the official ones. The text tower is ours, not transformers', because cross-attention keys and
values must be shared between texts (`Memory`) and because its internals have changed under BLIP many times.
Decoding is a third use of the same layers, in `decoder.py`; reading many texts without padding is in `packed.py`.

Source: salesforce/BLIP models/med.py; Li et al. 2022, section 3.1.
"""

from collections.abc import Iterable
from typing import Protocol, cast

import torch
from torch import nn
from torch.nn.functional import gelu, scaled_dot_product_attention

from blipvid.models.spec import TextSize

LAYER_NORM_EPS = 1e-12  # Source: BERT, salesforce/BLIP configs/med_config.json
DROPOUT = 0.1  # same source; on hidden states and attention weights
INIT_STD = 0.02  # same source, `initializer_range`

KeysValues = tuple[torch.Tensor, torch.Tensor]


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

    def keys_values(self, states: torch.Tensor) -> KeysValues:
        """Returns keys and values, each (B, H, V, D/H), of states (B, V, memory width)."""
        return self.split(self.key(states)), self.split(self.value(states))

    def context(self, x: torch.Tensor, keys_values: KeysValues, mask: torch.Tensor | None = None) -> torch.Tensor:
        """Returns what x (B, L, D) gathers from the keys and values: (B, L, D)."""
        keys, values = keys_values
        gathered = scaled_dot_product_attention(
            self.split(self.query(x)), keys, values, mask, DROPOUT if self.training else 0.0
        )
        return gathered.transpose(-2, -3).flatten(-2)


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
        """As `Projections.keys_values`."""
        return self.self.keys_values(states)

    def forward(self, x: torch.Tensor, keys_values: KeysValues, mask: torch.Tensor | None = None) -> torch.Tensor:
        """Returns (B, L, D); mask is bool, True where attention is allowed, broadcastable to (B, H, L, V)."""
        return self.output(self.self.context(x, keys_values, mask), x)


class CrossAttention(Protocol):
    """What a layer looks at its memory with: an `Attention`, or one that looks at two pictures apart."""

    def keys_values(self, states: torch.Tensor) -> KeysValues:
        """Returns keys and values of the tokens in a memory."""
        ...

    def __call__(self, x: torch.Tensor, keys_values: KeysValues, mask: torch.Tensor | None = None) -> torch.Tensor:
        """Returns (B, L, D), what x (B, L, D) becomes by looking at them."""
        ...


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

    def __init__(self, size: TextSize, crossattention: CrossAttention) -> None:
        super().__init__()
        self.attention = Attention(size.width, size.heads)
        self.crossattention = crossattention
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

    def __init__(self, layers: Iterable[MedLayer]) -> None:
        super().__init__()
        self.layer = nn.ModuleList(layers)


class Memory:
    """Cross-attention keys and values of what a text is read or written with, shared by all texts that meet it.

    For the encoder it holds the tokens of pictures or of one clip, for the answer decoder the states of questions. Keys
    and values are made layer by layer when a reader arrives there, so that only one layer's are alive at a time; with
    `keep` they stay for the next reader (8 frames at 384 px in fp32: 28 MB a layer, 340 MB for all twelve).

    Args:
        tower: The text tower whose key and value projections are used.
        tokens: (M, V, memory width) float. M is 1 for a clip met by many texts.
        keep: Whether to hold on to the keys and values of every layer.
        mask: (M, V), 1 or True where there is something to look at; None where that is everywhere.

    Attributes:
        tokens: As given.
        allowed: (M, 1, 1, V) bool, or None.
    """

    def __init__(
        self, tower: "MedEncoder", tokens: torch.Tensor, keep: bool = False, mask: torch.Tensor | None = None
    ) -> None:
        self.tokens = tokens
        self.allowed = None if mask is None else mask.bool()[:, None, None, :]
        self._tower = tower
        self._kept: dict[int, KeysValues] | None = {} if keep else None

    def __len__(self) -> int:
        return len(self.tokens)

    def layer(self, number: int) -> KeysValues:
        """Returns the keys and values of one layer, each (M, H, V, D/H)."""
        if self._kept is not None and number in self._kept:
            return self._kept[number]
        made = self._tower.layers[number].crossattention.keys_values(self.tokens)
        if self._kept is not None:
            self._kept[number] = made
        return made


class Cache:
    """Self-attention keys and values of the tokens that texts have so far, for texts that grow token by token.

    Attributes:
        length: Tokens so far.
    """

    def __init__(self) -> None:
        self.length = 0
        self._layers: dict[int, KeysValues] = {}

    def extend(self, number: int, new: KeysValues) -> KeysValues:
        """Adds the keys and values of new tokens (B, H, L, D/H) to a layer; returns all that the layer has."""
        if number in self._layers:
            keys, values = self._layers[number]
            new = torch.cat([keys, new[0]], dim=2), torch.cat([values, new[1]], dim=2)
        self._layers[number] = new
        self.length = new[0].shape[2]
        return new

    def select(self, rows: torch.Tensor) -> None:
        """Keeps the texts at `rows` (int64), in that order; a row may occur several times."""
        self._layers = {number: (keys[rows], values[rows]) for number, (keys, values) in self._layers.items()}


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
        self.encoder = Layers(
            MedLayer(size, self.cross_attention(number, size, memory_width)) for number in range(size.depth)
        )
        self.apply(initialise)

    @staticmethod
    def cross_attention(number: int, size: TextSize, memory_width: int) -> CrossAttention:
        """Makes what layer `number` looks at its memory with; a tower that looks in another way has its own."""
        return Attention(size.width, size.heads, memory_width)

    @property
    def layers(self) -> list[MedLayer]:
        """The layers, first to last."""
        return cast(list[MedLayer], list(self.encoder.layer))

    def remember(self, tokens: torch.Tensor, keep: bool = False, mask: torch.Tensor | None = None) -> Memory:
        """Makes the memory of M things from their tokens (M, V, memory width); see `Memory`."""
        return Memory(self, tokens, keep, mask)

    def forward(self, ids: torch.Tensor, mask: torch.Tensor, memory: Memory | None = None) -> torch.Tensor:
        """Reads a padded batch.

        Args:
            ids: (B, L) int64, right-padded.
            mask: (B, L), 1 or True for tokens.
            memory: What cross-attention reads; B is a multiple of its M, and texts of the same thing stand together.
                None reads the text alone.

        Returns:
            (B, L, D) states. Padding positions have states too: those of [PAD] tokens that see the text.
        """
        x = self.embeddings(ids, torch.arange(ids.shape[1], device=ids.device))
        return self.run(x, mask.bool()[:, None, None, :], memory)

    def run(
        self, x: torch.Tensor, allowed: torch.Tensor | None, memory: Memory | None = None, cache: Cache | None = None
    ) -> torch.Tensor:
        """Sends embedded texts through all layers.

        Args:
            x: (B, L, D) embeddings.
            allowed: Bool, broadcastable to (B, H, L, all tokens), True where attention is allowed; None everywhere.
            memory: As in `forward`.
            cache: Holds the tokens before these, and takes these in.

        Returns:
            (B, L, D) states.
        """
        for number, layer in enumerate(self.layers):
            own = layer.attention.keys_values(x)
            x = layer.attention(x, own if cache is None else cache.extend(number, own), allowed)
            if memory is not None:
                # all texts that meet one thing are one long query to it, so its keys and values are never repeated
                asked = x.reshape(len(memory), -1, x.shape[-1])
                x = layer.crossattention(asked, memory.layer(number), memory.allowed).view_as(x)
            x = layer.feed_forward(x)
        return x


def initialise(module: nn.Module) -> None:
    """BERT's initialisation. Source: salesforce/BLIP models/med.py `_init_weights`; the pad row is not zeroed."""
    if isinstance(module, nn.Linear | nn.Embedding):
        nn.init.normal_(module.weight, std=INIT_STD)
    if isinstance(module, nn.Linear):
        nn.init.zeros_(module.bias)
