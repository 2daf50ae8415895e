"""The whole house through its front door: real files, real models, real command line."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from safetensors.numpy import load_file

from tests.bench.call import Called, call
from tests.bench.world import World, make_world


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return make_world(tmp_path_factory.mktemp("world"))


def assert_one_sentence(found: Called, *parts: str) -> None:
    """Bad input ends with exit code 2 and one line on standard error, and nothing of a table."""
    assert found.code == 2
    assert found.err.startswith("error: ")
    assert found.err.count("\n") == 1
    assert found.out == ""
    for part in parts:
        assert part in found.err


def copy_model(world: World, folder: Path, **changes: object) -> Path:
    """Writes the world's model file, without its weights, into another folder."""
    path = folder / "tiny.yaml"
    path.write_text(yaml.safe_dump({**yaml.safe_load(world.model.read_text()), **changes}))
    return path


def run_with(world: World, model: Path, folder: Path) -> Called:
    """Evaluates another model on the world's benchmark."""
    begin = ["bench", str(world.benchmark), "--model", str(model), "--data-root", str(world.folder)]
    return call(*begin, "--out", str(folder / "out"), "--workers", "0")


def test_a_run_writes_record_predictions_scores_and_table(world: World, tmp_path: Path):
    found = call(*world.arguments(tmp_path, "--save-scores", "--workers", "1"))
    assert found.code == 0
    assert "six · tiny · 6 of 6 clips, 6 texts" in found.out
    record = json.loads((tmp_path / "run.json").read_text())
    assert record["schema_version"] == 1
    assert record["benchmark"]["frames"]["count"] == 2
    assert record["coverage"] == {"clips_used": 6, "clips": 6, "items": 6, "skipped": []}
    assert record["data"]["annotations"] == "captions.csv"
    assert record["published"][0]["differences"]["t2v_r1"] == pytest.approx(record["metrics"]["t2v_r1"] - 50.0)
    predictions = [json.loads(line) for line in (tmp_path / "predictions.jsonl").read_text().splitlines()]
    assert {row["direction"] for row in predictions} == {"t2v", "v2t"}
    of_text = [row for row in predictions if row["direction"] == "t2v"]
    assert record["metrics"]["t2v_r1"] == pytest.approx(100 * np.mean([row["rank"] <= 1 for row in of_text]))
    scores = load_file(tmp_path / "scores.safetensors")
    assert {name: matrix.shape for name, matrix in scores.items()} == {"itc": (6, 6), "t2v": (6, 6), "v2t": (6, 6)}
    assert (np.sum(scores["t2v"] != -100, axis=1) == 4).all()
    assert "| text-to-video R@1" in (tmp_path / "table.md").read_text()


def test_the_same_command_gives_the_same_numbers(world: World, tmp_path: Path):
    for name in ("a", "b"):
        assert call(*world.arguments(tmp_path / name)).code == 0
    assert (tmp_path / "a" / "predictions.jsonl").read_bytes() == (tmp_path / "b" / "predictions.jsonl").read_bytes()


def test_unknown_benchmark_and_model(world: World, tmp_path: Path):
    assert_one_sentence(call("bench", "msvd-retreival"), "'msvd-retreival'", "Did you mean 'msvd-retrieval'")
    found = call(*world.arguments(tmp_path)[:2], "--model", "blip-base-retrieval-cocoo")
    assert_one_sentence(found, "'blip-base-retrieval-cocoo'", "Did you mean 'blip-base-retrieval-coco'")


def test_misspelt_key_in_a_file_and_in_set(world: World, tmp_path: Path):
    wrong = world.write_benchmark("misspelt", frames={"cuont": 4})
    assert_one_sentence(
        call("bench", str(wrong), "--model", str(world.model)), "'frames.cuont'", "Did you mean 'count'"
    )
    assert_one_sentence(call(*world.arguments(tmp_path, "--set", "frames.cuont=4")), "frames.cuont", "'count'")


def test_annotation_column_missing(world: World, tmp_path: Path):
    wrong = tmp_path / "other.csv"
    wrong.write_text("video,caption\nc0,a dog\n")
    found = call(*world.arguments(tmp_path / "out", "--annotations", str(wrong)))
    assert_one_sentence(found, "no column 'clip'", "dataset.fields.clip", "video, caption")


def test_media_missing_are_all_named_before_anything_is_decoded(world: World, tmp_path: Path):
    found = call(*world.arguments(tmp_path / "out", "--media", str(tmp_path / "{clip}.avi")))
    assert_one_sentence(found, "6 of 6 media files are missing", *(f"c{number}.avi" for number in range(6)))
    assert "encoding" not in found.err


def test_annotations_missing_say_where_to_get_them(tmp_path: Path):
    found = call("bench", "msrvtt-retrieval", "--data-root", str(tmp_path), "--out", str(tmp_path / "out"))
    assert_one_sentence(found, "MSRVTT_JSFUSION_test.csv", "To obtain")


def test_checkpoint_truncated(world: World, tmp_path: Path):
    model = copy_model(world, tmp_path)
    whole = (world.folder / "tiny.pth").read_bytes()
    (tmp_path / "tiny.pth").write_bytes(whole[: len(whole) // 2])
    assert_one_sentence(run_with(world, model, tmp_path), "tiny.pth", "damaged")


def test_checkpoint_of_another_task(world: World, tmp_path: Path):
    state = torch.load(world.folder / "tiny.pth", weights_only=True)["model"]
    captioner = {key: value for key, value in state.items() if key.startswith("visual_encoder.")}
    captioner["text_decoder.bert.embeddings.word_embeddings.weight"] = torch.zeros(3, 4)
    torch.save({"model": captioner}, tmp_path / "tiny.pth")
    assert_one_sentence(run_with(world, copy_model(world, tmp_path), tmp_path), "tiny.pth", "missing")
    of_captions = copy_model(world, tmp_path, task="caption")
    assert_one_sentence(run_with(world, of_captions, tmp_path), "retrieval", "model 'tiny'", "models list")


def test_top_k_larger_than_the_gallery_is_clipped_with_a_note(world: World, tmp_path: Path):
    found = call(*world.arguments(tmp_path, "--set", "rerank_top_k=500"))
    assert found.code == 0
    assert "rerank_top_k 500 is larger than the gallery of 6 clips" in found.out


def test_empty_dataset(world: World, tmp_path: Path):
    (tmp_path / "empty.csv").write_text("clip,caption\n")
    found = call(*world.arguments(tmp_path / "out", "--annotations", str(tmp_path / "empty.csv")))
    assert_one_sentence(found, "empty.csv", "no rows")


def test_a_damaged_clip_stops_the_run_or_is_skipped_and_counted(world: World, tmp_path: Path):
    (tmp_path / "clips").mkdir()
    for clip in (world.folder / "clips").iterdir():
        (tmp_path / "clips" / clip.name).write_bytes(clip.read_bytes())
    damaged = tmp_path / "clips" / "c2.mp4"
    damaged.write_bytes(damaged.read_bytes()[:300])
    media = ["--media", str(tmp_path / "clips" / "{clip}.mp4")]
    stopped = call(*world.arguments(tmp_path / "stopped", *media))
    assert stopped.code == 1
    assert "c2" in stopped.err.splitlines()[-1]
    skipped = call(*world.arguments(tmp_path / "skipped", *media, "--set", "on_error=skip"))
    assert skipped.code == 0
    assert "5 of 6 clips" in skipped.out
    record = json.loads((tmp_path / "skipped" / "run.json").read_text())
    assert [clip["clip_id"] for clip in record["coverage"]["skipped"]] == ["c2"]


def test_without_arguments_the_demo_world_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Trained on single pictures, asked about clips of compositions it never saw; chance is 0.5%."""
    monkeypatch.chdir(tmp_path)
    found = call("bench")
    assert found.code == 0, found.err
    assert "demo world" in found.err
    assert "python run_bench.py msrvtt-retrieval" in found.err
    records = sorted((tmp_path / "runs").rglob("run.json"))
    captions, pairs, answering, run = (json.loads(record.read_text()) for record in records)
    assert captions["coverage"] == {"clips_used": 200, "clips": 200, "items": 200, "skipped": []}
    assert captions["metrics"]["cider"] >= 200
    assert pairs["coverage"] == {"clips_used": 400, "clips": 400, "items": 400, "skipped": []}
    assert pairs["metrics"]["accuracy"] >= 90
    assert answering["coverage"] == {"clips_used": 200, "clips": 200, "items": 704, "skipped": []}
    assert answering["metrics"]["generate_accuracy"] >= 80
    assert max(share for share in answering["details"]["commonest"].values()) < 35
    assert run["coverage"] == {"clips_used": 200, "clips": 200, "items": 200, "skipped": []}
    assert run["metrics"]["t2v_r1"] >= 80
    assert run["metrics"]["t2v_r1"] > run["metrics"]["itc_t2v_r1"]
    assert run["details"]["paired"]["p"] < 0.05


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["bench", "--limit", "0"], "'--limit'"),
        (["bench", "--modle", "tiny"], "No such option: --modle"),
        (["frobnicate"], "No such command 'frobnicate'"),
        (["frames"], "Missing argument"),
    ],
)
def test_wrong_use_is_one_sentence(arguments: list[str], part: str):
    assert_one_sentence(call(*arguments), part)


def test_a_folder_in_place_of_the_annotations(world: World, tmp_path: Path):
    assert_one_sentence(call(*world.arguments(tmp_path, "--annotations", str(tmp_path))), "is a folder")


def test_texts_longer_than_the_model_can_read_are_noted(world: World, tmp_path: Path):
    found = call(*world.arguments(tmp_path, "--workers", "0", "--set", "text_tokens=300"))
    assert found.code == 0
    assert "the model has no more positions" in " ".join(found.out.split())
