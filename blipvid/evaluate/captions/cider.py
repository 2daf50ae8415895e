"""CIDEr-D of captions: how alike a caption and its references are in the words that are rare in the set.

What the field calls CIDEr is CIDEr-D with sequences of up to four words and sigma 6, as pycocoevalcap computes it. How
rare a sequence is, is counted over the references of the very set that is scored: a subset scored alone gives its
captions other values, and a set of one picture scores 0.

Source: Vedantam, Zitnick, Parikh 2015 (arXiv:1411.5726); clipping, length penalty, the length counted in pairs of words
and the factor 10 as in github.com/salaniz/pycocoevalcap 1.2, cider/cider_scorer.py.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from blipvid.evaluate.captions.ngrams import ORDERS, Ngrams

_SIGMA = 6.0
_FACTOR = 10.0


def cider_d(hypotheses: Sequence[Ngrams], references: Sequence[Sequence[Ngrams]]) -> npt.NDArray[np.float64]:
    """Computes CIDEr-D of every caption of a set.

    Args:
        hypotheses: Sequences of V captions.
        references: Sequences of the references of each, at least one.

    Returns:
        (V,) scores in [0, 10]; the score of the set is their mean.
    """
    in_pictures = Counter(ngram for own in references for ngram in set().union(*own))
    everywhere = math.log(len(hypotheses))
    rarity = {ngram: everywhere - math.log(count) for ngram, count in in_pictures.items()}
    return np.array(
        [
            _similarity(_weigh(said, rarity, everywhere), [_weigh(one, rarity, everywhere) for one in own])
            for said, own in zip(hypotheses, references, strict=True)
        ]
    )


@dataclass(frozen=True, slots=True)
class _Weighted:
    """A caption as weights of its word sequences, with their norm for each length of sequence."""

    weights: dict[tuple[str, ...], float]
    norms: list[float]
    pairs: int


def _weigh(ngrams: Ngrams, rarity: Mapping[tuple[str, ...], float], unknown: float) -> _Weighted:
    squares = [0.0] * ORDERS
    weights = {}
    pairs = 0
    for ngram, count in ngrams.items():
        weight = count * rarity.get(ngram, unknown)
        weights[ngram] = weight
        squares[len(ngram) - 1] += weight * weight
        if len(ngram) == 2:
            pairs += count
    return _Weighted(weights, [math.sqrt(square) for square in squares], pairs)


def _similarity(hypothesis: _Weighted, references: Sequence[_Weighted]) -> float:
    total = 0.0
    for reference in references:
        shared = [0.0] * ORDERS
        for ngram, weight in hypothesis.weights.items():
            meant = reference.weights.get(ngram)
            if meant:
                shared[len(ngram) - 1] += min(weight, meant) * meant
        cosines = sum(
            dot / (ours * theirs)
            for dot, ours, theirs in zip(shared, hypothesis.norms, reference.norms, strict=True)
            if ours and theirs
        )
        total += cosines * math.exp(-((hypothesis.pairs - reference.pairs) ** 2) / (2 * _SIGMA**2))
    return _FACTOR * total / ORDERS / len(references)
