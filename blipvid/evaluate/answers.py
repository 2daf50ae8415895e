"""Compares answers as strings: the normalisation of the VQA v2 evaluation, its accuracy, and what guessing would give.

Exact match needs nothing from here: it is equality of prediction and annotation, as they are.
"""

import re
from collections import Counter
from collections.abc import Collection, Sequence

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


def normalise(answer: str) -> str:
    """Normalises an answer as the VQA v2 evaluation does.

    Lower case; punctuation away; number words up to ten as digits, `none` as 0; no articles; apostrophes mended; single
    blanks. The result may be empty.
    """
    stripped = answer.replace("\n", " ").replace("\t", " ").strip()
    return _normalise_words(_normalise_punctuation(stripped))


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


def vqa_accuracy(prediction: str, annotated: Sequence[str]) -> float:
    """Scores one prediction against the answers of several annotators, ten in VQA v2.

    Args:
        prediction: As the model gave it.
        annotated: One answer an annotator.

    Returns:
        Percent: for each annotator, a third for each *other* one who agrees with the prediction, at most one; the mean
        over annotators.
    """
    # parity: annotations are normalised only where they differ, and then in their punctuation alone, so that "dont"
    # never meets "don't" (tests/evaluate/test_answers.py, golden vqa_eval_lavis)
    if len(set(annotated)) > 1:
        annotated = [_normalise_punctuation(answer) for answer in annotated]
    agrees = [answer == normalise(prediction) for answer in annotated]
    return 100 * sum(min(1.0, (sum(agrees) - own) / 3) for own in agrees) / len(annotated)


def coverage(answers: Sequence[str], listed: Collection[str]) -> float:
    """Returns the percentage of right answers that a list holds: the most that ranking it can match exactly."""
    known = set(listed)
    return 100 * sum(answer in known for answer in answers) / len(answers)


def commonest(answers: Sequence[str], kinds: Sequence[str]) -> dict[str, float]:
    """Says how well the commonest answer of its kind would do as the answer to every question.

    Args:
        answers: Q right answers.
        kinds: Q kinds.

    Returns:
        Percent right over `all` questions, then for each kind, the most frequent first.
    """
    counts: dict[str, Counter[str]] = {kind: Counter() for kind, _ in Counter(kinds).most_common()}
    for answer, kind in zip(answers, kinds, strict=True):
        counts[kind][answer] += 1
    hits = {kind: max(of_kind.values()) for kind, of_kind in counts.items()}
    of_kinds = {kind: 100 * hits[kind] / of_kind.total() for kind, of_kind in counts.items()}
    return {"all": 100 * sum(hits.values()) / len(answers), **of_kinds}
