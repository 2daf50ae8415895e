"""How near captions come to those that people gave, by the metrics of the field.

All are computed on the words that `tokenizer.tokenize` gives, references and captions alike, and all are percent: what
COCO's table calls CIDEr 133.3 is 1.333 in pycocoevalcap. CIDEr counts over the references of the captions it is given,
so that a subset of pictures is scored by a call of its own, as the NoCaps server scores each domain alone. Captions
that were tokenised once are not tokenised again.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from blipvid.core.errors import DataError
from blipvid.core.protocols import Progress, no_progress
from blipvid.evaluate.captions import java
from blipvid.evaluate.captions.bleu import bleu, bleu_statistics
from blipvid.evaluate.captions.cider import cider_d
from blipvid.evaluate.captions.ngrams import ORDERS, count_ngrams
from blipvid.evaluate.captions.rouge import rouge_l
from blipvid.evaluate.captions.tokenizer import tokenize

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class CaptionScores:
    """Scores of V captions.

    Attributes:
        metrics: Percent by name: `bleu1` to `bleu4`, `rouge_l`, `cider`, and `meteor`, `spice` where computed.
        per_item: (V,) percent of each caption, for the metrics that are the mean of them: `rouge_l`, `cider`, `spice`.
        bleu_statistics: (V, 10) int64; `bleu.bleu` makes BLEU of their sum over any captions.
        not_computed: Metric to the reason, in a few words.
    """

    metrics: dict[str, float]
    per_item: dict[str, Floats]
    bleu_statistics: npt.NDArray[np.int64]
    not_computed: dict[str, str]


def score_captions(
    hypotheses: Sequence[str], references: Sequence[Sequence[str]], progress: Progress = no_progress
) -> CaptionScores:
    """Scores captions against references.

    Args:
        hypotheses: V captions, as generated; an empty one scores 0.
        references: The captions that people gave of each, at least one, as annotated.
        progress: Told of captions compared.

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
    said_ngrams = [count_ngrams(caption.split()) for caption in said]
    meant_ngrams = [[count_ngrams(caption.split()) for caption in own] for own in meant]
    statistics = np.array(
        [bleu_statistics(one, own) for one, own in zip(said_ngrams, meant_ngrams, strict=True)], np.int64
    )
    per_item = {
        "rouge_l": 100 * np.array([rouge_l(one, own) for one, own in zip(said, meant, strict=True)]),
        "cider": 100 * cider_d(said_ngrams, meant_ngrams),
    }
    metrics = {
        f"bleu{order + 1}": 100 * float(value)
        for order, value in zip(range(ORDERS), bleu(statistics.sum(axis=0)), strict=True)
    }
    metrics |= {name: float(values.mean()) for name, values in per_item.items()}
    not_computed = {}
    try:
        metrics["meteor"] = 100 * java.meteor(said, meant, progress)
    except java.NotComputedError as reason:
        not_computed["meteor"] = str(reason)
    try:
        per_item["spice"] = 100 * java.spice(said, meant)
        metrics["spice"] = float(per_item["spice"].mean())
    except java.NotComputedError as reason:
        not_computed["spice"] = str(reason)
    return CaptionScores(metrics, per_item, statistics, not_computed)
