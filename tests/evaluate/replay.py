"""A retrieval model that replays given cosines and matching logits, exactly, and a loader for it.

Clip v is drawn as pictures of the grey value v + 2 (0 and 1 would meet the rule for black clips); text c reads
"text c". The embedding of clip v is the v-th unit vector and that of text c the c-th column of the cosines.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from blipvid.core.errors import DecodeError
from blipvid.core.features import Features, Texts
from blipvid.core.types import Clip, Frames, RetrievalSet

Array = npt.NDArray[np.generic]


class Replay:
    """Satisfies core.protocols.Retriever.

    Attributes:
        remembered: Clips whose memory was made, in order.
        matched: (clip, text) pairs scored, in order.
        batches: Pictures in each call of encode_images.
    """

    def __init__(self, cosine: Array, logits: Array) -> None:
        self.cosine = torch.as_tensor(np.asarray(cosine, np.float32))
        self.logits = torch.as_tensor(np.asarray(logits, np.float32))
        self.remembered: list[int] = []
        self.matched: list[tuple[int, int]] = []
        self.batches: list[int] = []

    def encode_images(self, pixels: torch.Tensor) -> Features:
        self.batches.append(len(pixels))
        clip = (pixels[:, 0, 0, 0] * 255).round().long() - 2
        tokens = clip[:, None, None].expand(-1, 3, 2).float()
        return Features(tokens, torch.eye(len(self.cosine))[clip] * 5)

    def encode_texts(self, texts: Sequence[str], max_tokens: int) -> Texts:
        row = torch.tensor([int(text.split()[1]) for text in texts])
        length = 3 + len(texts) % 2  # chunks differ in length, as those of a real tokenizer do
        ids = torch.full((len(texts), length), 7)
        ids[:, 1] = row
        return Texts(ids, torch.ones_like(ids), self.cosine.T[row])

    def remember(self, tokens: torch.Tensor) -> int:
        assert tokens.dtype == torch.float32
        assert len(tokens.unique()) == 1
        self.remembered.append(int(tokens[0, 0]))
        return self.remembered[-1]

    def prepare_texts(self, texts: Texts, memory_bytes: int) -> Texts:
        return texts

    def match(self, memory: int, texts: Texts, rows: torch.Tensor) -> torch.Tensor:
        assert len(rows) > 0
        numbers = texts.ids[rows, 1]
        self.matched += [(memory, number) for number in numbers.tolist()]
        return self.logits[memory, numbers]


def retrieval_set(text_clip: Sequence[int], n_clips: int, captions: Sequence[int] | None = None) -> RetrievalSet:
    """Makes a set whose text q belongs to clip text_clip[q] and reads "text captions[q]" (default: q)."""
    captions = range(len(text_clip)) if captions is None else captions
    return RetrievalSet(
        clips=tuple(Clip(f"clip{v}", Path(f"{v}.mp4")) for v in range(n_clips)),
        texts=tuple(f"Text  {number}." for number in captions),
        text_ids=tuple(f"text{q}" for q in range(len(text_clip))),
        text_clip=np.asarray(text_clip, np.int64),
    )


class Loader:
    """Draws the frames of clips; satisfies core.protocols.LoadClips.

    Attributes:
        asked: Clips asked for so far.
        closed: Whether the stream was closed.
    """

    def __init__(self, broken: Sequence[int] = (), n_frames: Sequence[int] = (2,)) -> None:
        self.broken, self.n_frames = set(broken), n_frames
        self.asked: list[str] = []
        self.closed = False

    def __call__(self, clips: Sequence[Clip]) -> Iterator[tuple[Clip, Frames | DecodeError]]:
        try:
            for clip in clips:
                self.asked.append(clip.id)
                yield clip, self._frames(int(clip.id.removeprefix("clip")), clip)
        finally:
            self.closed = True

    def _frames(self, number: int, clip: Clip) -> Frames | DecodeError:
        if number in self.broken:
            return DecodeError(f"{clip.path}: is broken.")
        n = self.n_frames[number % len(self.n_frames)]
        pixels = np.full((n, 4, 4, 3), number + 2, np.uint8)
        notes = ("counted",) if number % 2 else ()
        return Frames(pixels, np.arange(n), np.arange(n) / 25, "even" if number % 2 == 0 else "odd", notes)
