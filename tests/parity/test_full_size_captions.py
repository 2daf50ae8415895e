"""A full-size captioner with random weights over real pictures and clips: end to end inside a bounded memory."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from blipvid.models.convert import convert
from blipvid.models.spec import ModelSpec
from blipvid.models.zoo import build
from tests.parity.test_full_size import run_under_watch

MEMORY_LIMIT_GB = 5.0  # weights 0.9, keys and values of 14 pictures 0.6, the rest is torch, batches and decoders


def write_captioner(folder: Path, vocab: Path) -> Path:
    """A ViT-B captioner with random weights, attention made to look somewhere; returns its model file."""
    spec = ModelSpec.model_validate(
        {
            "name": "random",
            "task": "caption",
            "checkpoint": "random.pth",
            "image_size": 384,
            "vision": "vit-b16",
            "text": "bert-base",
            "vocab": str(vocab),
        }
    )
    torch.manual_seed(0)
    model = build(spec)
    for name, parameter in model.named_parameters():
        if name.endswith(("qkv.weight", "query.weight", "key.weight")):
            parameter.data *= 4
    return convert(model, spec, "official", folder, 384)


def evaluate(folder: Path, model: Path, dataset: dict[str, Any], frames: dict[str, Any], n: int) -> dict[str, Any]:
    """Runs a benchmark in a process of its own; returns its record."""
    benchmark = {
        "name": "real",
        "task": "caption",
        "dataset": dataset,
        "frames": frames,
        "settings": {"bootstrap": 100},
    }
    path = folder / "real.yaml"
    path.write_text(yaml.safe_dump(benchmark), encoding="utf-8")
    command = ["run_bench.py", str(path), "--model", str(model), "--out", str(folder / "out"), "--device", "cpu"]
    peak = run_under_watch([sys.executable, *command])
    print(f"peak {peak:.2f} GB")
    assert peak < MEMORY_LIMIT_GB
    rows = [json.loads(line) for line in (folder / "out" / "predictions.jsonl").read_text().splitlines()]
    assert len(rows) == n
    assert all(row["prediction"] for row in rows)
    handed_in = json.loads((folder / "out" / "submission.json").read_text())
    assert [one["caption"] for one in handed_in] == [row["prediction"] for row in rows]
    return json.loads((folder / "out" / "run.json").read_text())


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_real_pictures_and_clips_are_captioned(test_data: Path, tmp_path: Path) -> None:
    model = write_captioner(tmp_path / "model", test_data / "data/tokenizer/bert-base-uncased-vocab.txt")
    pictures = test_data / "data/images/coco"
    (tmp_path / "pictures").mkdir()
    dataset = {
        "annotations": str(pictures / "captions.json"),
        "fields": {"clip": "image", "captions": "caption"},
        "media": f"{pictures}/{{clip}}",
        "ids_in_names": True,
        "expect": {"clips": 51, "captions": 255},
    }
    frames = {"count": 1, "size": 384, "resize": "bicubic"}
    record = evaluate(tmp_path / "pictures", model, dataset, frames, 51)
    annotated = json.loads((pictures / "captions.json").read_text())
    handed_in = json.loads((tmp_path / "pictures/out/submission.json").read_text())
    assert [one["image_id"] for one in handed_in] == [row["image_id"] for row in annotated]
    assert record["coverage"]["clips_used"] == 51
    assert {"bleu4", "rouge_l", "cider"} <= set(record["metrics"])

    (tmp_path / "clips").mkdir()
    clips = test_data / "data/clips"
    of_clips = {
        "annotations": str(clips / "clips.jsonl"),
        "fields": {"clip": "video", "captions": "caption"},
        "media": f"{clips}/{{clip}}",
        "expect": {"clips": 30, "captions": 30},
    }
    frames = {"sampler": "blip-compat", "count": 8, "size": 384, "resize": "decoder"}
    assert evaluate(tmp_path / "clips", model, of_clips, frames, 30)["coverage"]["clips_used"] == 30
