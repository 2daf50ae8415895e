import dataclasses
from pathlib import Path

import pytest

from blipvid.bench.doctor import Check, Question, examine
from tests.bench.call import call
from tests.bench.world import World


def checks(question: Question) -> dict[str, Check]:
    return {check.about: check for check in examine(question)}


def a_question(world: World, **changes: object) -> Question:
    question = Question(benchmark=str(world.benchmark), model=str(world.model), data_root=world.folder)
    return dataclasses.replace(question, **changes)  # type: ignore[arg-type]


def test_all_is_well_with_a_whole_world(world: World):
    found = checks(a_question(world))
    assert all(check.fine for check in found.values())
    assert "6 clips, 6 texts" in found["annotations"].found
    assert "frames [0, 4]" in found["first clip"].found
    assert "loads" in found["model"].found


def test_missing_media_are_named_and_the_rest_is_looked_at_all_the_same(world: World, tmp_path: Path):
    (tmp_path / "clips").mkdir()
    (tmp_path / "captions.csv").write_bytes((world.folder / "captions.csv").read_bytes())
    for number in range(1, 6):
        (tmp_path / "clips" / f"c{number}.mp4").write_bytes((world.folder / "clips" / f"c{number}.mp4").read_bytes())
    found = checks(a_question(world, data_root=tmp_path))
    assert not found["data"].fine
    assert "c0.mp4" in found["data"].found
    assert found["first clip"].fine
    assert "c1.mp4" in found["first clip"].found
    assert found["model"].fine


def test_a_first_clip_that_does_not_decode_is_a_problem(world: World, tmp_path: Path):
    (tmp_path / "c0.mp4").write_bytes(b"no video")
    (tmp_path / "captions.csv").write_text("clip,caption\nc0,a dog\n")
    found = checks(
        a_question(world, data_root=tmp_path, annotations=tmp_path / "captions.csv", media=f"{tmp_path}/{{clip}}.mp4")
    )
    assert not found["first clip"].fine
    assert "c0" in found["first clip"].found


def test_a_wrong_benchmark_or_model_is_a_problem_and_not_a_crash(world: World):
    found = checks(Question(benchmark="msrvtt-retrievl"))
    assert not found["benchmark"].fine
    assert "Did you mean" in found["benchmark"].found
    assert not checks(a_question(world, model="nothing"))["model"].fine
    assert not checks(a_question(world, model=None))["model"].fine  # the benchmark names none


def test_a_released_checkpoint_is_not_downloaded(world: World):
    found = checks(a_question(world, model="blip-base-retrieval-coco"))["model"]
    assert found.fine
    assert "models fetch" in found.found


def test_a_cache_folder_that_cannot_be_written_is_a_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("BLIPVID_CACHE", str(tmp_path / "file" / "cache"))
    found = checks(Question())["cache folder"]
    assert not found.fine
    assert "BLIPVID_CACHE" in found.found


def test_the_command_prints_a_line_a_check_and_ends_with_1_on_a_problem(world: World):
    asked = [str(world.benchmark), "--model", str(world.model)]
    well = call("doctor", *asked, "--data-root", str(world.folder))
    assert well.code == 0
    assert all(line.startswith("ok") for line in well.out.splitlines())
    ill = call("doctor", *asked, "--data-root", str(world.folder / "nowhere"))
    assert ill.code == 1
    assert any(line.startswith("problem") for line in ill.out.splitlines())
