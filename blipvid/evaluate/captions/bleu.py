"""BLEU of one to four words over a whole set, from counts of each caption that can be added up.

Source: Papineni et al. 2002; the details (the reference of nearest length, of two the shorter; two small numbers in
place of zero) are those of github.com/salaniz/pycocoevalcap 1.2, bleu/bleu_scorer.py with option `closest`.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from blipvid.evaluate.captions.ngrams import ORDERS, Ngrams

_NO_MATCH, _NO_GUESS = 1e-15, 1e-9


def bleu_statistics(hypothesis: Ngrams, references: Sequence[Ngrams]) -> list[int]:
    """Counts what BLEU needs of one caption.

    Args:
        hypothesis: Sequences of the caption.
        references: Sequences of each reference, at least one.

    Returns:
        10 numbers: matches of one to four words, each word sequence at most as often as in the reference that has it
        most often; guesses of one to four words; length; length of the nearest reference.
    """
    matches = [0] * ORDERS
    for ngram, count in hypothesis.items():
        most = max(reference.get(ngram, 0) for reference in references)
        matches[len(ngram) - 1] += min(count, most)
    length = _length(hypothesis)
    guesses = [max(0, length - order) for order in range(ORDERS)]
    nearest = min((abs(own - length), own) for own in map(_length, references))[1]
    return [*matches, *guesses, length, nearest]


def bleu(totals: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Computes BLEU from sums of statistics.

    Args:
        totals: (..., 10) sums of `bleu_statistics` over the captions of a set; other axes may hold resamples of it.

    Returns:
        (..., 4) BLEU-1 to BLEU-4 in [0, 1].
    """
    matches, guesses = totals[..., :ORDERS], totals[..., ORDERS : 2 * ORDERS]
    precisions = (matches + _NO_MATCH) / (guesses + _NO_GUESS)
    means = np.cumprod(precisions, axis=-1) ** (1 / np.arange(1, ORDERS + 1))
    ratio = (totals[..., -2:-1] + _NO_MATCH) / (totals[..., -1:] + _NO_GUESS)
    return means * np.exp(np.minimum(0.0, 1 - 1 / ratio))


def _length(ngrams: Ngrams) -> int:
    return sum(count for ngram, count in ngrams.items() if len(ngram) == 1)
