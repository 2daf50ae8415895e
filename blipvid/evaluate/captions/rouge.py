"""ROUGE-L of one caption: the longest sequence of words that it shares with a reference, gaps allowed.

Source: Lin 2004; beta and the blanks as the only separator as in github.com/salaniz/pycocoevalcap 1.2, rouge/rouge.py.
"""

from collections.abc import Sequence

_BETA = 1.2


def rouge_l(hypothesis: str, references: Sequence[str]) -> float:
    """Computes ROUGE-L.

    Args:
        hypothesis: A tokenised caption.
        references: Tokenised references, at least one.

    Returns:
        The score in [0, 1]: of the best precision and the best recall, which may belong to two references. An empty
        caption counts as one empty word.
    """
    said = hypothesis.split(" ")
    precision = recall = 0.0
    for reference in references:
        meant = reference.split(" ")
        shared = _shared(said, meant)
        precision, recall = max(precision, shared / len(said)), max(recall, shared / len(meant))
    if precision == 0:
        return 0.0
    return (1 + _BETA**2) * precision * recall / (recall + _BETA**2 * precision)


def _shared(first: Sequence[str], second: Sequence[str]) -> int:
    """Returns the length of the longest common subsequence.

    A row of the usual table is kept as one integer, a zero bit where the length grows by one.

    Source: Hyyro, Bit-parallel LCS-length computation revisited, 2004.
    """
    places: dict[str, int] = {}
    for place, word in enumerate(first):
        places[word] = places.get(word, 0) | 1 << place
    everywhere = (1 << len(first)) - 1
    row = everywhere
    for word in second:
        matching = row & places.get(word, 0)
        row = (row + matching | row - matching) & everywhere
    return len(first) - row.bit_count()
