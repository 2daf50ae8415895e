"""Cleaning of captions and questions, exactly as the official BLIP code does it, and other ways with words.

Not tokenisation: that is `models/tokenizer.py`. Answers are never cleaned (the released answer lists are stemmed and
must be matched as they are).
"""

import re
from collections.abc import Iterable

_PUNCTUATION = r"([.!\"()*#:;~])"


def clean_caption(caption: str, max_words: int) -> str:
    """Cleans one caption.

    Lower-cases; turns each of ``. ! " ( ) * # : ; ~`` into a blank; folds runs of two or more white-space characters
    into one blank (a single tab or newline survives); strips newlines at the end, then blanks at both ends; keeps the
    first `max_words` words, split at single blanks. Commas, apostrophes, hyphens, `?` and `/` stay.

    Args:
        caption: The caption as annotated.
        max_words: Words to keep (video retrieval 40, COCO and Flickr30K 30).

    Returns:
        The cleaned caption.

    Source: salesforce/BLIP data/utils.py, `pre_caption`.
    """
    caption = re.sub(_PUNCTUATION, " ", caption.lower())
    caption = re.sub(r"\s{2,}", " ", caption)
    caption = caption.rstrip("\n").strip(" ")
    words = caption.split(" ")
    return " ".join(words[:max_words]) if len(words) > max_words else caption


def clean_question(question: str, max_words: int) -> str:
    """Cleans one question.

    Lower-cases and deletes the characters that `clean_caption` turns into blanks; strips blanks at the end only and
    folds nothing; keeps the first `max_words` words, split at single blanks.

    Args:
        question: The question as annotated.
        max_words: Words to keep (50 in the official code).

    Returns:
        The cleaned question.

    Source: salesforce/BLIP data/utils.py, `pre_question`.
    """
    return " ".join(_words_of(question)[:max_words])


def loses_words(question: str, max_words: int) -> bool:
    """Says whether `clean_question` keeps only the begin of a question."""
    return len(_words_of(question)) > max_words


def exchange_sides(sentence: str) -> str:
    """Exchanges the words left and right; one with a sign at its end, such as `right?`, is not seen.

    Source: salesforce/BLIP data/nlvr_dataset.py.
    """
    other = {"left": "right", "right": "left"}
    return " ".join(other.get(one, one) for one in sentence.split(" "))


def write_dialog(history: Iterable[tuple[str, str]], question: str) -> str:
    """Writes a dialog up to a question: `is it sunny? yes. how many?`; the answer comes behind it after a blank.

    Nothing was released that says how BLIP wrote it.

    Args:
        history: Question and answer of each earlier round.
        question: Without its sign.
    """
    return "".join(f"{asked}? {answer}. " for asked, answer in history) + f"{question}?"


def _words_of(question: str) -> list[str]:
    return re.sub(_PUNCTUATION, "", question.lower()).rstrip(" ").split(" ")
