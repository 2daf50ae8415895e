"""From entries to questions about clips: open ones, and multiple choice."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from blipvid.core.errors import DataError
from blipvid.core.text import clean_question
from blipvid.core.types import AnswerList, ChoiceSet, QuestionSet
from blipvid.data.annotations import choose_column
from blipvid.data.entries import Entry, clips_of, positions, unique_ids
from blipvid.data.kinds import kind_of


def question_set(entries: Sequence[Entry], kinds: Mapping[str, str], answer_list: AnswerList | None) -> QuestionSet:
    """Makes a set of open questions, in the order of their rows.

    Args:
        entries: Rows with the field `question`, and `answer` unless nobody may know the answers: text, or a list of
            what several annotators answered. Answers stay as they are written.
        kinds: Names of annotated kinds, see `kinds.kind_of`.
        answer_list: What ranking chooses from.

    Raises:
        DataError: A question or answer is empty or not what it should be, some questions have the answers of several
            annotators and others of one, an id occurs twice, or one clip is two files.
    """
    return QuestionSet(
        **_questions(entries, kinds),
        answers=_answers(entries),
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
    given = [_options(entry, columns) for entry in entries]
    options = [tuple(map(str, of)) for of in given]
    by_index = _answers_are_indices(entries, given, options)
    right = [(_right_index if by_index else _right_text)(entry, of) for entry, of in zip(entries, options, strict=True)]
    return ChoiceSet(**_questions(entries, kinds), options=tuple(options), right=np.array(right, dtype=np.int64))


def _questions(entries: Sequence[Entry], kinds: Mapping[str, str]) -> dict[str, Any]:
    """What both kinds of set have in common, as their arguments."""
    clips = clips_of(entries)
    questions = tuple(_question(entry) if "question" in entry.columns else "" for entry in entries)
    return {
        "clips": tuple(clips.values()),
        "questions": questions,
        "question_ids": unique_ids(((entry, entry.id()) for entry in entries), "question"),
        "question_clip": positions(clips, (entry.clip.id for entry in entries)),
        "kinds": tuple(kind_of(entry, question, kinds) for entry, question in zip(entries, questions, strict=True)),
    }


def _answers(entries: Sequence[Entry]) -> tuple[tuple[str, ...], ...]:
    if "answer" not in entries[0].columns:
        return ((),) * len(entries)
    found = tuple(_annotated(entry) for entry in entries)
    for entry, own in zip(entries, found, strict=True):
        if (len(own) == 1) != (len(found[0]) == 1):
            raise DataError(
                f"{entry.where}: has {len(own)} annotators' answers, but {entries[0].where} has {len(found[0])}; the "
                "answers of one annotator and of several are measured differently, so evaluate them apart."
            )
    return found


def _annotated(entry: Entry) -> tuple[str, ...]:
    """Returns one answer, or one an annotator; of several annotators one may have said nothing."""
    value = entry.value("answer")
    if not isinstance(value, list):
        return (entry.word("answer"),)
    if not value:
        raise DataError(f"{entry.where}: the list of answers '{entry.columns['answer']}' is empty; remove the row.")
    found = [one.get("answer") if isinstance(one, dict) else one for one in value]  # as in the files of VQA v2
    if odd := [one for one in found if isinstance(one, bool) or not isinstance(one, str | int)]:
        raise DataError(
            f"{entry.where}: an annotator's answer in '{entry.columns['answer']}' is {odd[0]!r}; text or a whole "
            "number is expected, or an object that holds it as 'answer'."
        )
    return tuple(map(str, found))


def _question(entry: Entry) -> str:
    question = entry.checked_text(entry.value("question"), "question")
    if not clean_question(question, len(question)).strip():
        raise DataError(
            f"{entry.where}: clip '{entry.clip.id}' has the question '{question}', of which cleaning leaves nothing; "
            "fill it in or remove it."
        )
    return question


def _options(entry: Entry, columns: Sequence[str]) -> list[str | int]:
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
    return found


def _answers_are_indices(
    entries: Sequence[Entry], given: Sequence[list[str | int]], options: Sequence[tuple[str, ...]]
) -> bool:
    """Decides for the whole file, because a number may be the index of an option or the option itself.

    Raises:
        DataError: More rows may be read either way, with different results, than one way only.
    """
    indices, texts, either = [], [], []
    for entry, raw, of in zip(entries, given, options, strict=True):
        value = entry.value("answer")
        indices.append(type(value) in (int, str) and str(value).isdecimal() and int(value) < len(of))
        # a JSON number is no option where options are text
        texts.append(value in (of if isinstance(value, str) else raw))
        either.append(indices[-1] and texts[-1] and of[int(value)] != str(value))
    one_way = sum(index != text for index, text in zip(indices, texts, strict=True))
    if sum(either) > one_way:
        first = entries[either.index(True)]
        raise DataError(
            f"{first.where}: the answer '{first.value('answer')}' may be the index of an option, from 0, or its text, "
            f"as in {sum(either):,} of {len(entries):,} rows; write the index as a number and options as text, in a "
            "json or jsonl file."
        )
    return sum(indices) > sum(texts)


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
