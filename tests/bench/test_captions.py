"""Captioning through the front door: real clips and pictures, a real model, the real command line."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from blipvid.bench.doctor import Question, examine
from tests.bench.call import call
from tests.bench.test_questions import predictions
from tests.bench.world import World


@pytest.fixture(autouse=True, scope="module")
def _no_java() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("blipvid.evaluate.captions.java.find_java", lambda: None)
        yield


@pytest.fixture(scope="module")
def described_folder(caption_world: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "described"
    assert call(*caption_world.arguments(folder)).code == 0
    return folder


def record_of(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "run.json").read_text())


def test_a_run_of_captions_is_recorded_and_shown(described_folder: Path):
    record, rows = record_of(described_folder), predictions(described_folder)
    assert [row["clip"] for row in rows] == ["c0.mp4", "c1.mp4", "c2.mp4", "p3.png", "p4.png"]
    assert [row["kind"] for row in rows] == ["out", "in", "out", "in", "out"]
    assert all(row["prediction"] is not None and len(row["references"]) == 2 for row in rows)
    cider = [row["metrics"]["cider"] for row in rows]
    assert record["metrics"]["cider"] == pytest.approx(sum(cider) / 5, abs=0.01)
    assert {"cider_in", "cider_out", "bleu4", "bleu4_in"} <= set(record["metrics"])
    low, high = record["intervals"]["cider"]
    assert low <= record["metrics"]["cider"] <= high
    page = (described_folder / "table.md").read_text()
    assert "# described · tiny · 5 of 5 clips, 10 annotated captions" in page
    for part in ("| CIDEr ", "| CIDEr · in ", "BLEU-4", "133.3", "by beam search, 3 beams", "captioned by"):
        assert part in page


def test_the_captions_lie_ready_to_be_handed_in(described_folder: Path):
    handed_in = json.loads((described_folder / "submission.json").read_text())
    rows = predictions(described_folder)
    assert handed_in == [{"image_id": int(row["id"]), "caption": row["prediction"]} for row in rows]
    assert [one["image_id"] for one in handed_in] == [10, 11, 12, 13, 14]


def test_what_could_not_be_computed_stands_in_the_table(caption_world: World, tmp_path: Path):
    found = call(*caption_world.arguments(tmp_path / "out"))
    assert found.code == 0
    line = next(line for line in found.out.splitlines() if "SPICE" in line and "not computed" in line)
    assert "23.7" in line
    assert "spice" in record_of(tmp_path / "out")["details"]["not_computed"]
    printed = call(*caption_world.arguments(tmp_path / "again", "--format", "json"))
    assert "spice" in json.loads(printed.out)[0]["not_computed"]


def test_a_set_without_captions_gives_a_file_to_hand_in(caption_world: World, tmp_path: Path):
    for form in ("rich", "markdown", "csv", "json"):
        begin = caption_world.arguments(tmp_path / form, "--set", "dataset.fields.captions=null", "--format", form)
        found = call(*begin)
        assert found.code == 0, found.err
        assert (tmp_path / form / "submission.json").exists()
    record = record_of(tmp_path / "rich")
    assert record["metrics"] == {}
    assert "Nothing is scored" in found.err or "nothing is scored" in found.err
    assert "5 of 5 clips, 0 annotated captions" in found.err
    assert call("report", str(tmp_path / "rich"), "--out", str(tmp_path / "page.html")).code == 0


def test_of_captions_to_hand_in_those_that_differ_are_shown(caption_world: World, tmp_path: Path):
    for name, search in (("a", "beam"), ("b", "nucleus")):
        changes = ("--set", "dataset.fields.captions=null", "--set", f"search={search}")
        assert call(*caption_world.arguments(tmp_path / name, *changes)).code == 0
    said = [[row["prediction"] for row in predictions(tmp_path / name)] for name in ("a", "b")]
    differ = sum(one != other for one, other in zip(*said, strict=True))
    found = call("compare", str(tmp_path / "a"), str(tmp_path / "b"))
    assert found.code == 0, found.err
    assert f"Neither run is scored, so there are no figures to compare; {differ} captions differ." in found.out
    assert "settings.search" in found.out
    assert "by CIDEr" not in found.out


def test_a_later_run_leaves_no_old_file_to_hand_in(world: World, caption_world: World, tmp_path: Path):
    assert call(*caption_world.arguments(tmp_path)).code == 0
    assert (tmp_path / "submission.json").exists()
    assert call(*world.arguments(tmp_path)).code == 0
    assert not (tmp_path / "submission.json").exists()


def test_a_broken_clip_is_skipped_and_has_an_empty_caption(caption_world: World, tmp_path: Path):
    (tmp_path / "clips").mkdir()
    for path in (caption_world.folder / "clips").iterdir():
        (tmp_path / "clips" / path.name).write_bytes(path.read_bytes())
    (tmp_path / "clips" / "p3.png").write_bytes(b"no picture")
    media = ("--media", str(tmp_path / "clips" / "{clip}"))
    stopped = call(*caption_world.arguments(tmp_path / "out", *media))
    assert stopped.code == 1
    assert "p3.png" in stopped.err.splitlines()[-1]
    assert call(*caption_world.arguments(tmp_path / "out", *media, "--set", "on_error=skip")).code == 0
    assert record_of(tmp_path / "out")["coverage"]["clips_used"] == 4
    handed_in = json.loads((tmp_path / "out" / "submission.json").read_text())
    assert handed_in[3] == {"image_id": 13, "caption": ""}
    assert predictions(tmp_path / "out")[3]["prediction"] is None


def test_two_runs_are_compared_clip_by_clip(caption_world: World, described_folder: Path, tmp_path: Path):
    assert call(*caption_world.arguments(tmp_path / "drawn", "--set", "search=nucleus")).code == 0
    found = call("compare", str(described_folder), str(tmp_path / "drawn"))
    assert found.code == 0
    assert "settings.search" in found.out
    assert "captions differ; by CIDEr" in found.out
    same = call("compare", str(described_folder), str(described_folder))
    assert "0 captions differ; by CIDEr 0 are better in the second run, 0 worse." in same.out


def test_a_page_shows_the_captions(described_folder: Path, tmp_path: Path):
    page = tmp_path / "page.html"
    assert call("report", str(described_folder), "--out", str(page)).code == 0
    text = page.read_text()
    assert "Captions, those with the lowest CIDEr first" in text
    assert "Wrong answers" not in text
    assert predictions(described_folder)[0]["references"][0] in text


def test_nucleus_sampling_is_the_same_again_and_other_with_another_seed(caption_world: World, tmp_path: Path):
    said = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        arguments = caption_world.arguments(
            tmp_path / name, "--set", "search=nucleus", "--set", f"settings.seed={seed}"
        )
        assert call(*arguments, "--batch-size", "1" if name == "b" else "32").code == 0
        said.append([row["prediction"] for row in predictions(tmp_path / name)])
    assert said[0] == said[1]
    assert said[0] != said[2]


def test_a_limit_is_compared_with_nothing(caption_world: World, tmp_path: Path):
    found = call(*caption_world.arguments(tmp_path, "--limit", "2", "--format", "json"))
    (run,) = json.loads(found.out)
    assert all(row["difference"] is None for row in run["rows"])
    assert "captions only a part of the clips" in found.err


def test_a_model_that_cannot_and_settings_that_leave_no_room(caption_world: World, world: World, tmp_path: Path):
    begin = ["bench", str(caption_world.benchmark), "--model", str(world.model), "--out", str(tmp_path / "out")]
    found = call(*begin, "--data-root", str(caption_world.folder), "--workers", "0")
    assert found.code == 2
    assert "cannot do the task 'caption': it lacks caption" in found.err
    short = call(*caption_world.arguments(tmp_path / "out", "--set", "max_tokens=4", "--set", "min_tokens=1"))
    assert short.code == 2
    assert "has 4 tokens with the opening one, which leaves none of max_tokens 4 for a caption" in short.err
    assert not (tmp_path / "out").exists()


def test_the_doctor_counts_captions(caption_world: World):
    question = Question(str(caption_world.benchmark), str(caption_world.model), caption_world.folder)
    found = {check.about: check for check in examine(question)}
    assert all(check.fine for check in found.values())
    assert found["annotations"].found.endswith("5 clips, 10 captions")
