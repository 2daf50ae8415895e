"""Reading many texts together without computing any padding, each alone or all with one clip.

The same numbers as `MedEncoder.forward` up to rounding, with less work: texts lie one after the other, sorted by
length, and equal lengths attend to themselves as one batch without a mask (on GPUs all lengths do, with one, because
each batch costs them more to begin than to work through); all texts are one long query to the memory of the clip; what
no clip changes is done once for all clips; where only the first tokens are wanted, only they ask in the last layer. Not
for training, which reads each text with a picture of its own.

Shape legend: Q texts, R of them that are read, L text length, D text width, P packed length (the tokens of many texts,
one after the other).
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch.nn.functional import scaled_dot_product_attention

from blipvid.models.med import Attention, MedEncoder, Memory, Projections

WORK_BYTES = 2**28
"""Memory that reading works in where nothing else is said; it bounds what is alive at once and changes no number."""

FLOAT_BYTES = 4
"""Of a number in float32, in which residuals stay under every precision."""


class PreparedTexts:
    """Texts that any number of clips may meet, with the part of reading them that no clip changes.

    That part is the embeddings and the first layer's self-attention. It is done here, once, where its states take at
    most half of the memory (12 tokens a caption, base width: 3,600 captions in 256 MiB); else whenever a clip is met,
    which costs about one hundredth of meeting it.

    Args:
        tower: The text tower.
        ids: (Q, L) int64, right-padded.
        mask: (Q, L), 1 or True for tokens; at least one each.
        memory_bytes: For these states and for all later work on them.
        keep: Whether clips are to come; without any nothing is done here.
    """

    def __init__(
        self,
        tower: MedEncoder,
        ids: torch.Tensor,
        mask: torch.Tensor,
        memory_bytes: int = WORK_BYTES,
        keep: bool = True,
    ) -> None:
        self.tower = tower
        self.room = memory_bytes
        # lengths stay on the CPU, where Python reads them
        self.lengths = mask.sum(1).cpu()
        self._ids = ids
        self._starts = self.lengths.cumsum(0) - self.lengths
        self._begun: torch.Tensor | None = None
        needed = int(self.lengths.sum()) * _state_bytes(tower)
        if keep and needed <= memory_bytes // 2:
            self.room -= needed
            self._begun = self._begin_all()

    def __len__(self) -> int:
        return len(self.lengths)

    @property
    def device(self) -> torch.device:
        """Where the texts are read."""
        return self._ids.device

    def first_states(self, rows: torch.Tensor, memory: Memory | None) -> torch.Tensor:
        """Reads the texts at `rows` (R,), int64 on the CPU; as the function of this name, (R, D) in their order."""
        read = _read(self, rows, memory, firsts_only=True)
        return torch.cat([torch.empty_like(x).index_copy_(0, p.order.to(x.device), x) for p, x in read])

    def begin(self, rows: torch.Tensor, packing: "Packing") -> torch.Tensor:
        """Returns the states (P, D) of the texts at `rows` (R,) behind the first layer's self-attention."""
        texts, device = rows[packing.texts], self.device
        if self._begun is not None:
            return self._begun[(self._starts[texts] + packing.positions).to(device)]
        positions = packing.positions.to(device)
        x = self.tower.embeddings(self._ids[texts.to(device), positions], positions)
        return _attend_to_own_text(self.tower.layers[0].attention, x, packing)

    def _begin_all(self) -> torch.Tensor:
        """Returns the states of all tokens, text after text."""
        pieces = []
        for rows in _cut(torch.arange(len(self)), self.lengths, _tokens_at_once(self, None)):
            packing = pack(self.lengths[rows], self.device)
            x = self.begin(rows, packing)
            places = self._starts[rows][packing.texts] + packing.positions - self._starts[rows[0]]
            pieces.append(torch.empty_like(x).index_copy_(0, places.to(x.device), x))
        return torch.cat(pieces)


@dataclass(frozen=True, slots=True)
class Packing:
    """How texts lie one after the other without padding, sorted by length so that equal lengths lie together.

    Attributes:
        texts: (P,) int64, the original place of the text of each token.
        positions: (P,) int64, the place of each token in its text.
        runs: For each distinct length, (length, how many texts).
        order: (R,) int64, the original place of each sorted text.
        firsts: (R,) int64, where each text begins, in sorted order; this and what follows lie where the states do.
        places: (P,) int64, where each token lies among R * L, were all texts padded to the longest.
        allowed: (R, 1, 1, L) bool, True where there is a token then.
    """

    texts: torch.Tensor
    positions: torch.Tensor
    runs: tuple[tuple[int, int], ...]
    order: torch.Tensor
    firsts: torch.Tensor
    places: torch.Tensor
    allowed: torch.Tensor


def pack(lengths: torch.Tensor, device: torch.device) -> Packing:
    """Packs texts of the given lengths (R,), int64 on the CPU, whose states lie on a device."""
    ordered, order = torch.sort(lengths, stable=True)
    distinct, counts = torch.unique_consecutive(ordered, return_counts=True)
    firsts, longest = ordered.cumsum(0) - ordered, int(ordered[-1])
    positions = torch.arange(int(ordered.sum())) - firsts.repeat_interleave(ordered)
    rows = torch.arange(len(ordered)).repeat_interleave(ordered)
    return Packing(
        texts=order.repeat_interleave(ordered),
        positions=positions,
        runs=tuple(zip(distinct.tolist(), counts.tolist(), strict=True)),
        order=order,
        firsts=firsts.to(device),
        places=(rows * longest + positions).to(device),
        allowed=(torch.arange(longest) < ordered[:, None])[:, None, None].to(device),
    )


def first_states(
    tower: MedEncoder, ids: torch.Tensor, mask: torch.Tensor, memory: Memory | None = None
) -> torch.Tensor:
    """Reads texts once and returns the state of each one's first token, which is all that scoring needs.

    Args:
        tower: The text tower.
        ids: (Q, L) int64, right-padded.
        mask: (Q, L), 1 or True for tokens; at least one each.
        memory: The memory of *one* clip (M = 1), or None to read the texts alone.

    Returns:
        (Q, D) states in the order of the texts.
    """
    return PreparedTexts(tower, ids, mask, keep=False).first_states(torch.arange(len(ids)), memory)


def all_states(tower: MedEncoder, ids: torch.Tensor, mask: torch.Tensor, memory: Memory | None = None) -> torch.Tensor:
    """Reads texts once and returns the states of all their tokens; arguments as those of `first_states`.

    Returns:
        (Q, L, D) states in the order of the texts, zeros at padding positions.
    """
    found = []
    for packing, x in _read(PreparedTexts(tower, ids, mask, keep=False), torch.arange(len(ids)), memory, False):
        whole = x.new_zeros(len(packing.order), ids.shape[1], x.shape[-1])
        whole[packing.texts.to(x.device), packing.positions.to(x.device)] = x
        found.append(whole)
    return torch.cat(found)


def _read(
    texts: PreparedTexts, rows: torch.Tensor, memory: Memory | None, firsts_only: bool
) -> Iterator[tuple[Packing, torch.Tensor]]:
    """Reads texts piece by piece.

    The pieces of a portion go through each layer together, so that its memory is made once; there is more than one
    portion only where the states alone would be too many.

    Yields:
        The packing of each piece and its states (P, D), or (R', D) of the first tokens, in sorted order.
    """
    tower, last = texts.tower, len(texts.tower.layers) - 1
    for portion in _cut(rows, texts.lengths, texts.room // 2 // _state_bytes(tower)):
        pieces = list(_cut(portion, texts.lengths, _tokens_at_once(texts, memory)))
        packings = [pack(texts.lengths[piece], texts.device) for piece in pieces]
        states = [texts.begin(piece, packing) for piece, packing in zip(pieces, packings, strict=True)]
        for number, layer in enumerate(tower.layers):
            keys_values = memory.layer(number) if memory is not None else None
            narrow = firsts_only and number == last
            for i, packing in enumerate(packings):
                if number:
                    states[i] = _attend_to_own_text(layer.attention, states[i], packing, firsts_only=narrow)
                elif narrow:
                    states[i] = states[i][packing.firsts]
                if keys_values is not None:
                    states[i] = layer.crossattention(states[i][None], keys_values)[0]
                states[i] = layer.feed_forward(states[i])
            del keys_values  # before those of the next layer are made
        yield from zip(packings, states, strict=True)


def _attend_to_own_text(
    attention: Attention, x: torch.Tensor, packing: Packing, firsts_only: bool = False
) -> torch.Tensor:
    """Self-attention of packed states (P, D): each token, or each text's first one, looks at its text.

    Returns:
        (P, D) states, or (R, D) of the first tokens only.
    """
    askers = x[packing.firsts] if firsts_only else x
    query, key, value = attention.self.query(askers), attention.self.key(x), attention.self.value(x)
    attend = _attend_in_runs if x.device.type == "cpu" else _attend_padded
    return attention.output(attend(attention.self, (query, key, value), packing, firsts_only), askers)


def _attend_in_runs(
    heads: Projections, projected: tuple[torch.Tensor, ...], packing: Packing, firsts_only: bool
) -> torch.Tensor:
    """Attends in each run of equally long texts as one batch, so that no mask is needed and no padding computed."""
    query, key, value = projected
    gathered, start, asked = [], 0, 0
    for length, count in packing.runs:
        stop, heard = start + length * count, asked + (count if firsts_only else length * count)
        q, k, v = (
            heads.split(part.unflatten(0, (count, -1)))
            for part in (query[asked:heard], key[start:stop], value[start:stop])
        )
        gathered.append(scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2).flatten(0, 1))
        start, asked = stop, heard
    return torch.cat(gathered)


def _attend_padded(
    heads: Projections, projected: tuple[torch.Tensor, ...], packing: Packing, firsts_only: bool
) -> torch.Tensor:
    """Attends in one batch of all texts, padded and masked: a few kernels whatever the lengths."""
    query, key, value = projected
    shape = len(packing.allowed), packing.allowed.shape[-1]

    def pad(packed: torch.Tensor) -> torch.Tensor:
        whole = packed.new_zeros(shape[0] * shape[1], packed.shape[1])
        return heads.split(whole.index_copy_(0, packing.places, packed).unflatten(0, shape))

    asking = heads.split(query[:, None]) if firsts_only else pad(query)
    found = scaled_dot_product_attention(asking, pad(key), pad(value), packing.allowed).transpose(1, 2).flatten(2)
    return found[:, 0] if firsts_only else found.flatten(0, 1)[packing.places]


def _cut(rows: torch.Tensor, lengths: torch.Tensor, tokens: int) -> Iterator[torch.Tensor]:
    """Cuts rows of texts into parts of about so many tokens each, at least one text."""
    ends = lengths[rows].cumsum(0)
    part = torch.div(ends - 1, max(1, tokens), rounding_mode="floor")
    yield from rows.split(torch.unique_consecutive(part, return_counts=True)[1].tolist())


def _state_bytes(tower: MedEncoder) -> int:
    """Returns the bytes of one token's state."""
    return FLOAT_BYTES * tower.embeddings.word_embeddings.embedding_dim


def _tokens_at_once(texts: PreparedTexts, memory: Memory | None) -> int:
    """Returns how many tokens may go through a layer together, beside its keys and values and all texts' states.

    A token holds most in the feed-forward part: both sides of the GELU, and its state as input, sum and output.
    """
    width, inner = _state_bytes(texts.tower), FLOAT_BYTES * texts.tower.layers[0].intermediate.dense.out_features
    keys_values = 0 if memory is None else 2 * memory.tokens.shape[1] * width
    return (texts.room // 2 - keys_values) // (2 * inner + 4 * width)
