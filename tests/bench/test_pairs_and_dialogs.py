"""Pairs of pictures and dialogs through the front door: real pictures, tiny models, the real command line."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from blipvid.bench.doctor import Question, examine
from blipvid.core.settings import FrameSettings, PairSettings
from blipvid.core.text import clean_caption
from blipvid.core.types import PairSet, Runtime
from blipvid.data.sets import load_set
from blipvid.data.spec import load_benchmark
from blipvid.evaluate.run import evaluate
from blipvid.media.loader import load_clips
from blipvid.models.pair_judge import BlipPairJudge
from blipvid.models.spec import ModelSpec, VisionSize
from blipvid.models.zoo import build
from tests.bench.call import call
from tests.models.tiny import write_model


def write_yaml(path: Path, said: dict[str, Any]) -> Path:
    path.write_text(yaml.safe_dump({"name": path.stem, **said}))
    return path


def boxes(folder: Path, size: int = 32) -> Path:
    """Writes the benchmark of the synthetic boxes of NLVR: one picture a sentence, so it is both of its pair."""
    dataset = {
        "annotations": "nlvr/dev.jsonl",
        "fields": {
            "id": "identifier",
            "first": "identifier",
            "second": "identifier",
            "text": "sentence",
            "label": "label",
        },
        "media": "nlvr/dev-{image}-0.png",
        "expect": {"clips": 989, "pairs": 989},
    }
    row = {"label": "somebody", "metrics": {"accuracy": 60.0}, "source": "a table", "protocol": "judge"}
    frames = {"count": 1, "size": size, "resize": "bicubic"}
    said = {"task": "pairs", "about": "boxes", "dataset": dataset, "frames": frames, "published": [row]}
    return write_yaml(folder / "boxes.yaml", {**said, "compare": [{**row, "label": "else", "protocol": "not stated"}]})


def run_arguments(benchmark: Path, model: Path, root: Path, out: Path, *more: str) -> list[str]:
    begin = ["bench", str(benchmark), "--model", str(model), "--data-root", str(root), "--out", str(out)]
    return [*begin, "--workers", "0", "--device", "cpu", *more]


def predictions(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "predictions.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def judged(test_data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    """The run on all 989 pictures, the benchmark and the model."""
    folder = tmp_path_factory.mktemp("boxes")
    vocab = test_data / "data/tokenizer/bert-base-uncased-vocab.txt"
    benchmark, model = boxes(folder), write_model(folder, task="nlvr", vocab=str(vocab))
    done = call(*run_arguments(benchmark, model, test_data / "data/images", folder / "run", "--save-scores"))
    assert done.code == 0, done.err
    assert "boxes · tiny · 989 of 989 pictures, 989 sentences" in done.out
    return folder / "run", benchmark, model


def test_the_synthetic_boxes_from_end_to_end(judged: tuple[Path, Path, Path], test_data: Path) -> None:
    folder, *_ = judged
    lines = [json.loads(line) for line in (test_data / "data/images/nlvr/dev.jsonl").read_text().splitlines()]
    rows, record = predictions(folder), json.loads((folder / "run.json").read_text())
    assert [row["id"] for row in rows] == [line["identifier"] for line in lines]
    assert [row["label"] for row in rows] == [line["label"] == "true" for line in lines]
    assert len({row["score"] for row in rows}) > 900  # pictures and sentences both tell
    assert all(row["prediction"] == (row["score"] > 0.5) for row in rows)
    right = 100 * np.mean([row["prediction"] == row["label"] for row in rows])
    assert record["metrics"] == {"accuracy": pytest.approx(right)}
    low, high = record["intervals"]["accuracy"]
    assert low < right < high
    assert record["published"][0]["differences"] == {"accuracy": pytest.approx(right - 60)}
    page = (folder / "table.md").read_text()
    for part in (
        "accuracy",
        "judged by",
        "60.0",
        "Whoever always says true",
        "'judge': the likelier of true and false",
    ):
        assert part in page


def test_runs_of_pairs_are_compared_and_reported(
    judged: tuple[Path, Path, Path], test_data: Path, tmp_path: Path
) -> None:
    folder, benchmark, model = judged
    more = ("--limit", "60", "--set", "order=random", "--set", "bootstrap=0")
    done = call(*run_arguments(benchmark, model, test_data / "data/images", tmp_path / "other", *more))
    assert done.code == 0, done.err
    assert "judges only a part of the pairs" in done.err + done.out
    assert sum(row["turned"] for row in predictions(tmp_path / "other")) in range(15, 46)
    found = call("compare", str(folder), str(tmp_path / "other"))
    assert found.code == 0, found.err
    assert "60 pairs in common of 989 and 60" in found.out
    assert "judgements differ" in found.out
    assert call("report", str(folder), str(tmp_path / "other"), "--out", str(tmp_path / "page.html")).code == 0
    surest = max((row for row in predictions(folder) if not row["right"]), key=lambda row: abs(row["score"] - 0.5))
    page = (tmp_path / "page.html").read_text()
    assert "Wrong answers" in page
    assert f"{surest['clips'][0]} + {surest['clips'][1]}" in page


def test_the_doctor_counts_pairs(judged: tuple[Path, Path, Path], test_data: Path) -> None:
    _, benchmark, model = judged
    checks = list(examine(Question(str(benchmark), str(model), test_data / "data/images", None, None, ())))
    assert any("989 pictures, 989 sentences about pairs of them" in check.found for check in checks)
    assert all(check.fine for check in checks)


@pytest.mark.slow
def test_the_synthetic_boxes_at_full_size(test_data: Path, tmp_path: Path) -> None:
    vocab = test_data / "data/tokenizer/bert-base-uncased-vocab.txt"
    said = {"name": "full", "task": "nlvr", "checkpoint": "none.pth", "image_size": 384, "vision": "vit-b16"}
    model = build(ModelSpec.model_validate({**said, "text": "bert-base", "vocab": str(vocab)})).eval()
    assert isinstance(model, BlipPairJudge)
    items = load_set(load_benchmark(boxes(tmp_path, 384)), test_data / "data/images", 6).items
    assert isinstance(items, PairSet)
    frames = FrameSettings(count=1, size=384, resize="bicubic")
    found = evaluate(
        items, model, lambda clips: load_clips(clips, frames, 0), PairSettings(bootstrap=0), Runtime(), save_scores=True
    )
    assert found.scores is not None
    logits = found.scores["pair_logits"]
    assert np.isfinite(logits).all()
    with Image.open(items.clips[0].path) as picture:
        pixels = np.array(picture.convert("RGB").resize((384, 384), Image.Resampling.BICUBIC))
    with torch.inference_mode():
        tokens = model.encode_images(torch.from_numpy(pixels).permute(2, 0, 1)[None] / 255).tokens
        alone = model.judge_pairs(tokens, tokens, [clean_caption(items.sentences[0], 40)], 512)
    np.testing.assert_allclose(logits[:1], alone.numpy(), atol=1e-4)


def write_dialogs(root: Path) -> Path:
    """Writes VisDial in small: three pictures, two rounds each, of five candidates."""
    folder = root / "visdial"
    (folder / "VisualDialog_val2018").mkdir(parents=True)
    answers, rng = ["red", "green", "a dog", "on the grass", "the cat"], np.random.default_rng(0)
    dialogs, dense = [], []
    for number in range(3):
        picture = Image.fromarray(rng.integers(0, 255, (24, 30, 3), dtype=np.uint8))
        picture.save(folder / f"VisualDialog_val2018/VisualDialog_val2018_{number:012d}.jpg")
        asked = [{"question": k, "answer": k, "answer_options": [0, 1, 2, 3, 4], "gt_index": k} for k in (0, 1)]
        dialogs.append({"image_id": number, "caption": "a red dog sits", "dialog": asked})
        dense.append({"image_id": number, "round_id": 2, "gt_relevance": [0.2, 1.0, 0, 0, 0.4]})
    data = {"questions": ["the dog", "the grass"], "answers": answers, "dialogs": dialogs}
    (folder / "visdial_1.0_val.json").write_text(json.dumps({"data": data}))
    (folder / "visdial_1.0_val_dense_annotations.json").write_text(json.dumps(dense))
    return root


SMALL = ("--set", "size=32", "--set", "dataset.expect.clips=3", "--set", "dataset.expect.rounds=6")


def test_dialogs_from_end_to_end(tmp_path: Path) -> None:
    root, model = (
        write_dialogs(tmp_path),
        write_model(tmp_path, task="visdial", vision=VisionSize(width=16, depth=2, heads=2)),
    )
    folders = [tmp_path / "one", tmp_path / "other"]
    for folder, more in zip(folders, ([], ["--set", "dialog_tokens=4"]), strict=True):
        done = call("bench", "visdial", *run_arguments(model, model, root, folder, *SMALL, *more)[2:])
        assert done.code == 0, done.err
    record, rows = json.loads((folders[0] / "run.json").read_text()), predictions(folders[0])
    assert list(record["metrics"]) == ["mrr", "r1", "r5", "r10", "mean_rank", "ndcg"]
    assert record["metrics"]["mean_rank"] == pytest.approx(np.mean([row["rank"] for row in rows]))
    assert record["metrics"]["mrr"] == pytest.approx(100 * np.mean([1 / row["rank"] for row in rows]))
    assert record["metrics"]["r5"] == 100
    assert [("ndcg" in row) for row in rows] == [False, True] * 3
    sent = json.loads((folders[0] / "submission.json").read_text())
    assert [(one["image_id"], one["round_id"]) for one in sent] == [(n, k) for n in range(3) for k in (1, 2)]
    assert [one["ranks"][row["round"] - 1] for one, row in zip(sent, rows, strict=True)] == [
        row["rank"] for row in rows
    ]
    page = (folders[0] / "table.md").read_text()
    for part in (
        "MRR",
        "mean rank",
        "NDCG",
        "69.4",
        "3 of 3 pictures, 6 rounds",
        "neither code nor weights",
        "VD-BERT",
    ):
        assert part in page
    found = call("compare", *map(str, folders))
    assert found.code == 0, found.err
    assert "queries rank better" in found.out
    assert "mean rank" in found.out
    assert call("report", *map(str, folders), "--out", str(tmp_path / "page.html")).code == 0
    assert "Worst queries" in (tmp_path / "page.html").read_text()
