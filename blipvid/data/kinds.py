"""Kinds, by which figures are also given: what the annotations say, or else, of questions, the question word."""

import re
from collections.abc import Mapping

from blipvid.core.errors import DataError
from blipvid.data.entries import Entry

QUESTION_WORDS = frozenset({"what", "who", "whom", "whose", "which", "how", "when", "where", "why"})
VERBS = frozenset(
    {"is", "are", "was", "were", "am", "do", "does", "did", "has", "have", "had", "can", "could"}
    | {"will", "would", "shall", "should", "may", "might", "must"}
)
"""A question that begins with one of them asks for yes or no."""

YES_NO, OTHER = "yes/no", "other"
ALL = "all"
"""Stands for all kinds together in tables, so no kind may be called that."""


def kind_of(entry: Entry, question: str, names: Mapping[str, str]) -> str:
    """Returns the kind of one question.

    Args:
        entry: Its row; where the field `kind` is mapped, that value counts.
        question: The question as annotated, or nothing.
        names: What values of `kind` begin with -> name of the kind; where there are none, a value is its own name.

    Raises:
        DataError: The annotated kind is empty, has no name among `names`, or is the reserved word `all`.
    """
    return annotated_kind(entry, names) if "kind" in entry.columns else kind_by_first_word(question)


def annotated_kind(entry: Entry, names: Mapping[str, str]) -> str:
    """Returns the kind that the mapped field `kind` states; for the rest see `kind_of`."""
    value = entry.word("kind")
    beginnings = [one for one in names if value.startswith(one)]
    if names and not beginnings:
        raise DataError(
            f"{entry.where}: '{entry.columns['kind']}' is '{value}', which begins with none of "
            f"{', '.join(map(repr, names))}; add it to 'dataset.kinds'."
        )
    kind = names[max(beginnings, key=len)] if names else value
    if kind == ALL:
        raise DataError(f"{entry.where}: the kind '{ALL}' stands for all kinds together; name it otherwise.")
    return kind


def kind_by_first_word(question: str) -> str:
    """Returns the question word that a question begins with, `yes/no` where it begins with a verb, or `other`.

    What stands before the word and how it is written does not count: `"What's he doing?"` is a `what`.
    """
    first = re.match(r"\W*([a-z]+)", question.lower())
    word = first[1] if first else ""
    if word in QUESTION_WORDS:
        return word
    return YES_NO if word in VERBS else OTHER
