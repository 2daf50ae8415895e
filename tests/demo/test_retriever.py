"""The shipped retriever does on clips what it never learnt on clips."""

from collections.abc import Iterator, Sequence

import numpy as np

from blipvid.core.settings import RetrievalSettings
from blipvid.core.types import Clip, Frames, RetrievalSet, Runtime
from blipvid.data.spec import load_benchmark
from blipvid.demo.clips import N_FRAMES, held_out_clips
from blipvid.evaluate.run import evaluate
from blipvid.models.zoo import load_model


def test_it_finds_held_out_clips_and_matching_helps() -> None:
    benchmark = load_benchmark("demo-retrieval")
    drawn = {clip.id: clip for clip in held_out_clips()}
    shown = np.arange(0, N_FRAMES, N_FRAMES // benchmark.frames.count)

    def frames(clip: Clip) -> Frames:
        times = shown / (N_FRAMES - 1)
        pixels = np.stack([drawn[clip.id].frame(time, benchmark.frames.size) for time in times])
        return Frames(pixels, shown, times, "drawn")

    def load(clips: Sequence[Clip]) -> Iterator[tuple[Clip, Frames]]:
        return ((clip, frames(clip)) for clip in clips)

    items = RetrievalSet(
        clips=tuple(Clip(id, benchmark.dataset.media) for id in drawn),  # type: ignore[arg-type]
        texts=tuple(clip.caption for clip in drawn.values()),
        text_ids=tuple(drawn),
        text_clip=np.arange(len(drawn)),
    )
    settings = benchmark.settings
    assert isinstance(settings, RetrievalSettings)
    model = load_model("demo-retriever", image_size=benchmark.frames.size).model
    found = evaluate(items, model, load, settings, Runtime())
    assert found.metrics["t2v_r1"] >= 80
    assert found.metrics["t2v_r1"] > found.metrics["itc_t2v_r1"]
    assert found.details["paired"]["p"] < 0.05
