"""Asks a model questions about one file and prints its answers."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from blipvid.bench.layout import print_table
from blipvid.core.errors import ConfigError
from blipvid.core.types import Frames
from blipvid.data.answers import read_answer_file
from blipvid.library import Model, PossibleAnswer, check_questions, load_model, read_frames

if TYPE_CHECKING:
    from rich.console import Console

HEADS = ("question", "answer", "probability")
LEAST_SHOWN = 0.001


@dataclass(frozen=True, slots=True)
class Asking:
    """What the command line asked for.

    Attributes:
        file: A video or picture.
        questions: What is asked about it.
        model: Name or path of the model file.
        answers: File of the answers to choose from, one a line or JSON, or None for the model's own words.
        count: Frames asked for.
        top: Answers shown to each question; of the model's own words there are at most three.
        device: A torch device.
        start_s: Begin of the window in seconds, or None.
        end_s: End of the window in seconds, or None.
    """

    file: Path
    questions: Sequence[str]
    model: str
    answers: Path | None
    count: int
    top: int
    device: str
    start_s: float | None
    end_s: float | None


def show_answers(asked: Asking, console: "Console") -> None:
    """Answers questions about one file: the best answers to each, and what they were made from.

    Args:
        asked: The file, the questions and how to go about them.
        console: Where to print.

    Raises:
        ConfigError: An empty question, no such file or model, or frames that do not fit it.
        DataError: The list of answers is empty, or names one twice.
        CapabilityError: The model answers no questions.
        DecodeError: The file gives no trustworthy frames.
    """
    check_questions(asked.questions)
    listed = None if asked.answers is None else read_answer_file(asked.answers)
    if not asked.file.is_file():
        raise ConfigError(f"{asked.file}: no such file.")
    model = load_model(asked.model, asked.device)
    model.ask_for_answerer()
    # in a process of its own, for a hostile file may take its process down
    frames = read_frames(asked.file, asked.count, model.image_size, start_s=asked.start_s, end_s=asked.end_s, workers=1)
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always", UserWarning)
        found = model.best_answers(frames, asked.questions, listed.answers if listed else None)
    how = (
        f"the best of {len(listed.answers):,} answers (rank:{listed.name})" if listed else "in its own words (generate)"
    )
    _print(console, _frames_words(asked.file, frames, model), f"Answered by {model.name}, {how}.")
    lines = [
        line
        for question, own in zip(asked.questions, found, strict=True)
        for line in _lines(question, own[: asked.top])
    ]
    print_table(HEADS, lines, console, words=HEADS[:2])
    _print(console, *frames.notes, *(str(warning.message) for warning in warned))


def _print(console: "Console", *sentences: str) -> None:
    for sentence in sentences:
        console.print(sentence, markup=False, highlight=False, soft_wrap=True)


def _frames_words(file: Path, frames: Frames, model: Model) -> str:
    numbers = ", ".join(map(str, frames.indices.tolist()))
    window = f"{frames.times_s.min():.1f} to {frames.times_s.max():.1f} s"
    return f"{file.name}: frames {numbers} ({window}), {model.image_size} px, read by {frames.backend}."


def _lines(question: str, answers: Sequence[PossibleAnswer]) -> list[list[str]]:
    """Returns a line an answer; the question stands in the first."""
    asked = [question, *[""] * (len(answers) - 1)]
    return [[one, answer.text, _percent(answer.probability)] for one, answer in zip(asked, answers, strict=True)]


def _percent(probability: float) -> str:
    return f"{100 * probability:.1f}%" if probability >= LEAST_SHOWN else f"< {100 * LEAST_SHOWN:g}%"
