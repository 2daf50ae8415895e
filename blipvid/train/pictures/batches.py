"""What objectives are fed with: pictures with captions, questions, sentences about two of them, or dialogs.

Drawing and loading ahead is in `images.py`; this says only what is asked for and how it is put together.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Generic, TypeVar

import numpy as np
import numpy.typing as npt
import torch

from blipvid.core.errors import DataError
from blipvid.core.registry import Registry

B = TypeVar("B")

DrawBatch = Callable[..., tuple[npt.NDArray[np.uint8], Sequence[Any]]]
"""draw(rng, count, size_px, **options) -> pixels (B, S, S, 3) uint8 RGB, and what is said of each of the B pictures."""

Asked = tuple[str, Mapping[str, float]]
"""A question, and its answers with their weights."""


@dataclass(frozen=True, slots=True)
class Feed(Generic[B]):
    """One kind of training data.

    Attributes:
        sources: Where it can come from.
        gather: Makes a batch of pixels, of what a source says of each picture, and of the pictures' ids (B,) int64
            where the source has any.
    """

    sources: Registry[DrawBatch]
    gather: Callable[[torch.Tensor, Sequence[Any], torch.Tensor | None], B]


@dataclass(frozen=True, slots=True)
class CaptionBatch:
    """B pictures with one caption each.

    Attributes:
        pixels: (B, 3, S, S) uint8 RGB.
        captions: B captions.
        ids: (B,) int64; equal ids are the same picture, or say the same.
    """

    pixels: torch.Tensor
    captions: list[str]
    ids: torch.Tensor

    @classmethod
    def gather(cls, pixels: torch.Tensor, captions: Sequence[str], ids: torch.Tensor | None = None) -> "CaptionBatch":
        """Makes a batch of pictures (B, 3, S, S) and the caption of each; without ids, equal captions are one.

        Ids last beyond the batch: a queue holds those of many steps, and other processes have batches of their own.
        """
        if ids is None:
            ids = torch.tensor([number_of(text) for text in captions])
        return cls(pixels, list(captions), ids)


def number_of(text: str) -> int:
    """Returns a number of 63 bits that is the same for equal texts alone, whenever and wherever they are met."""
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big") >> 1


@dataclass(frozen=True, slots=True)
class QuestionBatch:
    """B pictures with the same number of questions each, and any number of weighted answers to each question.

    Attributes:
        pixels: (B, 3, S, S) uint8 RGB.
        questions: Q questions, Q a multiple of B; those of one picture stand together.
        answers: A answers.
        answer_question: (A,) int64, the question of each answer.
        weights: (A,) float32, what each answer counts.
    """

    pixels: torch.Tensor
    questions: list[str]
    answers: list[str]
    answer_question: torch.Tensor
    weights: torch.Tensor

    @classmethod
    def gather(
        cls, pixels: torch.Tensor, asked: Sequence[Sequence[Asked]], ids: torch.Tensor | None = None
    ) -> "QuestionBatch":
        """Makes a batch of pictures (B, 3, S, S) and the questions of each, every one with its weighted answers.

        Raises:
            DataError: The pictures are not asked equally many questions, at least one, or a question has no answer.
        """
        counts = {len(own) for own in asked}
        pairs = [pair for own in asked for pair in own]
        if len(counts) > 1 or not pairs or not all(weighted for _, weighted in pairs):
            raise DataError(
                "a batch of questions: each picture needs equally many questions, at least one, and each question an "
                "answer; mend the source of questions."
            )
        weighted = [(number, answer, weight) for number, (_, own) in enumerate(pairs) for answer, weight in own.items()]
        return cls(
            pixels=pixels,
            questions=[question for question, _ in pairs],
            answers=[answer for _, answer, _ in weighted],
            answer_question=torch.tensor([number for number, _, _ in weighted]),
            weights=torch.tensor([weight for _, _, weight in weighted]),
        )


@dataclass(frozen=True, slots=True)
class PairBatch:
    """B sentences about two pictures each.

    Attributes:
        pixels: (2B, 3, S, S) uint8 RGB, all first pictures before all second ones.
        sentences: B sentences.
        labels: (B,) int64, 1 where the sentence is true.
    """

    pixels: torch.Tensor
    sentences: list[str]
    labels: torch.Tensor

    @classmethod
    def gather(
        cls, pixels: torch.Tensor, said: Sequence[tuple[str, bool]], ids: torch.Tensor | None = None
    ) -> "PairBatch":
        """Makes a batch of two pictures each (B, 2, 3, S, S), and of a sentence and whether it is true."""
        labels = torch.tensor([int(true) for _, true in said])
        return cls(pixels.transpose(0, 1).flatten(0, 1), [sentence for sentence, _ in said], labels)


@dataclass(frozen=True, slots=True)
class DialogBatch:
    """B pictures with a caption and the same number of dialogs each, of which the last answer is right or wrong.

    Attributes:
        pixels: (B, 3, S, S) uint8 RGB.
        captions: B captions.
        dialogs: D dialogs, D a multiple of B; those of one picture stand together.
        labels: (D,) int64, 1 where the last answer is right.
    """

    pixels: torch.Tensor
    captions: list[str]
    dialogs: list[str]
    labels: torch.Tensor

    @classmethod
    def gather(
        cls,
        pixels: torch.Tensor,
        said: Sequence[tuple[str, Sequence[tuple[str, bool]]]],
        ids: torch.Tensor | None = None,
    ) -> "DialogBatch":
        """Makes a batch of pictures (B, 3, S, S), and of the caption and the judged dialogs of each.

        Raises:
            DataError: The pictures do not have equally many dialogs, at least one.
        """
        judged = [pair for _, own in said for pair in own]
        if len({len(own) for _, own in said}) > 1 or not judged:
            raise DataError("a batch of dialogs: each picture needs equally many, at least one; mend their source.")
        labels = torch.tensor([int(right) for _, right in judged])
        return cls(pixels, [caption for caption, _ in said], [dialog for dialog, _ in judged], labels)


CAPTIONED = Feed(Registry[DrawBatch]("blipvid.pictures", "source of pictures with captions"), CaptionBatch.gather)
"""Sources say a caption of each picture."""

ASKED = Feed(Registry[DrawBatch]("blipvid.questions", "source of pictures with questions"), QuestionBatch.gather)
"""Sources say a list of questions of each picture, every one `Asked`."""

PAIRED = Feed(Registry[DrawBatch]("blipvid.pairs", "source of pairs of pictures"), PairBatch.gather)
"""Sources give two pictures each, (B, 2, S, S, 3), and say a sentence and whether it is true."""

IN_DIALOG = Feed(Registry[DrawBatch]("blipvid.dialogs", "source of dialogs about pictures"), DialogBatch.gather)
"""Sources say a caption and judged dialogs of each picture."""
