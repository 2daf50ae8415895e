"""Asks a model questions about one file and prints its answers."""

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from blipvid.bench.layout import print_table
from blipvid.core.types import Clip, Frames
from blipvid.data.answers import read_answer_file
from blipvid.inputs import check_clip, checked_questions
from blipvid.library import Model, load_model
from blipvid.media.sampling import SAMPLERS
from blipvid.media.transforms import is_picture
from blipvid.question_answers import SETTINGS, PossibleAnswer

if TYPE_CHECKING:
    from rich.console import Console

HEADS = ("question", "answer", "probability")
LEAST_SHOWN = 0.001

BY_LENGTH = (
    "The first answer is the one with the highest log-probability a token, which long answers win more easily; the "
    "others follow by probability."
)
BY_LOSS = "The answers stand in the order of their loss, the label-smoothed one of training, not of their probability."


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
        device: A torch device, or `auto`.
        sampler: Which frames; None takes `blip-compat`, in a window `uniform`.
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
    sampler: str | None
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
    checked_questions(asked.questions, SETTINGS)
    listed = None if asked.answers is None else read_answer_file(asked.answers)
    check_clip(Clip(asked.file.stem, asked.file, asked.start_s, asked.end_s))
    if asked.sampler is not None:
        SAMPLERS.get(asked.sampler)
    model = load_model(asked.model, asked.device)
    model.ask_for_answerer()
    # in a process of its own, for a hostile file may take its process down
    frames = model.read_frames(
        asked.file, asked.count, sampler=asked.sampler, start_s=asked.start_s, end_s=asked.end_s, workers=1
    )
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always", UserWarning)
        found = model.best_answers(frames, asked.questions, listed.answers if listed else None)
    how = (
        f"the best of {len(listed.answers):,} answers (rank:{listed.name})" if listed else "in its own words (generate)"
    )
    _print(console, _frames_words(asked.file, frames, model), f"Answered by {model.name}, {how}.")
    shown = [own[: asked.top] for own in found]
    lines = [line for question, own in zip(asked.questions, shown, strict=True) for line in _lines(question, own)]
    print_table(HEADS, lines, console, words=HEADS[:2])
    _print(console, *_remarks(asked, frames, shown), *frames.notes, *(str(warning.message) for warning in warned))


def _remarks(asked: Asking, frames: Frames, shown: Sequence[Sequence[PossibleAnswer]]) -> Iterator[str]:
    if any(one.probability < next_.probability for own in shown for one, next_ in pairwise(own)):
        yield BY_LENGTH if asked.answers is None else BY_LOSS
    different = len(set(frames.indices.tolist()))
    if different < asked.count and not is_picture(asked.file):
        yield (
            f"Different frames shown: {different:,}, not the {asked.count:,} asked for; '--sampler uniform' shows all "
            "that a short clip has."
        )


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
