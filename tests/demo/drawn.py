"""Frames of the held-out clips, drawn at the size a benchmark asks for instead of read from files."""

from collections.abc import Iterator, Sequence

import numpy as np

from blipvid.core.protocols import LoadClips
from blipvid.core.types import Clip, Frames
from blipvid.data.spec import BenchmarkSpec
from blipvid.demo.clips import N_FRAMES, held_out_clips


def clips_of(benchmark: BenchmarkSpec) -> tuple[Clip, ...]:
    return tuple(Clip(clip.id, benchmark.dataset.media) for clip in held_out_clips())  # type: ignore[arg-type]


def drawing(benchmark: BenchmarkSpec) -> LoadClips:
    """Returns what a loader of clips is, for the frames that the benchmark's sampler takes."""
    drawn = {clip.id: clip for clip in held_out_clips()}
    shown = np.arange(0, N_FRAMES, N_FRAMES // benchmark.frames.count)
    times = shown / (N_FRAMES - 1)

    def frames(clip: Clip) -> Frames:
        pixels = np.stack([drawn[clip.id].frame(time, benchmark.frames.size) for time in times])
        return Frames(pixels, shown, times, "drawn")

    def load(clips: Sequence[Clip]) -> Iterator[tuple[Clip, Frames]]:
        return ((clip, frames(clip)) for clip in clips)

    return load
