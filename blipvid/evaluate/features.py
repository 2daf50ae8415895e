"""Turns frames into the features of clips: scaling of pixels, encoding in batches, lifting of frames to a clip.

This is the whole of the video side: a clip is its frames' tokens in one row. An image is a clip with one frame.
"""

from collections import Counter
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.nn.functional import normalize

from blipvid.core.errors import BlipvidError, DecodeError
from blipvid.core.features import Features
from blipvid.core.protocols import ClipEncoder, ImageEncoder, LoadClips, Progress
from blipvid.core.settings import TaskSettings
from blipvid.core.types import Clip, Frames, Runtime, Skipped
from blipvid.evaluate.store import FeatureStore

NOTED_CLIPS = 5
"""Clips named for each kind of note; the rest are counted."""


@dataclass(frozen=True, slots=True)
class EncodedClips:
    """What encoding left behind besides the tokens, which are in the FeatureStore in the order of `kept`.

    Attributes:
        kept: (V',) int64 positions of the clips that gave frames.
        embeds: (V', E) float32 on the CPU, L2-normalised.
        skipped: The other clips.
        backends: Reader name to number of clips it decoded.
        notes: For each thing the readers found unusual: `note`, number of `clips`, `first` few clip ids.
    """

    kept: npt.NDArray[np.int64]
    embeds: torch.Tensor
    skipped: tuple[Skipped, ...]
    backends: dict[str, int]
    notes: list[dict[str, Any]]


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
    pixels = torch.from_numpy(frames.pixels).to(device).permute(0, 3, 1, 2).float().contiguous()
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


def encode_clips(
    clips: Sequence[Clip],
    load: LoadClips,
    model: ImageEncoder | ClipEncoder,
    settings: TaskSettings,
    runtime: Runtime,
    store: FeatureStore,
    progress: Progress,
) -> EncodedClips:
    """Decodes and encodes all clips; tokens go to the store.

    Args:
        clips: V clips.
        load: Decodes them in order.
        model: Encodes pictures, or whole clips if it is a ClipEncoder.
        settings: Says what an undecodable clip and an almost black clip mean.
        runtime: Frames of several clips are encoded together, up to its batch size.
        store: Receives the tokens.
        progress: Told of each clip.

    Raises:
        DecodeError: A clip gives no frames and `on_error` is `stop`, or no clip gives any.
        BlipvidError: The model's features are not finite.
    """
    found, encoder = _Found(), _BatchEncoder(model, runtime.batch_size, store)
    stream = load(clips)
    progress("encoding clips", 0, len(clips))
    try:
        for position, (clip, frames) in zip(range(len(clips)), stream, strict=True):
            if isinstance(frames, DecodeError):
                if settings.on_error == "stop":
                    raise frames
                found.skipped.append(Skipped(clip.id, str(frames)))
            else:
                found.take(position, clip, frames)
                encoder.add(scale_pixels(frames, settings.black_clips, runtime.device))
            progress("encoding clips", position + 1, len(clips))
        encoder.flush()
    finally:
        if isinstance(stream, Generator):
            stream.close()  # ends the decoding processes now, not when the error's traceback is forgotten
    if not found.kept:
        raise DecodeError(
            f"none of the {len(clips):,} clips could be decoded; the first: {found.skipped[0].clip_id}: "
            f"{found.skipped[0].reason} Look at that file with `blipvid frames`."
        )
    embeds = torch.cat(encoder.embeds).float().cpu()
    broken = (~embeds.isfinite().all(dim=1)).nonzero().flatten().tolist()
    if broken:
        raise BlipvidError(
            f"clip '{clips[found.kept[broken[0]]].id}': the model's features are not finite "
            f"({len(broken):,} such clips); try precision fp32, and check the checkpoint."
        )
    return found.finish(embeds)


@dataclass(slots=True)
class _Found:
    """Book-keeping of decoding."""

    kept: list[int] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    backends: Counter[str] = field(default_factory=Counter)
    noted: dict[str, list[str]] = field(default_factory=dict)

    def take(self, position: int, clip: Clip, frames: Frames) -> None:
        self.kept.append(position)
        self.backends[frames.backend] += 1
        for note in frames.notes:
            self.noted.setdefault(note, []).append(clip.id)

    def finish(self, embeds: torch.Tensor) -> EncodedClips:
        notes = [{"note": note, "clips": len(ids), "first": ids[:NOTED_CLIPS]} for note, ids in self.noted.items()]
        kept = np.array(self.kept, np.int64)
        return EncodedClips(kept, embeds, tuple(self.skipped), dict(self.backends), notes)


class _BatchEncoder:
    """Sends whole clips through the model, several at once while their frames fit the batch."""

    def __init__(self, model: ImageEncoder | ClipEncoder, batch_size: int, store: FeatureStore) -> None:
        self._model, self._batch_size, self._store = model, batch_size, store
        self._waiting: list[torch.Tensor] = []
        self.embeds: list[torch.Tensor] = []

    def add(self, pixels: torch.Tensor) -> None:
        if isinstance(self._model, ClipEncoder):
            clip = self._model.encode_clip(pixels)
            self._keep(Features(clip.tokens, normalize(clip.embeds.float(), dim=-1)))
            return
        if sum(map(len, self._waiting)) + len(pixels) > self._batch_size:
            self.flush()
        self._waiting.append(pixels)

    def flush(self) -> None:
        if not self._waiting or not isinstance(self._model, ImageEncoder):
            return
        parts = [self._model.encode_images(part) for part in torch.cat(self._waiting).split(self._batch_size)]
        counts = [len(pixels) for pixels in self._waiting]
        tokens = torch.cat([part.tokens for part in parts]).split(counts)
        embeds = torch.cat([part.embeds for part in parts]).split(counts)
        for own in map(Features, tokens, embeds):
            self._keep(lift_frames(own))
        self._waiting.clear()

    def _keep(self, clip: Features) -> None:
        self._store.add(clip.tokens[0])
        self.embeds.append(clip.embeds)
