"""What the floors ask of each other. A protocol is asked for with isinstance, never flagged."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, runtime_checkable

import numpy as np
import numpy.typing as npt

from blipvid.core.errors import DecodeError
from blipvid.core.types import Clip, Frames

if TYPE_CHECKING:
    from pathlib import Path

    import torch

    from blipvid.core.features import Features, Texts

Progress: TypeAlias = Callable[[str, int, int], None]
"""Called as progress(stage, done, total) while long work goes on; `stage` is a short noun such as `encoding clips`."""

LoadClips: TypeAlias = Callable[[Sequence[Clip]], Iterator[tuple[Clip, Frames | DecodeError]]]
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
    """What a matcher needs of one clip, made once and shared by every text that meets the clip."""


@runtime_checkable
class Matcher(Protocol):
    """Looks at a clip and a text together and says how well they match."""

    def remember(self, tokens: "torch.Tensor") -> VisualMemory:
        """Prepares one clip from its tokens (N*T, D)."""
        ...

    def match(self, memory: VisualMemory, texts: "Texts") -> "torch.Tensor":
        """Returns (Q,) float32 matching logits (index 1 of the two-way head) of the texts with the clip."""
        ...


@runtime_checkable
class Retriever(ImageEncoder, TextEncoder, Matcher, Protocol):
    """What the retrieval benchmarks need of a model."""
