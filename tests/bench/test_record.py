import dataclasses
import json
import math
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from blipvid.bench.record import Run, find_runs, read_predictions, read_run, reserved, write_run
from blipvid.core.errors import ConfigError
from blipvid.core.types import Result
from tests.bench.records import a_run


def a_result(scores: bool = False) -> Result:
    return Result(
        metrics={"t2v_r1": 50.0},
        intervals={},
        predictions=[{"direction": "t2v", "query": "c#0", "target": "c", "rank": 1, "top": [["c", 0.5]]}],
        skipped=(),
        n_clips=2,
        n_items=2,
        scores={"itc": np.arange(4, dtype=np.float32).reshape(2, 2).T} if scores else None,
    )


def test_a_record_survives_json_unchanged(tmp_path: Path):
    run = a_run()
    write_run(tmp_path / "run", run, a_result(), "table\n")
    assert read_run(tmp_path / "run") == run
    assert Run.model_validate_json(run.model_dump_json()) == run


def test_an_interval_that_no_resample_gave_comes_back(tmp_path: Path):
    write_run(tmp_path, a_run(intervals={"t2v_r1": (math.nan, math.nan)}), a_result(), "")
    assert all(map(math.isnan, read_run(tmp_path).intervals["t2v_r1"]))


def test_metrics_are_one_flat_object(tmp_path: Path):
    write_run(tmp_path, a_run(metrics={"t2v_r1": 43.3, "t2v_mdr": 2.0}), a_result(), "")
    raw = json.loads((tmp_path / "run.json").read_text())
    assert raw["metrics"] == {"t2v_r1": 43.3, "t2v_mdr": 2.0}
    assert raw["schema_version"] == 1


def test_a_record_with_an_unknown_key_names_it(tmp_path: Path):
    write_run(tmp_path, a_run(), a_result(), "")
    raw = json.loads((tmp_path / "run.json").read_text())
    raw["metrics_typo"] = {}
    (tmp_path / "run.json").write_text(json.dumps(raw))
    with pytest.raises(ConfigError, match="metrics_typo"):
        read_run(tmp_path)


def test_files_of_an_earlier_run_do_not_stay_behind(tmp_path: Path):
    write_run(tmp_path, a_run(), a_result(scores=True), "")
    assert (tmp_path / "scores.safetensors").exists()
    write_run(tmp_path, a_run(), a_result(), "")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["predictions.jsonl", "run.json", "table.md"]


def test_scores_keep_their_values_whatever_their_memory_order(tmp_path: Path):
    write_run(tmp_path, a_run(), a_result(scores=True), "")
    np.testing.assert_array_equal(load_file(tmp_path / "scores.safetensors")["itc"], [[0, 2], [1, 3]])


@pytest.mark.parametrize("scores", [None, {}])
def test_a_task_without_dense_scores_writes_none(tmp_path: Path, scores: object):
    write_run(tmp_path, a_run(), dataclasses.replace(a_result(), scores=scores), "")
    assert not (tmp_path / "scores.safetensors").exists()
    assert read_run(tmp_path) == a_run()


def test_predictions_come_back_line_by_line(tmp_path: Path):
    write_run(tmp_path, a_run(), a_result(), "")
    assert read_predictions(tmp_path) == list(a_result().predictions)


def test_the_record_stands_only_where_the_rest_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    write_run(tmp_path, a_run(), a_result(), "old")
    unwritable = a_result()
    monkeypatch.setattr("blipvid.bench.record._line", lambda row: (_ for _ in ()).throw(OSError(28, "No space left")))
    with pytest.raises(ConfigError, match="No space left"):
        write_run(tmp_path, a_run(), unwritable, "new")
    assert not (tmp_path / "run.json").exists()
    with pytest.raises(ConfigError, match="no run record"):
        read_run(tmp_path)


def test_paths_lose_the_home_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("HOME", str(tmp_path / "ada"))
    run = a_run(command=f"run_bench.py --out {tmp_path}/ada/runs").without_home()
    assert run.command == "run_bench.py --out ~/runs"
    assert "ada" not in run.model_dump_json()


def test_a_folder_that_cannot_be_written_is_named_before_any_work(tmp_path: Path):
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="--out"), reserved(tmp_path / "file" / "run"):
        pytest.fail("work began")


def test_work_that_fails_leaves_no_empty_folder(tmp_path: Path):
    with suppress(KeyboardInterrupt), reserved(tmp_path / "run"):
        assert (tmp_path / "run").is_dir()
        raise KeyboardInterrupt
    assert not (tmp_path / "run").exists()
    with reserved(tmp_path / "run"):
        write_run(tmp_path / "run", a_run(), a_result(), "")
    assert (tmp_path / "run" / "run.json").exists()


def test_runs_are_found_below_a_folder(tmp_path: Path):
    for name in ("b", "a"):
        write_run(tmp_path / name, a_run(), a_result(), "")
    assert find_runs([tmp_path]) == [tmp_path / "a", tmp_path / "b"]
    assert find_runs([tmp_path / "b", tmp_path]) == [tmp_path / "b", tmp_path / "a"]
    with pytest.raises(ConfigError, match="holds no run record"):
        find_runs([tmp_path / "a" / "nothing"])


def test_times_carry_their_zone():
    run = a_run(started=datetime(2024, 5, 1, 12, tzinfo=UTC))
    assert Run.model_validate_json(run.model_dump_json()).started.utcoffset() is not None
