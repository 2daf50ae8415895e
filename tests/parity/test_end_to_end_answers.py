"""Questions about real files from the command line, against what the official VQA model answered."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file

from tests.parity.on_files import link_clips, write_model

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def recorded(test_data: Path) -> Path:
    return test_data / "goldens" / "e2e" / "vqa"


@pytest.fixture(scope="module")
def benchmark(recorded: Path, test_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("e2e-vqa")
    link_clips(recorded.parent / "captions.jsonl", test_data / "data" / "clips", folder / "videos")
    spec = {
        "name": "recorded-qa",
        "task": "qa",
        "dataset": {
            "annotations": str(recorded / "questions.jsonl"),
            "answers": str(recorded / "answer_list.json"),
            "fields": {"id": "question_id", "clip": "clip_name", "question": "question", "answer": "answer"},
            "media": "videos/{clip}.mp4",
            "expect": {"clips": 8, "questions": 24},
        },
        "frames": {"sampler": "blip-compat", "count": 16, "size": 224},
        "settings": {"answer_by": ["generate", "rank"], "answer_top_k": 8, "bootstrap": 0},
    }
    path = folder / "recorded-qa.yaml"
    path.write_text(yaml.safe_dump(spec), encoding="utf-8")
    return path


def answer(benchmark: Path, recorded: Path, out: Path, *settings: str) -> dict[str, dict[int, dict[str, Any]]]:
    """Runs the command; returns protocol -> question -> its line of predictions.jsonl."""
    command = [sys.executable, "run_bench.py", str(benchmark), "--data-root", str(benchmark.parent), "--model"]
    command += [str(write_model(recorded, recorded.parent / "vocab.txt", "vqa", benchmark.parent))]
    command += ["--out", str(out), "--device", "cpu", "--save-scores"]
    command += [part for setting in settings for part in ("--set", setting)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, dict[int, dict[str, Any]]] = {}
    for line in (out / "predictions.jsonl").read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        found.setdefault(row["protocol"], {})[int(row["id"])] = row
    return found


def results(recorded: Path) -> dict[str, Any]:
    return json.loads((recorded / "results.json").read_text(encoding="utf-8"))


def wanted(recorded: Path, name: str) -> dict[int, str]:
    return {int(number): text for number, text in results(recorded)[name].items()}


@pytest.mark.parametrize(
    ("settings", "batch"),
    [
        ((), "1"),
        (("backend=pyav", "question_mask=ones", "question_batch=8"), "8"),
        (("question_mask=ones", "question_batch=24"), "24"),
    ],
)
def test_answers_and_ranking_losses(
    recorded: Path, benchmark: Path, tmp_path: Path, settings: tuple[str, ...], batch: str
) -> None:
    found = answer(benchmark, recorded, tmp_path / "out", *settings)
    assert {n: row["prediction"] for n, row in found["generate"].items()} == wanted(recorded, f"generate_batch{batch}")
    assert {n: row["prediction"] for n, row in found["rank"].items()} == wanted(recorded, "rank")
    ours, official = load_file(tmp_path / "out" / "scores.safetensors"), load_file(recorded / "outputs.safetensors")
    same_order = [part.argsort(1) for part in (ours["rank_candidates"], official["rank_candidates"])]
    for name, atol in (("rank_candidates", 0.0), ("rank_neg_logprob", results(recorded)["suggested_atol"]["nll"])):
        one, other = (part[name].gather(1, order) for part, order in zip((ours, official), same_order, strict=True))
        torch.testing.assert_close(one, other, atol=atol, rtol=0)
    for number, row in found["rank"].items():
        assert row["score"] == pytest.approx(-float(ours["rank_neg_logprob"][number].min()), abs=1e-5)


def test_all_answers_ranked(recorded: Path, benchmark: Path, tmp_path: Path) -> None:
    found = answer(benchmark, recorded, tmp_path / "out", "answer_by=rank", "answer_top_k=0")
    assert {n: row["prediction"] for n, row in found["rank"].items()} == wanted(recorded, "rank_k_all")
    assert "generate" not in found


def test_the_recording_has_its_own_checker(recorded: Path, benchmark: Path, tmp_path: Path) -> None:
    found = answer(benchmark, recorded, tmp_path / "out")
    command = [
        sys.executable,
        str(recorded / "check_vqa.py"),
        "--tensors",
        str(tmp_path / "out" / "scores.safetensors"),
    ]
    for protocol in ("generate", "rank"):
        path = tmp_path / f"{protocol}.json"
        rows = [{"question_id": n, "answer": row["prediction"]} for n, row in found[protocol].items()]
        path.write_text(json.dumps(rows), encoding="utf-8")
        command += [f"--{protocol}", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
