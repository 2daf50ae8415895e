"""The shipped retriever does on clips what it never learnt on clips."""

import numpy as np

from blipvid.core.settings import RetrievalSettings
from blipvid.core.types import RetrievalSet, Runtime
from blipvid.data.spec import load_benchmark
from blipvid.demo.clips import held_out_clips
from blipvid.evaluate.run import evaluate
from blipvid.models.zoo import load_model
from tests.demo.drawn import clips_of, drawing


def test_it_finds_held_out_clips_and_matching_helps() -> None:
    benchmark = load_benchmark("demo-retrieval")
    drawn = held_out_clips()
    items = RetrievalSet(
        clips=clips_of(benchmark),
        texts=tuple(clip.caption for clip in drawn),
        text_ids=tuple(clip.id for clip in drawn),
        text_clip=np.arange(len(drawn)),
    )
    settings = benchmark.settings
    assert isinstance(settings, RetrievalSettings)
    model = load_model("demo-retriever", image_size=benchmark.frames.size).model
    found = evaluate(items, model, drawing(benchmark), settings, Runtime())
    assert found.metrics["t2v_r1"] >= 80
    assert found.metrics["t2v_r1"] > found.metrics["itc_t2v_r1"]
    assert found.details["paired"]["p"] < 0.05
