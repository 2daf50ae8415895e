"""What a person hands over from Python, turned into what the rest works on; everything else ends in one sentence."""

import math
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from blipvid.core.errors import ConfigError
from blipvid.core.settings import QuestionReading
from blipvid.core.text import clean_question
from blipvid.core.types import Clip, Frames
from blipvid.data.answers import checked_answer_list

Pictures: TypeAlias = Frames | npt.NDArray[np.uint8] | str | Path
"""Frames as read, an array (N, H, W, 3) uint8 RGB, or the path of a video or picture."""


def checked_questions(questions: Iterable[str], reading: QuestionReading) -> list[str]:
    """Returns the questions as a list.

    Raises:
        ConfigError: No question, or one without a word; one that is no text.
    """
    found = _texts("questions", questions)
    if not found:
        raise ConfigError("there is no question to answer; give at least one.")
    for number, question in enumerate(found, start=1):
        if not clean_question(question, reading.question_words).strip():
            raise ConfigError(f"question {number} is empty ('{question}'); ask something in words.")
    return found


def checked_answers(answers: Iterable[str]) -> list[str]:
    """Returns the answers to choose from as a list.

    Raises:
        ConfigError: One of them is no text.
        DataError: There are none, one is empty, or one occurs twice.
    """
    return list(checked_answer_list("answers", _texts("answers", answers), Path("answers")).answers)


def checked_texts(texts: Iterable[str]) -> list[str]:
    """Returns the texts to embed as a list.

    Raises:
        ConfigError: No text, or something that is none.
    """
    found = _texts("texts", texts)
    if not found:
        raise ConfigError("there is no text to embed; give at least one.")
    return found


def checked_clips(clips: Iterable[Pictures]) -> list[Pictures]:
    """Returns the clips to embed as a list; what each is will be asked when its turn comes.

    Raises:
        ConfigError: No clip, or one that stands alone.
    """
    if isinstance(clips, str | Path | Frames) or (isinstance(clips, np.ndarray) and clips.ndim == 4):
        raise ConfigError("clips are a list, and one stands alone: write [clip].")
    found = list(clips)
    if not found:
        raise ConfigError("there is no clip to embed; give at least one.")
    return found


def _texts(what: str, given: Iterable[str]) -> list[str]:
    if isinstance(given, str):
        raise ConfigError(f"{what} are a list, and one stands alone: write ['{given}'].")
    try:
        found = list(given)
    except TypeError as error:  # no iterable, or an array without an axis
        raise ConfigError(f"{what} are a list of texts; this is {type(given).__name__}.") from error
    for number, one in enumerate(found, start=1):
        if not isinstance(one, str):
            raise ConfigError(f"{what} are a list of texts; number {number} is {type(one).__name__} ({one!r}).")
    return [str(one) for one in found]  # numpy has a text type of its own


def check_clip(clip: Clip) -> None:
    """Makes sure that there is a file, and that its window has a length.

    Raises:
        ConfigError: There is none, or it has none.
    """
    if clip.path.is_dir():
        raise ConfigError(f"{clip.path}: is a folder, not a file; name a video or picture in it.")
    if not clip.path.is_file():
        raise ConfigError(f"{clip.path}: no such file; check the path.")
    start, end = clip.start_s or 0.0, math.inf if clip.end_s is None else clip.end_s
    if not 0 <= start < end:
        raise ConfigError(f"the window from {start:g} s to {end:g} s holds nothing; its end has to be after its start.")


def checked_frames(frames: Frames | npt.NDArray[np.uint8]) -> Frames:
    """Returns frames whose pixels torch can take: in one piece and writable, copied where they are not.

    Raises:
        ConfigError: Something else than RGB pictures of bytes.
    """
    if not isinstance(frames, Frames):
        frames = _frames_of(frames)
    return replace(frames, pixels=np.require(frames.pixels, requirements=["C", "W"]))


def _frames_of(pixels: npt.NDArray[np.uint8]) -> Frames:
    if not isinstance(pixels, np.ndarray) or pixels.ndim != 4 or pixels.shape[3] != 3 or not pixels.size:
        shape = pixels.shape if isinstance(pixels, np.ndarray) else type(pixels).__name__
        raise ConfigError(f"frames are an array (N, H, W, 3) of at least one RGB picture; this is {shape}.")
    if pixels.dtype != np.uint8:
        raise ConfigError(f"frames are uint8 from 0 to 255; these are {pixels.dtype}.")
    return Frames(pixels, np.arange(len(pixels)), np.zeros(len(pixels)), backend="array")
