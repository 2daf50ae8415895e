"""Question answering through the front door: real clips, a real model, the real command line."""

import json
from pathlib import Path
from typing import Any

import pytest

from blipvid.bench.doctor import Question, examine
from tests.bench.call import call
from tests.bench.world import World


def predictions(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "predictions.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def asked_folder(question_world: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "asked"
    assert call(*question_world.arguments(folder, "--save-scores")).code == 0
    return folder


def test_a_run_of_questions_is_recorded_and_shown(question_world: World, asked_folder: Path):
    record = json.loads((asked_folder / "run.json").read_text())
    rows = predictions(asked_folder)
    assert len(rows) == 2 * 12
    for protocol in ("generate", "rank"):
        own = [row for row in rows if row["protocol"] == protocol]
        right = 100 * sum(row["prediction"] == row["answer"] for row in own) / len(own)
        assert record["metrics"][f"{protocol}_accuracy"] == pytest.approx(right)
    page = (asked_folder / "table.md").read_text()
    assert "# asked · tiny · 3 of 3 clips, 12 questions" in page
    for part in ("generate · exact match", "rank:answers.txt · what", "reconstruction", "Answer list: answers.txt, 4"):
        assert part in page
    assert (asked_folder / "scores.safetensors").exists()


def test_generating_alone_leaves_no_file_of_scores(question_world: World, tmp_path: Path):
    assert call(*question_world.arguments(tmp_path, "--save-scores", "--set", "answer_by=generate")).code == 0
    assert not (tmp_path / "scores.safetensors").exists()
    found = call("compare", str(tmp_path), str(tmp_path))
    assert "0 answers differ" in found.out


def test_a_limit_is_compared_with_nothing(question_world: World, tmp_path: Path):
    found = call(*question_world.arguments(tmp_path, "--limit", "2", "--format", "json"))
    (run,) = json.loads(found.out)
    assert all(row["difference"] is None for row in run["rows"])
    assert run["coverage"]["items"] == 8
    assert "asks only a part of the questions" in found.err


def test_choices_run_and_stand_on_a_page_with_questions(question_world: World, asked_folder: Path, tmp_path: Path):
    chosen = question_world.folder / "chosen.yaml"
    arguments = ["bench", str(chosen), "--model", str(question_world.model), "--data-root", str(question_world.folder)]
    found = call(*arguments, "--out", str(tmp_path / "chosen"), "--workers", "0")
    assert found.code == 0
    assert "choice by rank · accuracy" in found.out
    assert "25.0" in found.out  # chance among four options
    page = tmp_path / "page.html"
    assert call("report", str(tmp_path), str(asked_folder), "--out", str(page)).code == 0
    assert page.read_text().count("Accuracy by kind of question") == 2


def test_a_retriever_answers_no_questions(world: World, question_world: World, tmp_path: Path):
    begin = ["bench", str(question_world.benchmark), "--model", str(world.model), "--out", str(tmp_path / "out")]
    found = call(*begin, "--data-root", str(question_world.folder), "--workers", "0")
    assert found.code == 2
    assert "cannot do the task 'qa'" in found.err


def checks(world: World, **changes: Any) -> dict[str, Any]:
    asked = {"benchmark": str(world.benchmark), "model": str(world.model), "data_root": world.folder, **changes}
    return {check.about: check for check in examine(Question(**asked))}


def test_the_doctor_counts_questions_and_looks_at_the_list(question_world: World):
    found = checks(question_world)
    assert all(check.fine for check in found.values())
    assert found["annotations"].found.endswith("3 clips, 12 questions (what 6, who 3, how 3)")
    assert found["answer list"].found == "answers.txt: 4 answers, the best of which have 50.0% exact match"


def test_the_doctor_sees_a_list_that_is_not_there(question_world: World):
    found = checks(question_world, overrides=["answers=nothing.txt"])
    assert not found["data"].fine
    assert "nothing.txt" in found["data"].found


def test_the_doctor_sees_a_model_that_cannot_do_the_task(world: World, question_world: World):
    found = checks(question_world, model=str(world.model))["model"]
    assert not found.fine
    assert found.found.startswith("model 'tiny' (BlipRetriever) cannot do the task 'qa': it lacks")
    assert not checks(world, model=str(question_world.model))["model"].fine
