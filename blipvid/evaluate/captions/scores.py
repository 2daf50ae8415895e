"""How near captions come to those that people gave, by the metrics of the field.

All are computed on the words that `tokenizer.tokenize` gives, references and captions alike, and all are percent: what
COCO's table calls CIDEr 133.3 is 1.333 in pycocoevalcap. Parts of a set are scored as sets of their own, as the NoCaps
server scores each domain: CIDEr counts anew which words are rare there, all else is made of what is known of each
caption, so that the Java programs see each caption once.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from blipvid.core.errors import DataError
from blipvid.core.protocols import Progress, no_progress
from blipvid.evaluate.captions import java
from blipvid.evaluate.captions.bleu import bleu, bleu_statistics
from blipvid.evaluate.captions.cider import cider_d
from blipvid.evaluate.captions.ngrams import Ngrams, count_ngrams
from blipvid.evaluate.captions.rouge import rouge_l
from blipvid.evaluate.captions.tokenizer import tokenize

Floats = npt.NDArray[np.float64]

NOT_ASKED = "not asked for (`java_metrics`)"


@dataclass(frozen=True, slots=True)
class CaptionScores:
    """Scores of V captions.

    Attributes:
        metrics: Percent by name: `bleu1` to `bleu4`, `rouge_l`, `cider`, and `meteor`, `spice` where computed.
        per_item: (V,) percent of each caption, for the metrics that are the mean of them: `rouge_l`, `cider`, `spice`.
        bleu_statistics: (V, 10) int64; `bleu.bleu` makes BLEU of their sum over any captions.
        not_computed: Metric to the reason, in a few words; what is missing of the set is missing of its parts.
        subsets: Scores of parts of the set, each as a set of its own.
    """

    metrics: dict[str, float]
    per_item: dict[str, Floats]
    bleu_statistics: npt.NDArray[np.int64]
    not_computed: dict[str, str]
    subsets: tuple["CaptionScores", ...] = ()


def score_captions(
    hypotheses: Sequence[str],
    references: Sequence[Sequence[str]],
    subsets: Sequence[Sequence[int]] = (),
    progress: Progress = no_progress,
    by_java: Collection[str] = ("meteor", "spice"),
) -> CaptionScores:
    """Scores captions against references.

    Args:
        hypotheses: V captions, as generated; an empty one scores 0.
        references: The captions that people gave of each, at least one, as annotated.
        subsets: Places of the captions of each part that is scored as a set of its own, at least one.
        progress: Told of captions compared.
        by_java: Which of the metrics that are Java programs are asked for.

    Returns:
        The scores.

    Raises:
        DataError: There are no captions, or one has no reference.
    """
    without = next((place for place, own in enumerate(references) if not own), None)
    if not hypotheses or without is not None:
        raise DataError(
            "there are no captions to score."
            if without is None
            else f"caption {without + 1} of {len(references):,} has no reference; annotate it or leave it out."
        )
    said = [tokenize(caption) for caption in hypotheses]
    meant = [[tokenize(caption) for caption in own] for own in references]
    compared = _compare(said, meant)
    meteors: Sequence[float | None] = [None] * (1 + len(subsets))
    not_computed = {name: NOT_ASKED for name in ("meteor", "spice") if name not in by_java}
    try:
        if "meteor" in by_java:
            meteors = java.meteor(said, meant, subsets, progress)
    except java.NotComputedError as reason:
        not_computed["meteor"] = str(reason)
    try:
        if "spice" in by_java:
            compared.means["spice"] = java.spice(said, meant)
    except java.NotComputedError as reason:
        not_computed["spice"] = str(reason)
    whole, *parts = [
        compared.score(places, meteor, not_computed)
        for places, meteor in zip([range(len(said)), *subsets], meteors, strict=True)
    ]
    return replace(whole, subsets=tuple(parts))


@dataclass(frozen=True, slots=True)
class _Compared:
    """What is known of each of V captions, whatever set it is in.

    Attributes:
        said: Word sequences of each.
        meant: Word sequences of its references.
        bleu_statistics: (V, 10) int64.
        means: (V,) scores in [0, 1] by metric, where that of a set is their mean.
    """

    said: list[Ngrams]
    meant: list[list[Ngrams]]
    bleu_statistics: npt.NDArray[np.int64]
    means: dict[str, Floats]

    def score(self, places: Sequence[int], meteor: float | None, not_computed: dict[str, str]) -> CaptionScores:
        """Scores the captions at some places as a set."""
        chosen = np.array(places)
        statistics = self.bleu_statistics[chosen]
        cider = cider_d([self.said[place] for place in places], [self.meant[place] for place in places])
        per_item = {name: 100 * values[chosen] for name, values in self.means.items()}
        per_item = {"rouge_l": per_item.pop("rouge_l"), "cider": 100 * cider, **per_item}
        bleus = 100 * bleu(statistics.sum(axis=0))
        metrics = {f"bleu{order}": float(value) for order, value in enumerate(bleus, start=1)}
        if meteor is not None:
            metrics["meteor"] = 100 * meteor
        metrics |= {name: float(values.mean()) for name, values in per_item.items()}
        return CaptionScores(metrics, per_item, statistics, not_computed)


def _compare(said: Sequence[str], meant: Sequence[Sequence[str]]) -> _Compared:
    """Compares tokenised captions with their references."""
    said_ngrams = [count_ngrams(caption.split()) for caption in said]
    meant_ngrams = [[count_ngrams(caption.split()) for caption in own] for own in meant]
    statistics = [bleu_statistics(one, own) for one, own in zip(said_ngrams, meant_ngrams, strict=True)]
    rouges = [rouge_l(one, own) for one, own in zip(said, meant, strict=True)]
    return _Compared(said_ngrams, meant_ngrams, np.array(statistics, np.int64), {"rouge_l": np.array(rouges)})
