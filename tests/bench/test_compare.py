import json
import math
from pathlib import Path

import pytest
from scipy import stats

from blipvid.bench.compare import compare_runs
from blipvid.bench.record import write_run
from blipvid.core.errors import ConfigError
from blipvid.core.types import Result
from tests.bench.call import call
from tests.bench.records import a_run
from tests.bench.world import World


def write_ranks(folder: Path, ranks: dict[str, float | None], **changes: object) -> Path:
    """Writes a run whose text-to-video queries have these ranks."""
    found = [math.inf if rank is None else rank for rank in ranks.values()]
    metrics = {
        "t2v_r1": 100 * sum(rank <= 1 for rank in found) / len(found),
        "t2v_mnr": sum(min(rank, 100) for rank in found) / len(found),
    }
    predictions = [
        {"direction": "t2v", "query": query, "target": query, "rank": rank, "top": []} for query, rank in ranks.items()
    ]
    result = Result(metrics, {}, predictions, (), len(ranks), len(ranks))
    write_run(folder, a_run(metrics=metrics, **changes), result, "")
    return folder


def test_a_recall_is_tested_by_the_queries_that_only_one_run_got_right(tmp_path: Path):
    first = write_ranks(tmp_path / "a", {"q1": 1, "q2": 2, "q3": 5, "q4": 1, "q5": 9, "q6": 3})
    second = write_ranks(tmp_path / "b", {"q1": 1, "q2": 1, "q3": 1, "q4": 2, "q5": 1, "q6": 1})
    line = compare_runs(first, second).lines[0]
    assert (line.metric, line.won, line.lost) == ("t2v_r1", 4, 1)
    assert line.p == pytest.approx(0.375)  # both tails of a fair coin: 2 * (1 + 5) / 32
    assert line.second - line.first == pytest.approx(100 * 3 / 6)


def test_ranks_are_tested_by_wilcoxon_and_a_miss_is_behind_everything(tmp_path: Path):
    before = {"q1": 4.0, "q2": 7.0, "q3": None, "q4": 9.0, "q5": 2.0}
    after = {"q1": 1.0, "q2": 2.0, "q3": 3.0, "q4": 8.0, "q5": 4.0}
    found = compare_runs(write_ranks(tmp_path / "a", before), write_ranks(tmp_path / "b", after))
    line = found.lines[1]
    assert (line.won, line.lost) == (4, 1)
    assert line.p == pytest.approx(stats.wilcoxon([-3, -5, -7, -1, 2]).pvalue)
    assert found.changes[0].query == "q3"  # out of nowhere is the greatest move
    assert [move.query for move in found.changes[1:3]] == ["q1", "q2"]


def test_equal_runs_differ_in_nothing(tmp_path: Path):
    ranks = {"q1": 1.0, "q2": 3.0}
    found = compare_runs(write_ranks(tmp_path / "a", ranks), write_ranks(tmp_path / "b", ranks))
    assert found.changes == []
    assert found.settings == {}
    assert [line.p for line in found.lines] == [1.0, 1.0]


def test_settings_that_differ_are_named_with_both_values(tmp_path: Path):
    first = write_ranks(tmp_path / "a", {"q1": 1.0})
    benchmark = {"name": "six", "dataset": {"annotations": "captions.csv", "obtain": "x"}, "frames": {"count": 4}}
    second = write_ranks(tmp_path / "b", {"q1": 1.0}, benchmark=benchmark, runtime={"precision": "bf16"})
    assert compare_runs(first, second).settings == {"frames.count": (8, 4), "precision": ("fp32", "bf16")}


def test_only_common_queries_are_tested_and_that_is_said(tmp_path: Path):
    first = write_ranks(tmp_path / "a", {"q1": 1.0, "q2": 2.0})
    second = write_ranks(tmp_path / "b", {"q2": 1.0, "q3": 1.0})
    found = compare_runs(first, second)
    assert found.lines[0].won == 1
    assert any("1 queries in common of 2 and 2" in note for note in found.notes)


def test_runs_without_a_common_metric_cannot_be_compared(tmp_path: Path):
    first = write_ranks(tmp_path / "a", {"q1": 1.0})
    write_ranks(tmp_path / "b", {"q1": 1.0})
    raw = json.loads((tmp_path / "b" / "run.json").read_text())
    raw["metrics"] = {"accuracy": 1.0}
    (tmp_path / "b" / "run.json").write_text(json.dumps(raw))
    with pytest.raises(ConfigError, match="no metric in common"):
        compare_runs(first, tmp_path / "b")


def test_a_scored_run_and_an_unscored_one_have_no_metric_in_common(tmp_path: Path):
    first = write_ranks(tmp_path / "a", {"q1": 1.0})
    write_run(tmp_path / "b", a_run(metrics={}, intervals={}), Result({}, {}, [], (), 1, 1), "")
    with pytest.raises(ConfigError, match="no metric in common"):
        compare_runs(first, tmp_path / "b")


def test_of_dialogs_that_nobody_scored_that_is_said(tmp_path: Path):
    benchmark = {"name": "told", "task": "dialog", "dataset": {"annotations": "dialogs.json"}}
    row = {"id": "d0", "clip": "c0", "round": 1, "question": "is it red?", "answer": None, "rank": None, "top": []}
    for name in ("a", "b"):
        run = a_run(benchmark=benchmark, metrics={}, intervals={})
        write_run(tmp_path / name, run, Result({}, {}, [row], (), 1, 1), "")
    found = compare_runs(tmp_path / "a", tmp_path / "b")
    assert found.summary == "Neither run is scored, so there are no figures to compare."
    assert found.notes == []


def test_the_command_compares_two_real_runs(world: World, run_folder: Path, tmp_path: Path):
    assert call(*world.arguments(tmp_path, "--set", "rerank_top_k=0")).code == 0
    found = call("compare", str(run_folder), str(tmp_path))
    assert found.code == 0
    assert "settings.rerank_top_k" in found.out
    assert "text-to-video R@1" in found.out
    table = call("compare", str(run_folder), str(tmp_path), "--format", "csv")
    assert table.out.splitlines()[0] == "metric,first,second,won,lost,p"
    assert "set differently" in table.err


def test_a_folder_without_a_run_is_named(tmp_path: Path):
    found = call("compare", str(tmp_path), str(tmp_path))
    assert found.code == 2
    assert str(tmp_path) in found.err
