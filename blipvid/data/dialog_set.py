"""From entries to dialogs about captioned pictures, of which every round is asked."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from blipvid.core.errors import DataError
from blipvid.core.text import clean_caption
from blipvid.core.types import DialogSet
from blipvid.data.entries import Entry, clips_of, positions

UNKNOWN = -1
"""Stands for the right answer where it is not annotated."""


def dialog_set(entries: Sequence[Entry]) -> DialogSet:
    """Makes the set: pictures in the order of their first row, rounds in the order of the rows.

    Args:
        entries: Rows with the fields `caption`, `question` and `options`, a list of texts. `answer` is the index of the
            right one, from 0; `history` a list of earlier questions, each with its answer; `round` the number of the
            round, which is otherwise counted; `relevance` a list of numbers from 0 to 1, one an option, or nothing.

    Raises:
        DataError: A value is missing or not what it should be, a picture has two captions or is two files, or a round
            stands twice in one dialog.
    """
    clips = clips_of(entries)
    answers: dict[str, int] = {}
    candidates = [_candidates(entry, answers) for entry in entries]
    histories = tuple(_history(entry) if "history" in entry.columns else () for entry in entries)
    return DialogSet(
        clips=tuple(clips.values()),
        captions=_captions(entries),
        round_clip=positions(clips, (entry.clip.id for entry in entries)),
        round_number=_numbers(entries),
        histories=histories,
        questions=tuple(entry.checked_text(entry.value("question"), "question") for entry in entries),
        listed_answers=tuple(answers),
        candidates=tuple(candidates),
        right=np.array([_right(entry, len(of)) for entry, of in zip(entries, candidates, strict=True)], np.int64),
        relevance=tuple(_relevance(entry, len(of)) for entry, of in zip(entries, candidates, strict=True)),
    )


def _captions(entries: Sequence[Entry]) -> tuple[str, ...]:
    found: dict[str, str] = {}
    for entry in entries:
        caption = entry.checked_text(entry.value("caption"), "caption")
        if not clean_caption(caption, len(caption)):
            raise DataError(f"{entry.where}: cleaning leaves nothing of the caption '{caption}'; fill it in.")
        if found.setdefault(entry.clip.id, caption) != caption:
            raise DataError(
                f"{entry.where}: picture '{entry.clip.id}' has two captions, '{found[entry.clip.id]}' and '{caption}'; "
                "a dialog stands under one."
            )
    return tuple(found.values())


def _numbers(entries: Sequence[Entry]) -> npt.NDArray[np.int64]:
    """Returns the number of each round in its dialog, from 1."""
    met: dict[str, set[int]] = {}
    found = []
    for entry in entries:
        own = met.setdefault(entry.clip.id, set())
        number = len(own) + 1
        if "round" in entry.columns:
            word = entry.word("round")
            number = int(word) if word.isdecimal() else 0
        if number < 1 or number in own:
            raise DataError(
                f"{entry.where}: '{entry.columns['round']}' is {entry.value('round')!r}; rounds of a dialog are "
                "numbered from 1, each once."
            )
        own.add(number)
        found.append(number)
    return np.array(found, np.int64)


def _history(entry: Entry) -> tuple[tuple[str, str], ...]:
    value = entry.value("history")
    if isinstance(value, list) and all(_is_exchange(one) for one in value):
        return tuple((question, answer) for question, answer in value)
    raise DataError(
        f"{entry.where}: '{entry.columns['history']}' is no list of questions with answers; "
        'write [["is it sunny", "yes"]], or [] before the first round.'
    )


def _is_exchange(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(isinstance(text, str) for text in value)


def _candidates(entry: Entry, answers: dict[str, int]) -> npt.NDArray[np.int64]:
    """Returns where the options of a round stand among all answers, to which new ones are added."""
    options = entry.value("options")
    if not isinstance(options, list) or len(options) < 2:
        raise DataError(
            f"{entry.where}: '{entry.columns['options']}' is no list of two or more answers; list all candidates."
        )
    for k, option in enumerate(options):
        if not isinstance(option, str) or not option.strip():
            raise DataError(f"{entry.where}: option {k} is {option!r}; text is expected.")
    return np.array([answers.setdefault(option, len(answers)) for option in options], np.int64)


def _right(entry: Entry, n_options: int) -> int:
    if "answer" not in entry.columns:
        return UNKNOWN
    answer = entry.word("answer")
    if not answer.isdecimal() or int(answer) >= n_options:
        raise DataError(
            f"{entry.where}: the right option is '{answer}', but there are {n_options}, counted from 0 to "
            f"{n_options - 1}."
        )
    return int(answer)


def _relevance(entry: Entry, n_options: int) -> npt.NDArray[np.float64] | None:
    value = entry.value("relevance") if "relevance" in entry.columns else None
    if value is None:
        return None
    if not isinstance(value, list) or len(value) != n_options:
        found = len(value) if isinstance(value, list) else type(value).__name__
        raise DataError(f"{entry.where}: 'relevance' holds {found}, not {n_options} numbers, one an option.")
    if not all(isinstance(one, int | float) and math.isfinite(one) and one >= 0 for one in value) or not any(value):
        raise DataError(f"{entry.where}: 'relevance' needs numbers of which none is negative and one is above 0.")
    return np.array(value, np.float64)
