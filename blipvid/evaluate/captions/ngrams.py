"""Counts of word sequences, which BLEU and CIDEr compare."""

from collections import Counter

ORDERS = 4
"""Sequences of one to four words."""

Ngrams = Counter[tuple[str, ...]]


def count_ngrams(words: list[str]) -> Ngrams:
    """Counts every sequence of one to four words of a caption, the shorter ones first."""
    return Counter(
        tuple(words[begin : begin + order]) for order in range(1, ORDERS + 1) for begin in range(len(words) - order + 1)
    )
