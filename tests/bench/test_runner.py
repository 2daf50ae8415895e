import dataclasses
from datetime import datetime
from pathlib import Path

import pytest

from blipvid.bench.runner import Request, plan
from blipvid.core.errors import BlipvidError, ConfigError
from blipvid.core.types import Result, RetrievalSet
from tests.bench.call import call
from tests.bench.world import World

NOW = datetime(2024, 5, 1, 12, 30)


def a_request(world: World, **changes: object) -> Request:
    request = Request(benchmarks=[str(world.benchmark)], models=[str(world.model)])
    return dataclasses.replace(request, **changes)  # type: ignore[arg-type]


def test_one_run_has_the_folder_itself(world: World, tmp_path: Path):
    (job,) = plan(a_request(world, out=tmp_path), NOW)
    assert job.folder == tmp_path
    assert job.benchmark.name == "six"


def test_the_folder_is_named_after_time_and_benchmark(world: World):
    (job,) = plan(a_request(world), NOW)
    assert job.folder == Path("runs/20240501-123000-six")


def test_several_runs_get_folders_of_their_own(world: World, tmp_path: Path):
    other = world.write_benchmark("seven")
    jobs = plan(a_request(world, benchmarks=[str(world.benchmark), str(other)], out=tmp_path), NOW)
    assert [job.folder for job in jobs] == [tmp_path / "six" / "tiny", tmp_path / "seven" / "tiny"]


def test_two_runs_never_share_a_folder(world: World):
    other = world.write_benchmark("copy")
    other.write_text(world.benchmark.read_text())  # the same name inside
    with pytest.raises(ConfigError, match="same name"):
        plan(a_request(world, benchmarks=[str(world.benchmark), str(other)]), NOW)


def test_without_a_benchmark_the_demos_run_each_on_its_own_model():
    jobs = plan(Request(), NOW)
    assert [job.benchmark.name for job in jobs] == ["demo-caption", "demo-pairs", "demo-qa", "demo-retrieval"]
    assert all(job.model.startswith("demo-") for job in jobs)
    folder = Path("runs/20240501-123000-demo")
    assert [job.folder for job in jobs] == [folder / job.benchmark.name / job.model for job in jobs]


def test_a_benchmark_without_a_model_asks_for_one(world: World):
    with pytest.raises(ConfigError, match="--model"):
        plan(a_request(world, models=[]), NOW)


def test_the_published_checkpoint_is_what_msrvtt_runs_on():
    (job,) = plan(Request(benchmarks=["msrvtt-retrieval"]), NOW)
    assert job.model == "blip-base-retrieval-coco"


def test_all_mistakes_are_named_at_once(world: World):
    with pytest.raises(ConfigError) as error:
        plan(a_request(world, benchmarks=["msrvtt-retrievl", "msvd-retrievl"]), NOW)
    assert "msrvtt-retrievl" in str(error.value)
    assert "msvd-retrievl" in str(error.value)


def test_annotations_belong_to_one_benchmark(world: World, tmp_path: Path):
    both = [str(world.benchmark), "msvd-retrieval"]
    with pytest.raises(ConfigError, match="one benchmark"):
        plan(a_request(world, benchmarks=both, annotations=tmp_path / "a.csv"), NOW)


def test_a_run_that_fails_loses_none_of_the_others(world: World, tmp_path: Path):
    broken = world.write_benchmark("broken", dataset={**_dataset(world), "media": "nowhere/{clip}.mp4"})
    later = world.write_benchmark("later")
    found = call(*world.arguments(tmp_path, str(broken), str(later), "--format", "csv"))
    assert found.code == 2
    assert sorted(path.parent.parent.name for path in tmp_path.rglob("run.json")) == ["later", "six"]
    assert "1 of 3 runs failed: broken" in found.err
    assert {line.split(",")[0] for line in found.out.splitlines()} == {"benchmark", "six", "later"}


def _dataset(world: World) -> dict[str, object]:
    from blipvid.core.config import read_yaml

    return dict(read_yaml(world.benchmark)["dataset"])


def test_a_run_that_fails_writes_nothing(world: World, tmp_path: Path):
    found = call(*world.arguments(tmp_path / "out", "--media", "nowhere/{clip}.mp4"))
    assert found.code == 2
    assert not (tmp_path / "out").exists()


def test_too_little_memory_on_the_device_is_explained(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    import torch

    def out_of_memory(items: RetrievalSet, *_: object) -> Result:
        raise torch.cuda.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr("blipvid.evaluate.run.evaluate", out_of_memory)
    found = call(*world.arguments(tmp_path))
    assert found.code == BlipvidError.exit_code
    assert "lower --batch-size" in found.err


def test_the_keyboard_ends_the_run_with_one_line(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    finished: list[str] = []

    def run_or_stop(job: object, *_: object) -> object:
        if finished:
            raise KeyboardInterrupt
        finished.append("one")
        return real(job, *_)  # type: ignore[arg-type]

    from blipvid.bench.runner import run as real

    monkeypatch.setattr("blipvid.bench.runner.run", run_or_stop)
    other = world.write_benchmark("seven")
    found = call(*world.arguments(tmp_path, str(other)))
    assert found.code == 130
    assert "stopped by the keyboard; 1 finished runs are kept." in found.err
    assert "Traceback" not in found.err
    assert (tmp_path / "six" / "tiny" / "run.json").exists()
