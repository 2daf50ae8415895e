"""Turns frames into the features of clips: scaling of pixels, encoding in batches, lifting of frames to a clip.

This is the whole of the video side: a clip is its frames' tokens in one row. An image is a clip with one frame.
"""

from collections import Counter
from collections.abc import Generator, Iterator, Sequence
from types import TracebackType
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import torch
from torch.nn.functional import normalize

from blipvid.core.errors import DecodeError
from blipvid.core.features import Features, KnownClip
from blipvid.core.protocols import ClipEncoder, FeatureKeeper, ImageEncoder, LoadClips, Progress
from blipvid.core.settings import TaskSettings
from blipvid.core.types import Clip, Frames, Runtime, Skipped
from blipvid.evaluate.refusals import not_finite
from blipvid.evaluate.share import ALONE, Share

NOTED_CLIPS = 5
"""Clips named for each kind of note; the rest are counted."""


def scale_pixels(frames: Frames, black_clips: str, device: str) -> torch.Tensor:
    """Turns decoded frames into what image encoders take.

    Args:
        frames: One clip.
        black_clips: `blip` or `scale`, see `TaskSettings`.
        device: Where the pixels go; they travel as bytes.

    Returns:
        (N, 3, S, S) float32 in [0, 1].

    Source: salesforce/BLIP data/video_dataset.py, the loader of VideoDataset and its normalisation.
    """
    taken = torch.from_numpy(frames.pixels)
    if torch.device(device).type == "cuda":
        taken = taken.pin_memory()  # the card fetches it from there by itself, and Python goes on
    pixels = taken.to(device, non_blocking=True).permute(0, 3, 1, 2).float().contiguous()
    # parity: the official loader tells bytes from fractions by the brightest pixel, so a clip of zeros and ones stays
    # undivided (tests/evaluate/test_features.py, golden frame_sampler)
    if black_clips == "blip" and frames.pixels.max() <= 1:
        return pixels
    return pixels / 255


def lift_frames(frames: Features) -> Features:
    """Makes the features of one clip from those of its N frames.

    Args:
        frames: Tokens (N, T, D), embeds (N, E) not normalised.

    Returns:
        Tokens (1, N*T, D), frame after frame; embeds (1, E) float32, the L2-normalised mean over the frames.

    Source: salesforce/BLIP eval_retrieval_video.py, `evaluation`; arXiv:2201.12086, section 5.6 (no temporal order).
    """
    mean = frames.embeds.float().mean(dim=0, keepdim=True)
    return Features(frames.tokens.flatten(0, 1)[None], normalize(mean, dim=-1))


class ClipStream:
    """The features of clips, one clip after the other, and what there is to say of the clips once they are through.

    Nothing is kept: who needs tokens later puts them into a FeatureStore. Used as a context and iterated over once:

        with ClipStream(...) as clips:
            for position, features in clips: ...

    `position` is that of the clip among `clips`; `features` are its tokens (1, N*T, D) and its embedding (1, E)
    float32, L2-normalised, both on the device. Clips come in order; those that are skipped do not come, nor those that
    other processes do.

    Args:
        clips: V clips.
        load: Decodes them in order. Clips that it knows the features of are not encoded; a FeatureKeeper is given the
            features of all others.
        model: Encodes pictures, or whole clips if it is a ClipEncoder.
        settings: Says what an undecodable clip and an almost black clip mean.
        runtime: Frames of several clips are encoded together, up to its batch size.
        progress: Told of each clip.
        share: Which part of the work this process does.
        own: Positions of the clips that it does, ascending; None takes the share's own.
    """

    def __init__(
        self,
        clips: Sequence[Clip],
        load: LoadClips,
        model: ImageEncoder | ClipEncoder,
        settings: TaskSettings,
        runtime: Runtime,
        progress: Progress,
        share: Share = ALONE,
        own: Sequence[int] | None = None,
    ) -> None:
        self._clips, self._settings, self._runtime, self._progress = clips, settings, runtime, progress
        self._share, self._own = share, share.own(len(clips)) if own is None else own
        self._frames = load([clips[position] for position in self._own])
        self._keeper = load if isinstance(load, FeatureKeeper) else None
        self._unkept: dict[int, Frames] = {}  # of clips that are not encoded yet
        self._encoder = _BatchEncoder(model, runtime.batch_size)
        self._taken: list[tuple[int, str, tuple[str, ...]]] = []  # position, reader, notes
        self._missing: list[tuple[int, str]] = []  # position, reason

    @property
    def kept(self) -> npt.NDArray[np.int64]:
        """(V',) positions of the clips that gave frames, so far; those of all processes once the clips are through."""
        return np.array([position for position, _, _ in self._taken], np.int64)

    @property
    def skipped(self) -> list[Skipped]:
        """Clips without frames, likewise."""
        return [Skipped(self._clips[position].id, reason) for position, reason in self._missing]

    @property
    def backends(self) -> Counter[str]:
        """Reader name to number of clips it decoded, now or when their features were made; likewise."""
        return Counter(backend for _, backend, _ in self._taken)

    @property
    def notes(self) -> list[dict[str, Any]]:
        """For each thing the readers found unusual: `note`, number of `clips`, `first` few clip ids; likewise."""
        noted: dict[str, list[str]] = {}
        for position, _, notes in self._taken:
            for note in notes:
                noted.setdefault(note, []).append(self._clips[position].id)
        return [{"note": note, "clips": len(ids), "first": ids[:NOTED_CLIPS]} for note, ids in noted.items()]

    def __iter__(self) -> Iterator[tuple[int, Features]]:
        """Yields position and features of each clip that gives frames.

        Raises:
            DecodeError: A clip gives no frames and `on_error` is `stop`, or no clip gives any.
            BlipvidError: The features of a clip are not finite.
        """
        self._progress("encoding clips", 0, len(self._clips))
        for done, (position, (_, frames)) in enumerate(zip(self._own, self._frames, strict=True), start=1):
            if isinstance(frames, DecodeError):
                if self._settings.on_error == "stop":
                    raise frames
                self._missing.append((position, str(frames)))
            else:
                self._taken.append((position, frames.backend, frames.notes))
                yield from self._encode(position, frames)
            self._progress("encoding clips", done, len(self._clips))
        yield from self._finished(self._encoder.flush())
        self._bring_together()
        if not self._taken:
            raise DecodeError(
                f"none of the {len(self._clips):,} clips could be decoded; the first: {self._clips[0].id}: "
                f"{self._missing[0][1]} Look at that file with `blipvid frames`."
            )

    def _encode(self, position: int, frames: Frames | KnownClip) -> Iterator[tuple[int, Features]]:
        """Takes the next clip and yields those, in order, whose features are there now."""
        device = self._runtime.device
        if isinstance(frames, KnownClip):
            yield from self._finished(self._encoder.flush())
            yield position, Features(frames.features.tokens.to(device), frames.features.embeds.to(device))
            return
        if self._keeper:
            self._unkept[position] = frames
        pixels = scale_pixels(frames, self._settings.black_clips, device)
        yield from self._finished(self._encoder.add(position, pixels))

    def _finished(self, encoded: Iterator[tuple[int, Features]]) -> Iterator[tuple[int, Features]]:
        """Looks at the features of clips that were encoded, and lets them be kept."""
        for position, features in map(self._checked, encoded):
            if self._keeper:
                features = self._keeper.keep(self._clips[position], features, self._unkept.pop(position))
            yield position, features

    def _bring_together(self) -> None:
        parts = self._share.gather((self._taken, self._missing))
        self._taken = sorted(one for taken, _ in parts for one in taken)
        self._missing = sorted(one for _, missing in parts for one in missing)
        if self._keeper:
            self._keeper.join(self._share.gather(self._keeper.told))

    def _checked(self, encoded: tuple[int, Features]) -> tuple[int, Features]:
        position, features = encoded
        if not features.embeds.isfinite().all():
            raise not_finite(f"clip '{self._clips[position].id}'", "features")
        return encoded

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Ends the decoding processes now, not when an error's traceback is forgotten."""
        if isinstance(self._frames, Generator):
            self._frames.close()


class _BatchEncoder:
    """Sends whole clips through the model, several at once while their frames fit the batch."""

    def __init__(self, model: ImageEncoder | ClipEncoder, batch_size: int) -> None:
        self._model, self._batch_size = model, batch_size
        self._waiting: list[tuple[int, torch.Tensor]] = []

    def add(self, position: int, pixels: torch.Tensor) -> Iterator[tuple[int, Features]]:
        """Takes the pixels of one clip and yields the clips that were finished by it."""
        if isinstance(self._model, ClipEncoder):
            clip = self._model.encode_clip(pixels)
            yield position, Features(clip.tokens, normalize(clip.embeds.float(), dim=-1))
            return
        if sum(len(own) for _, own in self._waiting) + len(pixels) > self._batch_size:
            yield from self.flush()
        self._waiting.append((position, pixels))

    def flush(self) -> Iterator[tuple[int, Features]]:
        """Yields the clips that are still waiting."""
        if not self._waiting or not isinstance(self._model, ImageEncoder):
            return
        positions, pixels = zip(*self._waiting, strict=True)
        self._waiting.clear()
        counts = [len(own) for own in pixels]
        parts = [self._model.encode_images(part) for part in torch.cat(pixels).split(self._batch_size)]
        del pixels  # not needed while the clips are worked on
        tokens = torch.cat([part.tokens for part in parts]).split(counts)
        embeds = torch.cat([part.embeds for part in parts]).split(counts)
        del parts
        for position, own in zip(positions, map(Features, tokens, embeds), strict=True):
            yield position, lift_frames(own)
