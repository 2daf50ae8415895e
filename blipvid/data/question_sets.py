"""From entries to questions about clips: open ones, and multiple choice."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from blipvid.core.errors import DataError
from blipvid.core.types import AnswerList, ChoiceSet, QuestionSet
from blipvid.data.annotations import choose_column
from blipvid.data.entries import Entry, clips_of, positions, unique_ids
from blipvid.data.kinds import kind_of


def question_set(entries: Sequence[Entry], kinds: Mapping[str, str], answer_list: AnswerList | None) -> QuestionSet:
    """Makes a set of open questions, in the order of their rows.

    Args:
        entries: Rows with the fields `question` and `answer`. Answers stay as they are written.
        kinds: Names of annotated kinds, see `kinds.kind_of`.
        answer_list: What ranking chooses from.

    Raises:
        DataError: A question or answer is empty or not what it should be, an id occurs twice, or one clip is two files.
    """
    return QuestionSet(
        **_questions(entries, kinds),
        answers=tuple(entry.word("answer") for entry in entries),
        answer_list=answer_list,
    )


def choice_set(entries: Sequence[Entry], kinds: Mapping[str, str], columns: Sequence[str], source: Path) -> ChoiceSet:
    """Makes a set of multiple-choice questions, in the order of their rows.

    Args:
        entries: Rows with the field `answer`, which is an index from 0 or the right option's text; the field
            `question` may be absent, and then the options alone are the question.
        kinds: Names of annotated kinds, see `kinds.kind_of`.
        columns: The columns of the options; none where the field `options` holds a list of them.
        source: File of the rows, for messages.

    Raises:
        DataError: As in `question_set`; or there are fewer than two options, one is empty, or none is the right one.
    """
    for column in columns:
        choose_column(column, list(entries[0].row), source, "dataset.options")
    options = [_options(entry, columns) for entry in entries]
    by_index = _answers_are_indices(entries, options)
    right = [(_right_index if by_index else _right_text)(entry, of) for entry, of in zip(entries, options, strict=True)]
    return ChoiceSet(**_questions(entries, kinds), options=tuple(options), right=np.array(right, dtype=np.int64))


def _questions(entries: Sequence[Entry], kinds: Mapping[str, str]) -> dict[str, Any]:
    """What both kinds of set have in common, as their arguments."""
    clips = clips_of(entries)
    questions = tuple(
        entry.checked_text(entry.value("question"), "question") if "question" in entry.columns else ""
        for entry in entries
    )
    return {
        "clips": tuple(clips.values()),
        "questions": questions,
        "question_ids": unique_ids(((entry, entry.id()) for entry in entries), "question"),
        "question_clip": positions(clips, (entry.clip.id for entry in entries)),
        "kinds": tuple(kind_of(entry, question, kinds) for entry, question in zip(entries, questions, strict=True)),
    }


def _options(entry: Entry, columns: Sequence[str]) -> tuple[str, ...]:
    found = [entry.row.get(column) for column in columns] if columns else entry.value("options")
    if not isinstance(found, list):
        raise DataError(
            f"{entry.where}: '{entry.columns['options']}' is {type(found).__name__}, not a list of options; options in "
            "columns of their own are named by 'dataset.options'."
        )
    if len(found) < 2:
        raise DataError(f"{entry.where}: {len(found)} option is no choice; at least two are needed.")
    for k, option in enumerate(found):
        if isinstance(option, bool) or not isinstance(option, str | int):
            raise DataError(f"{entry.where}: option {k} is {option!r}; text or a whole number is expected.")
        if not str(option).strip():
            raise DataError(f"{entry.where}: option {k} is empty; fill it in or remove the row.")
    return tuple(str(option) for option in found)


def _answers_are_indices(entries: Sequence[Entry], options: Sequence[tuple[str, ...]]) -> bool:
    """Decides for the whole file, because a number may be the index of an option or the option itself."""
    values = [entry.value("answer") for entry in entries]
    numbers = [_is_whole_number(value) for value in values]
    texts = [isinstance(value, str) and value in of for value, of in zip(values, options, strict=True)]
    if all(numbers) and all(texts):
        raise DataError(
            f"{entries[0].where}: '{entries[0].columns['answer']}' may be the index of an option, from 0, or its text, "
            "here and in every other row; write indices as numbers in a json or jsonl file."
        )
    return sum(numbers) > sum(texts)


def _is_whole_number(value: Any) -> bool:
    return type(value) is int or (isinstance(value, str) and value.isdecimal())


def _right_index(entry: Entry, options: Sequence[str]) -> int:
    answer = entry.word("answer")
    if not answer.isdecimal() or int(answer) >= len(options):
        raise DataError(
            f"{entry.where}: the right option is '{answer}', but there are {len(options)}, counted from 0 to "
            f"{len(options) - 1}."
        )
    return int(answer)


def _right_text(entry: Entry, options: Sequence[str]) -> int:
    answer = entry.word("answer")
    found = [k for k, option in enumerate(options) if option == answer]
    if len(found) != 1:
        times = "is none of the options" if not found else "stands among the options more than once"
        raise DataError(f"{entry.where}: the right answer '{answer}' {times}: {', '.join(options)}.")
    return found[0]
