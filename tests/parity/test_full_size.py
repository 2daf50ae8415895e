"""A full-size ViT-B/384 with random weights over real clips: both layouts, bounded memory."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file

from blipvid.models.convert import convert
from blipvid.models.spec import ModelSpec
from blipvid.models.zoo import build

ROOT = Path(__file__).parents[2]

MEMORY_LIMIT_GB = 6.0  # weights 0.9, features of 30 clips 0.43, the rest is torch, batches and decoders

BENCHMARK = {
    "name": "real-clips",
    "task": "retrieval",
    "about": "30 real clips with one caption each",
    "dataset": {
        "annotations": "clips.jsonl",
        "fields": {"clip": "video", "text": "caption"},
        "media": "{clip}",
        "expect": {"clips": 30, "texts": 30},
        "obtain": "the test data",
    },
    "frames": {"sampler": "blip-compat", "count": 8, "size": 384, "resize": "decoder"},
    "settings": {"rerank_top_k": 8, "bootstrap": 0},
}


def write_models(folder: Path, vocab: Path) -> dict[str, Path]:
    """One set of random weights in the official and in Hugging Face's layout; attention is made to look somewhere."""
    spec = ModelSpec.model_validate(
        {
            "name": "random",
            "task": "retrieval",
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
    return {layout: convert(model, spec, layout, folder / layout, 384) for layout in ("official", "hf")}


def run_under_watch(command: list[str]) -> float:
    """Runs a command and returns the peak memory of its main process in GB."""
    watched = (
        "import resource, subprocess, sys;"
        "code = subprocess.run(sys.argv[1:]).returncode;"
        "print('PEAK', resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss); sys.exit(code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", watched, *command], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return int(done.stdout.rsplit("PEAK", 1)[1]) / 2**20


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_layouts_agree(test_data: Path, tmp_path: Path) -> None:
    vocab = test_data / "data" / "tokenizer" / "bert-base-uncased-vocab.txt"
    models = write_models(tmp_path, vocab)
    benchmark = tmp_path / "real-clips.yaml"
    benchmark.write_text(yaml.safe_dump(BENCHMARK), encoding="utf-8")
    scores = {}
    for layout in ("official", "hf"):
        out = tmp_path / layout
        command = [sys.executable, "run_bench.py", str(benchmark), "--model", str(models[layout]), "--out", str(out)]
        command += ["--data-root", str(test_data / "data" / "clips")]
        peak = run_under_watch([*command, "--save-scores", "--device", "cpu"])
        print(f"{layout}: peak {peak:.2f} GB")
        assert peak < MEMORY_LIMIT_GB
        scores[layout] = load_file(out / "scores.safetensors")
        details = json.loads((out / "run.json").read_text(encoding="utf-8"))["details"]
        assert details["backends"] == {"pyav": 30}
    for name, matrix in scores["official"].items():
        difference = (scores["hf"][name].double() - matrix.double()).abs().max().item()
        print(f"{name}: largest difference {difference:.1e}")
        assert difference == 0.0  # the same bytes go through the same arithmetic
    t2v = scores["official"]["t2v"]
    assert t2v[t2v > -99].std() > 1e-3
