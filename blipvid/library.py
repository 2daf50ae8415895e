"""blipvid from Python: load a model, read the frames of a file, ask questions about them.

```python
import blipvid

model = blipvid.load_model("blip-vqa-capfilt-large", image_size=384)
model.answer("clip.mp4", ["what is he doing?"])
model.best_answers(blipvid.read_frames("clip.mp4", size=384), ["what is he doing?"], answers=["running", "cooking"])
```
"""

import math
import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt
import torch

from blipvid.core.config import validate
from blipvid.core.errors import BlipvidError, CapabilityError, ConfigError, DecodeError
from blipvid.core.features import Features, QuestionStates
from blipvid.core.protocols import Answerer, ImageEncoder
from blipvid.core.settings import AnsweringSettings, FrameSettings
from blipvid.core.text import clean_question
from blipvid.core.types import Clip, Frames
from blipvid.evaluate.features import lift_frames, scale_pixels
from blipvid.media.loader import load_clips
from blipvid.models import zoo
from blipvid.models.checkpoints import KeyReport
from blipvid.models.spec import ModelSpec

PUBLISHED_FRAMES = 16  # Source: arXiv:2201.12086, section 5.6: frames of a clip for question answering

FRAMES_AT_ONCE = 32
"""Frames that go through the vision tower together; bounds memory, changes nothing else."""

NAMED = 40
"""Letters of a question that a warning quotes."""

SETTINGS = AnsweringSettings()
"""How questions are answered here: as a benchmark does that says nothing else."""

Pictures: TypeAlias = Frames | npt.NDArray[np.uint8] | str | Path
"""Frames as read, an array (N, H, W, 3) uint8 RGB, or the path of a video or picture."""


@dataclass(frozen=True, slots=True)
class PossibleAnswer:
    """One answer of several.

    Attributes:
        text: The answer.
        probability: Of the whole answer, its end included, in [0, 1]. Those of several answers need not add up to 1.
    """

    text: str
    probability: float


class Model:
    """A loaded model, with what it can be asked.

    Attributes:
        name: Name of the model file.
        spec: The model file.
        image_size: Side in pixels of the pictures it takes.
        sha256: Of the checkpoint file.
        report: What became of each key of the checkpoint.
        model: The torch module, in evaluation mode.
    """

    def __init__(self, loaded: zoo.LoadedModel) -> None:
        self.spec: ModelSpec = loaded.spec
        self.name: str = loaded.spec.name
        self.image_size: int = loaded.image_size
        self.sha256: str = loaded.sha256
        self.report: KeyReport = loaded.report
        self.model: torch.nn.Module = loaded.model

    def __repr__(self) -> str:
        return f"Model({self.name!r}, image_size={self.image_size})"

    def answer(self, frames: Pictures, questions: Sequence[str]) -> list[str]:
        """Answers questions about one clip in the model's own words.

        Args:
            frames: One clip; a path is decoded to 16 frames of the model's size.
            questions: Q questions.

        Returns:
            Q answers, found by beam search with the published settings.

        Raises:
            CapabilityError: The model answers no questions.
            ConfigError: An empty question or none, or frames that do not fit the model.
            DecodeError: The file gives no trustworthy frames.
        """
        return [answers[0].text for answers in self.best_answers(frames, questions)]

    @torch.inference_mode()
    def best_answers(
        self, frames: Pictures, questions: Sequence[str], answers: Sequence[str] | None = None
    ) -> list[list[PossibleAnswer]]:
        """Gives several answers to each question about one clip.

        Args:
            frames: One clip; a path is decoded to 16 frames of the model's size.
            questions: Q questions.
            answers: What to choose from, no two alike; None lets the model find words of its own.

        Returns:
            For each question its answers, the best first. Those of the model's own words come in the order of the beam
            search, which is that of the log-probability a token; those of a list in the order of their loss, a sum over
            tokens that prefers short answers. At most 128 of a list, chosen by their first token, are scored.

        Raises:
            CapabilityError: The model answers no questions.
            ConfigError: An empty question or none, an empty list of answers or one with two alike, or frames that do
                not fit the model.
            DecodeError: The file gives no trustworthy frames.
        """
        check_questions(questions)
        if answers is not None:
            _check_answers(answers)
        model = self.ask_for_answerer()
        states = self._read(model, self._see(frames), questions)
        if answers is None:
            found = model.generate_answers(
                states, SETTINGS.beams, SETTINGS.answer_max_tokens, SETTINGS.answer_min_tokens
            )
            return [[PossibleAnswer(one.text, math.exp(one.logprob)) for one in own] for own in found]
        ranked = model.rank_answers(states, model.list_answers(answers), SETTINGS.answer_top_k)
        # of equal losses the answer that stands earlier in the list comes first
        orders = np.lexsort((ranked.index.numpy(), ranked.losses.numpy()), axis=1)
        return [
            [PossibleAnswer(answers[int(index[k])], math.exp(logprobs[k])) for k in order]
            for index, logprobs, order in zip(ranked.index, ranked.logprobs, orders.tolist(), strict=True)
        ]

    def ask_for_answerer(self) -> Answerer:
        """Returns the torch module as one that answers questions.

        Raises:
            CapabilityError: It answers none.
        """
        if not isinstance(self.model, Answerer):
            raise CapabilityError(
                f"model '{self.name}' is a {self.spec.task} model and answers no questions; choose a vqa model "
                "('blipvid models list')."
            )
        return self.model

    def _see(self, frames: Pictures) -> torch.Tensor:
        """Returns the tokens of one clip (N*T, D)."""
        assert isinstance(self.model, ImageEncoder)
        if isinstance(frames, str | Path):
            frames = read_frames(frames, size=self.image_size)
        device = str(next(self.model.parameters()).device)
        pixels = scale_pixels(self._fitting(frames), SETTINGS.black_clips, device)
        parts = [self.model.encode_images(part) for part in pixels.split(FRAMES_AT_ONCE)]
        whole = Features(torch.cat([part.tokens for part in parts]), torch.cat([part.embeds for part in parts]))
        return lift_frames(whole).tokens[0]

    def _fitting(self, frames: Frames | npt.NDArray[np.uint8]) -> Frames:
        if not isinstance(frames, Frames):
            frames = _frames_of(frames)
        height, width = frames.pixels.shape[1:3]
        if (height, width) == (self.image_size, self.image_size):
            return frames
        if height == width:
            advice = f"load it with load_model('{self.name}', image_size={height}), or read the frames at its size"
        else:
            advice = f"make them square, as read_frames(path, size={self.image_size}) does"
        raise ConfigError(
            f"the frames have {width} x {height} px, but model '{self.name}' takes {self.image_size} x "
            f"{self.image_size} px; {advice}."
        )

    def _read(self, model: Answerer, tokens: torch.Tensor, questions: Sequence[str]) -> QuestionStates:
        cleaned = [clean_question(question, SETTINGS.question_words) for question in questions]
        states = model.read_questions(model.remember(tokens), cleaned, SETTINGS.question_tokens)
        for question, short, cut in zip(questions, cleaned, states.cut.tolist(), strict=True):
            if cut or short != clean_question(question, len(question)):
                most = min(SETTINGS.question_tokens, self.spec.text.max_positions)
                warnings.warn(
                    f"only the begin of the question '{question[:NAMED]}...' was read: the first "
                    f"{SETTINGS.question_words} words, and of these {most} word pieces",
                    stacklevel=4,
                )
        if not states.states.isfinite().all():
            raise BlipvidError(
                f"model '{self.name}' gives numbers that are not finite; try precision fp32, and check the checkpoint."
            )
        return states


def load_model(name: str, device: str = "cpu", precision: str = "fp32", image_size: int | None = None) -> Model:
    """Loads a model with its weights; released ones are downloaded once.

    Args:
        name: A shipped name ('blipvid models list'), or the path of a model file.
        device: A torch device, for instance `cuda`.
        precision: `fp32`, `bf16` or `fp16` for the encoders.
        image_size: Side in pixels of the pictures it shall take; None takes the size it was trained on.

    Raises:
        ConfigError: No such model or precision, or a wrong model file.
        CheckpointError: The weights cannot be fetched, are damaged, are not the ones named, or do not fit.
        CapabilityError: This version has no model for the task.
    """
    return Model(zoo.load_model(name, device=device, precision=precision, image_size=image_size))


def read_frames(
    path: str | Path,
    count: int = PUBLISHED_FRAMES,
    size: int = 384,
    *,
    sampler: str = "blip-compat",
    resize: Literal["decoder", "bicubic"] = "decoder",
    backend: str = "auto",
    start_s: float | None = None,
    end_s: float | None = None,
    workers: int = 0,
) -> Frames:
    """Reads the frames of one video or picture, as a benchmark does.

    Args:
        path: The file.
        count: Frames asked for (N).
        size: Side of the square pictures in pixels; the aspect ratio is not kept.
        sampler: Which frames, for instance `blip-compat`, `uniform`, `midpoint`.
        resize: How they are brought to size, see `FrameSettings`.
        backend: `auto`, `decord`, `pyav`, or the name of an announced reader.
        start_s: Begin of the window in seconds; None is the begin of the file.
        end_s: End of the window in seconds; None is the end of the file.
        workers: 0 decodes in this process; 1 in one of its own, which a damaged file may take down instead.

    Returns:
        Pixels (N, size, size, 3) uint8 RGB, frame numbers, times and notes.

    Raises:
        ConfigError: No such file, sampler or reader, or a number that cannot be.
        DecodeError: The file gives no trustworthy frames.
    """
    path = Path(path)
    asked = {"sampler": sampler, "count": count, "size": size, "resize": resize, "backend": backend}
    settings = validate(FrameSettings, asked, "read_frames")
    if not path.is_file():
        raise ConfigError(f"{path}: no such file.")
    ((_, frames),) = load_clips([Clip(path.stem, path, start_s, end_s)], settings, workers)
    if isinstance(frames, DecodeError):
        raise frames
    return frames


def check_questions(questions: Sequence[str]) -> None:
    """Makes sure that there is something to answer.

    Raises:
        ConfigError: No question, or one without a word.
    """
    if isinstance(questions, str):
        raise ConfigError(f"questions are a list, and one stands alone: write ['{questions}'].")
    if not questions:
        raise ConfigError("there is no question to answer; give at least one.")
    for number, question in enumerate(questions, start=1):
        if not clean_question(question, SETTINGS.question_words).strip():
            raise ConfigError(f"question {number} is empty ('{question}'); ask something in words.")


def _check_answers(answers: Sequence[str]) -> None:
    if isinstance(answers, str) or not answers:
        raise ConfigError("the answers to choose from are a list of at least one text.")
    if not all(answer.strip() for answer in answers):
        raise ConfigError("one of the answers to choose from is empty; remove it.")
    if twice := [answer for answer, times in Counter(answers).items() if times > 1]:
        raise ConfigError(f"the answer '{twice[0]}' stands twice among those to choose from; remove one.")


def _frames_of(pixels: npt.NDArray[np.uint8]) -> Frames:
    if not isinstance(pixels, np.ndarray) or pixels.ndim != 4 or pixels.shape[3] != 3 or not pixels.size:
        shape = pixels.shape if isinstance(pixels, np.ndarray) else type(pixels).__name__
        raise ConfigError(f"frames are an array (N, H, W, 3) of at least one RGB picture; this is {shape}.")
    if pixels.dtype != np.uint8:
        raise ConfigError(f"frames are uint8 from 0 to 255; these are {pixels.dtype}.")
    return Frames(pixels, np.arange(len(pixels)), np.zeros(len(pixels)), backend="array")
