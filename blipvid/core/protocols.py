"""What the floors ask of each other. A protocol is asked for with isinstance, never flagged."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, runtime_checkable

import numpy as np
import numpy.typing as npt

from blipvid.core.errors import DecodeError
from blipvid.core.types import Clip, Frames

if TYPE_CHECKING:
    from pathlib import Path

    import torch

    from blipvid.core.features import Answer, Features, KnownClip, QuestionStates, RankedAnswers, Texts
    from blipvid.core.settings import Writing

Progress: TypeAlias = Callable[[str, int, int], None]
"""Called as progress(stage, done, total) while long work goes on; `stage` is a short noun such as `encoding clips`."""

LoadClips: TypeAlias = "Callable[[Sequence[Clip]], Iterator[tuple[Clip, Frames | KnownClip | DecodeError]]]"
"""Decodes clips in order. A clip that cannot be decoded comes back as its error, so that the caller decides."""

AnnotationReader: TypeAlias = "Callable[[Any, Path], Iterable[dict[str, Any]]]"
"""read(spec, root) -> rows: one mapping of field names to values for each annotation, for formats of one's own."""


def no_progress(stage: str, done: int, total: int) -> None:
    """A Progress that says nothing."""


@runtime_checkable
class VideoReader(Protocol):
    """One open media file.

    Attributes:
        n_frames: True number of frames, counted where the header has none.
        fps: Mean frames a second, for windows in seconds.
        notes: What was unusual about the file.
        backend: The name of whoever gives the pixels, for the run record.
    """

    n_frames: int
    fps: float
    notes: tuple[str, ...]
    backend: str

    def times_s(self, indices: Sequence[int]) -> npt.NDArray[np.float64]:
        """Returns (N,) presentation times in seconds, from the first frame of the file."""
        ...

    def read(self, indices: Sequence[int]) -> npt.NDArray[np.uint8]:
        """Returns (N, H, W, 3) uint8 RGB frames in the order asked for; indices may repeat."""
        ...

    def close(self) -> None:
        """Gives the file back."""
        ...


@runtime_checkable
class FeatureKeeper(Protocol):
    """A LoadClips that is told what became of the clips, so that it can give their features next time."""

    @property
    def told(self) -> dict[str, Any]:
        """What a run record says of what was found and kept."""
        ...

    def keep(self, clip: Clip, features: "Features", frames: Frames) -> "Features":
        """Takes the features of a clip, made from its frames, and returns those that shall be gone on with."""
        ...

    def join(self, parts: "Sequence[dict[str, Any]]") -> None:
        """Takes what the keepers of all processes of one job have to tell, its own included, as its own."""
        ...


class FrameSampler(Protocol):
    """A pure function from a clip's length to frame numbers; see `media/sampling.py`."""

    def __call__(self, n_frames: int, count: int, window: tuple[int, int] | None = None) -> list[int]:
        """Returns the frame numbers to take, all in range(n_frames)."""
        ...


@runtime_checkable
class ImageEncoder(Protocol):
    """Turns pictures into features."""

    def encode_images(self, pixels: "torch.Tensor") -> "Features":
        """Encodes (B, 3, S, S) float pixels in [0, 1]; the model applies its own mean and standard deviation."""
        ...


@runtime_checkable
class ClipEncoder(Protocol):
    """A native video model: takes over the lifting of frames to a clip."""

    def encode_clip(self, pixels: "torch.Tensor") -> "Features":
        """Encodes (N, 3, S, S) float pixels in [0, 1] of one clip into tokens (1, N*T, D) and embeds (1, E)."""
        ...


@runtime_checkable
class TextEncoder(Protocol):
    """Turns texts into embeddings in the space of the clip embeddings."""

    def encode_texts(self, texts: Sequence[str], max_tokens: int) -> "Texts":
        """Tokenises and encodes cleaned texts, each cut to `max_tokens` word pieces with [CLS] and [SEP]."""
        ...


class VisualMemory(Protocol):
    """What a text tower needs of one clip, made once and shared by every text that meets the clip."""


class PreparedTexts(Protocol):
    """What a matcher makes of texts before any clip, once for all clips."""


@runtime_checkable
class Matcher(Protocol):
    """Looks at a clip and a text together and says how well they match."""

    def remember(self, tokens: "torch.Tensor") -> VisualMemory:
        """Prepares one clip from its tokens (N*T, D)."""
        ...

    def prepare_texts(self, texts: "Texts", memory_bytes: int) -> PreparedTexts:
        """Prepares Q texts; this and matching them take at most `memory_bytes` besides weights and clips."""
        ...

    def match(self, memory: VisualMemory, texts: PreparedTexts, rows: "torch.Tensor") -> "torch.Tensor":
        """Returns (R,) float32 matching logits (index 1 of the two-way head) of the texts at `rows` (R,) int64."""
        ...


@runtime_checkable
class ExactMatcher(Matcher, Protocol):
    """A matcher that can also compute in fp32 where its own precision is a lower one."""

    def exactly(self) -> AbstractContextManager[None]:
        """Returns a context in which everything is computed in fp32, the preparing of texts included."""
        ...


@runtime_checkable
class Retriever(ImageEncoder, TextEncoder, Matcher, Protocol):
    """What the retrieval benchmarks need of a model."""


class AnswerTable(Protocol):
    """A list of answers in the form that a model can rank; made once for a run."""

    def __len__(self) -> int:
        """Returns the number of answers."""
        ...


@runtime_checkable
class Answerer(Protocol):
    """Reads questions together with a clip and answers them, in its own words or out of a list."""

    def remember(self, tokens: "torch.Tensor") -> VisualMemory:
        """Prepares one clip from its tokens (N*T, D)."""
        ...

    def count_tokens(self, questions: Sequence[str], max_tokens: int) -> "torch.Tensor":
        """Returns (Q,) int64 tokens that reading will keep of each cleaned question."""
        ...

    def read_questions(
        self, memory: VisualMemory, questions: Sequence[str], max_tokens: int, padded_to: int | None = None
    ) -> "QuestionStates":
        """Reads Q cleaned questions about one clip, each cut to `max_tokens` word pieces.

        `padded_to` asks for the states of padding positions as well, up to that length; None gives no meaning to them.
        """
        ...

    def generate_answers(
        self, questions: "QuestionStates", beams: int, max_tokens: int, min_tokens: int
    ) -> "list[list[Answer]]":
        """Answers each question in the model's own words, the best answer first, at most `beams` of them.

        The decoder looks at the positions where the mask of `questions` is 1. Lengths count the opening token.
        """
        ...

    def list_answers(self, answers: Sequence[str]) -> AnswerTable:
        """Prepares a list of answers for ranking."""
        ...

    def rank_answers(self, questions: "QuestionStates", answers: AnswerTable, top_k: int) -> "RankedAnswers":
        """Scores the `top_k` answers of each question whose first token is most probable, or all if there are fewer."""
        ...

    def score_answers(
        self, questions: "QuestionStates", answers: AnswerTable, index: "torch.Tensor"
    ) -> "RankedAnswers":
        """Scores the answers at `index` (Q, k) int64 of each question."""
        ...


@runtime_checkable
class Captioner(Protocol):
    """Says in a sentence what can be seen."""

    def caption(self, tokens: "torch.Tensor", writing: "Writing", seeds: Sequence[int]) -> "list[list[Answer]]":
        """Captions M clips from their tokens (M, N*T, D).

        Each gets its captions, the best first, at most as many as there are beams. Where the writing takes chance, it
        begins for each clip from its own of the M `seeds`: no caption depends on which others are written with it.
        """
        ...


@runtime_checkable
class PairJudge(Protocol):
    """Looks at two pictures at once and says whether a sentence is true of them."""

    def judge_pairs(
        self, first: "torch.Tensor", second: "torch.Tensor", sentences: Sequence[str], max_tokens: int
    ) -> "torch.Tensor":
        """Returns (S, 2) float32 logits, index 1 for true, of S cleaned sentences about P pairs.

        `first` and `second` are the tokens (P, T, D) of either picture. S is a multiple of P, and sentences about one
        pair stand together; each is cut to `max_tokens` word pieces.
        """
        ...


@runtime_checkable
class DialogRanker(Protocol):
    """Looks at a captioned picture and says how well an answer goes on with a dialog about it."""

    def remember_captioned(self, tokens: "torch.Tensor", caption: str) -> VisualMemory:
        """Prepares one clip from its tokens (N*T, D) and its cleaned caption."""
        ...

    def score_dialogs(self, memory: VisualMemory, dialogs: Sequence[str], max_tokens: int) -> "torch.Tensor":
        """Returns (Q,) float32 scores, higher where the answer at the end of a dialog fits better.

        Each dialog keeps at most its last `max_tokens` word pieces.
        """
        ...
