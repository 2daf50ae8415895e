"""How right a predicted answer is: by exact match, by match after normalisation, or by the accuracy of VQA v2.

All three are one `Measure`: a prediction and the annotations are brought into a form, and what counts is how many
annotators gave the predicted one.
"""

import re
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

Annotated = Sequence[str]
"""What the annotators of one question answered."""

KNOWN_FORMS = 2**18
"""Answers whose form is kept; VQA v2 has about 100,000."""

# The three tables below and the two rules are those of the public VQA v2 evaluation, its slips included.
# Source: github.com/GT-Vision-Lab/VQA vqaEvaluation/vqaEval.py, as in salesforce/LAVIS common/vqa_tools/vqa_eval.py

_DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
NUMBERS = {"none": "0"} | {word: str(value) for value, word in enumerate(_DIGITS)}
ARTICLES = {"a", "an", "the"}
PUNCTUATION = ';/[]"{}()=+\\_-><@`,?!'
CONTRACTIONS = """
    ain't aren't can't could've couldn't couldn't've didn't doesn't don't hadn't hadn't've hasn't haven't he'd he'd've
    he's how'd how'll how's isn't it'd it'd've it'll ma'am might've mightn't mightn't've must've mustn't needn't not've
    o'clock oughtn't 'ow's'at shan't she'd've should've shouldn't shouldn't've somebody'd've somebody'll somebody's
    someone'd someone'd've someone'll someone's something'd something'd've something'll that's there'd there'd've
    there're there's they'd they'd've they'll they're they've 'twas wasn't we'd've we've weren't what'll what're what's
    what've when's where'd where's where've who'd who'd've who'll who's who've why'll why're why's won't would've
    wouldn't wouldn't've y'all y'all'll y'all'd've you'd you'd've you'll you're you've
"""
"""Words that are mended where exactly one of their apostrophes is missing."""

_COMMA_IN_NUMBER = re.compile(r"\d,\d")
_PERIOD = re.compile(r"\.(?!\d)")


def _without_one_apostrophe(word: str) -> list[str]:
    return [word[:place] + word[place + 1 :] for place, letter in enumerate(word) if letter == "'"]


_MENDED = {wrong: right for right in CONTRACTIONS.split() for wrong in _without_one_apostrophe(right)} | {
    "somebody'd": "somebodyd"  # parity: a slip of the table (tests/evaluate/test_answers.py)
}


@lru_cache(KNOWN_FORMS)
def normalise(answer: str) -> str:
    """Normalises an answer as the VQA v2 evaluation does.

    Lower case; punctuation away; number words up to ten as digits, `none` as 0; no articles; apostrophes mended; single
    blanks. The result may be empty.
    """
    stripped = answer.replace("\n", " ").replace("\t", " ").strip()
    return _normalise_words(_normalise_punctuation(stripped))


@lru_cache(KNOWN_FORMS)
def _normalise_punctuation(answer: str) -> str:
    """Removes punctuation.

    A mark becomes a blank; it goes without one if it stands beside a blank anywhere in the answer, or if the answer has
    a comma between digits. Periods go unless a digit follows.
    """
    grouped = _COMMA_IN_NUMBER.search(answer)
    cleaned = answer
    for mark in PUNCTUATION:
        beside_blank = f"{mark} " in answer or f" {mark}" in answer
        cleaned = cleaned.replace(mark, "" if grouped or beside_blank else " ")
    return _PERIOD.sub("", cleaned)


def _normalise_words(answer: str) -> str:
    """Lower-cases, writes numbers as digits, drops articles, mends contractions."""
    words = (NUMBERS.get(word, word) for word in answer.lower().split())
    return " ".join(_MENDED.get(word, word) for word in words if word not in ARTICLES)


@dataclass(frozen=True, slots=True)
class Measure:
    """A rule by which a prediction is right, wholly, in part or not at all.

    Attributes:
        name: What it is called in tables.
        prefix: Of the names of its metrics.
        of_prediction: From an answer to the form in which it is compared.
        of_annotations: From what the annotators of a question answered to the forms of that.
        credit: From the number of annotators who gave the predicted form, and of all, to how right it is, 0 to 1.
    """

    name: str
    prefix: str
    of_prediction: Callable[[str], str]
    of_annotations: Callable[[Annotated], Sequence[str]]
    credit: Callable[[int, int], float]

    def right(self, predicted: Sequence[str | None], annotated: Sequence[Annotated]) -> npt.NDArray[np.float64]:
        """Returns (Q,) float64 from 0 to 1, how right each prediction is; None is a miss."""
        return np.array([self._one(own, answers) for own, answers in zip(predicted, annotated, strict=True)])

    def _one(self, prediction: str | None, annotated: Annotated) -> float:
        if prediction is None:
            return 0.0
        forms = self.of_annotations(annotated)
        return self.credit(forms.count(self.of_prediction(prediction)), len(forms))

    def ceiling(self, annotated: Sequence[Annotated], listed: Collection[str]) -> float:
        """Returns the percentage that the best answers of a list would have: the most that ranking it can reach."""
        known = set(map(self.of_prediction, listed))
        counts = ((Counter(forms), len(forms)) for forms in map(self.of_annotations, annotated))
        best = [self.credit(max((n for form, n in own.items() if form in known), default=0), of) for own, of in counts]
        return 100 * sum(best) / len(best)

    def commonest(self, annotated: Sequence[Annotated], kinds: Sequence[str]) -> dict[str, float]:
        """Says how well the best one answer of its kind would do as the answer to every question.

        Args:
            annotated: What the annotators of Q questions answered.
            kinds: Q kinds.

        Returns:
            Percent right over `all` questions, then for each kind, the most frequent first.
        """
        asked = Counter(kinds)
        credits: dict[str, Counter[str]] = {kind: Counter() for kind, _ in asked.most_common()}
        for answers, kind in zip(annotated, kinds, strict=True):
            forms = self.of_annotations(answers)
            for form, n in Counter(forms).items():
                credits[kind][form] += self.credit(n, len(forms))  # type: ignore[assignment]
        best = {kind: max(own.values()) for kind, own in credits.items()}
        return {"all": 100 * sum(best.values()) / len(kinds)} | {kind: 100 * best[kind] / asked[kind] for kind in best}


def _as_they_are(annotated: Annotated) -> list[str]:
    return list(annotated)


def _normalised(annotated: Annotated) -> list[str]:
    return [normalise(answer) for answer in annotated]


def _as_in_vqa(annotated: Annotated) -> list[str]:
    # parity: annotations are normalised only where they differ, and then in their punctuation alone, so that "dont"
    # never meets "don't" (tests/evaluate/test_answers.py, golden vqa_eval_lavis)
    if len(set(annotated)) == 1:
        return list(annotated)
    return [_normalise_punctuation(answer) for answer in annotated]


def _of_the_others(agreeing: int, annotators: int) -> float:
    """A third for each *other* annotator who agrees, at most one; the mean over annotators."""
    if not agreeing:
        return 0.0
    of_the_agreeing, of_the_others = min(1.0, (agreeing - 1) / 3), min(1.0, agreeing / 3)
    return (agreeing * of_the_agreeing + (annotators - agreeing) * of_the_others) / annotators


EXACT = Measure("exact match", "", str, _as_they_are, lambda agreeing, annotators: float(agreeing > 0))
NORMALISED = Measure("VQA-normalised match", "vqa_", normalise, _normalised, EXACT.credit)
VQA = Measure("VQA accuracy", "", normalise, _as_in_vqa, _of_the_others)


def measures_for(annotated: Sequence[Annotated]) -> tuple[Measure, ...]:
    """Returns by what the answers to Q questions are measured, the main measure first; nothing where none is known."""
    most = max(map(len, annotated))
    return {0: (), 1: (EXACT, NORMALISED)}.get(most, (VQA,))
