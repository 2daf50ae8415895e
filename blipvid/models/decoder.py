"""The MED as a decoder: the same layers under a causal mask, and a language model head above (LM).

Shape legend: B texts, M things in the memory, L text length, D text width, W words of the vocabulary.

Source: salesforce/BLIP models/med.py, `BertLMHeadModel`; Li et al. 2022, section 3.1.
"""

import torch
from torch import nn
from torch.nn.functional import gelu, linear

from blipvid.models.med import LAYER_NORM_EPS, Cache, MedEncoder, Memory, initialise
from blipvid.models.spec import TextSize


class Transform(nn.Module):
    """Dense, exact GELU, LayerNorm: what comes before the words are scored."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.dense = nn.Linear(width, width)
        self.LayerNorm = nn.LayerNorm(width, eps=LAYER_NORM_EPS)

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        """(..., D) -> (..., D)."""
        return self.LayerNorm(gelu(self.dense(states)))


class Predictions(nn.Module):
    """The language model head, whose word scores are made with the word embeddings themselves.

    The official files hold that shared matrix, and the bias, under a second name each; see `layouts.TIED`.
    """

    def __init__(self, width: int, vocab_size: int) -> None:
        super().__init__()
        self.transform = Transform(width)
        self.bias = nn.Parameter(torch.zeros(vocab_size))
        self.apply(initialise)

    def forward(self, states: torch.Tensor, words: torch.Tensor) -> torch.Tensor:
        """Scores words (W, D) after states (..., D): logits (..., W)."""
        return linear(self.transform(states), words, self.bias)


class Head(nn.Module):
    """Holds the head under its official name `cls.predictions`."""

    def __init__(self, width: int, vocab_size: int) -> None:
        super().__init__()
        self.predictions = Predictions(width, vocab_size)


class MedDecoder(nn.Module):
    """Writes text about what it has in memory.

    Args:
        size: Sizes of the tower.
        vocab_size: Rows of the word embedding (W).
        memory_width: Width of the tokens that cross-attention reads.
    """

    def __init__(self, size: TextSize, vocab_size: int, memory_width: int) -> None:
        super().__init__()
        self.bert = MedEncoder(size, vocab_size, memory_width)
        self.cls = Head(size.width, vocab_size)

    def remember(self, tokens: torch.Tensor, mask: torch.Tensor | None = None) -> Memory:
        """Makes the memory that texts are written from, of tokens (M, V, memory width) with mask (M, V).

        It keeps the keys and values of every layer, because each step of writing reads all of them.
        """
        return self.bert.remember(tokens, keep=True, mask=mask)

    def logits(self, states: torch.Tensor) -> torch.Tensor:
        """Returns word scores (..., W) after states (..., D)."""
        return self.cls.predictions(states, self.bert.embeddings.word_embeddings.weight)

    def forward(self, ids: torch.Tensor, mask: torch.Tensor, memory: Memory) -> torch.Tensor:
        """Scores the next word after every token of given texts, as training needs it.

        Args:
            ids: (B, L) int64, right-padded, the first one [DEC].
            mask: (B, L), 1 or True for tokens.
            memory: From `remember`; B is a multiple of its M, and texts of the same thing stand together.

        Returns:
            (B, L, W) logits.
        """
        length = ids.shape[1]
        causal = torch.ones(length, length, dtype=torch.bool, device=ids.device).tril()
        x = self.bert.embeddings(ids, torch.arange(length, device=ids.device))
        return self.logits(self.bert.run(x, causal & mask.bool()[:, None, None, :], memory))

    def begin(self, memory: Memory) -> "Writing":
        """Begins texts that grow token by token, any number for each thing in the memory."""
        return Writing(self, memory)


class Writing:
    """Texts being written: the state between two steps of `generation.py`."""

    def __init__(self, decoder: MedDecoder, memory: Memory) -> None:
        self._decoder, self._memory, self._cache = decoder, memory, Cache()

    def step(self, ids: torch.Tensor) -> torch.Tensor:
        """Adds tokens (B, L) int64 to the B texts; returns the float32 logits (B, W) of what comes after the last.

        B is a multiple of the things in the memory, and texts of the same thing stand together.
        """
        before, new = self._cache.length, ids.shape[1]
        places = torch.arange(before, before + new, device=ids.device)
        causal = torch.arange(before + new, device=ids.device) <= places[:, None]
        tower = self._decoder.bert
        x = tower.run(tower.embeddings(ids, places), causal, self._memory, self._cache)
        return self._decoder.logits(x[:, -1]).float()

    def select(self, rows: torch.Tensor) -> None:
        """Keeps the texts at `rows` (int64), in that order; a text may go on in several ways."""
        self._cache.select(rows)
