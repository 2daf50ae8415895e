import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from blipvid.bench.compare import RunComparison, compare_runs
from blipvid.bench.compare_answers import how_right
from blipvid.bench.record import write_run
from blipvid.core.types import Result
from tests.bench.call import call
from tests.bench.records import QA_DETAILS, a_choice_run, a_prediction, a_qa_run

RIGHT, WRONG = "dog", "cat"


def write_answers(folder: Path, answers: Sequence[str | None], **changes: Any) -> Path:
    """Writes a run of "what" questions to all of which `dog` is right, generated and ranked alike."""
    rows = [
        a_prediction(n, answer, protocol=protocol)
        for protocol in ("generate", "rank")
        for n, answer in enumerate(answers)
    ]
    metrics = _accuracies(answers, ("generate_accuracy", "generate_accuracy_what", "rank_accuracy"))
    run = a_qa_run(**{"metrics": metrics, **changes})
    kept = [row for row in rows if f"{row['protocol']}_accuracy" in run.metrics]
    write_run(folder, run, Result(run.metrics, {}, kept, (), 3, len(answers)), "")
    return folder


def _accuracies(answers: Sequence[str | None], names: Sequence[str]) -> dict[str, float]:
    return dict.fromkeys(names, 100 * sum(answer == RIGHT for answer in answers) / len(answers))


def compared(
    tmp_path: Path, before: Sequence[str | None], after: Sequence[str | None], **changes: Any
) -> RunComparison:
    return compare_runs(write_answers(tmp_path / "a", before), write_answers(tmp_path / "b", after, **changes))


def test_an_accuracy_is_tested_by_the_questions_that_only_one_run_got_right(tmp_path: Path):
    before = [RIGHT, WRONG, WRONG, RIGHT, WRONG, None]
    after = [RIGHT, RIGHT, RIGHT, WRONG, RIGHT, RIGHT]
    lines = compared(tmp_path, before, after).lines
    assert [line.metric for line in lines] == ["generate_accuracy", "generate_accuracy_what", "rank_accuracy"]
    for line in lines:
        assert (line.won, line.lost) == (4, 1)
        assert line.p == pytest.approx(0.375)  # both tails of a fair coin: 2 * (1 + 5) / 32
        assert line.second - line.first == pytest.approx(100 * 3 / 6)


def test_the_test_of_a_kind_is_over_its_own_questions(tmp_path: Path):
    folders = []
    for name, answers in (("a", (WRONG, WRONG)), ("b", (RIGHT, WRONG))):
        rows = [a_prediction(0, answers[0], kind="who"), a_prediction(1, answers[1])]
        metrics = {"generate_accuracy": 0.0, "generate_accuracy_who": 0.0, "generate_accuracy_what": 0.0}
        write_run(tmp_path / name, a_qa_run(metrics=metrics), Result(metrics, {}, rows, (), 2, 2), "")
        folders.append(tmp_path / name)
    assert [line.won for line in compare_runs(*folders).lines] == [1, 1, 0]


def test_answers_that_changed_are_listed_and_those_that_made_a_difference_come_first(tmp_path: Path):
    found = compared(tmp_path, [WRONG, RIGHT, RIGHT, None], ["cow", RIGHT, WRONG, WRONG])
    assert [change.cells() for change in found.changes[:2]] == [
        ["what runs in scene 2?", "generate", "dog", "cat", "dog"],
        ["what runs in scene 2?", "rank", "dog", "cat", "dog"],
    ]
    assert [change.cells()[2:4] for change in found.changes[2:4]] == [["cat", "cow"], ["no frames", "cat"]]
    assert len(found.changes) == 6
    assert found.summary.startswith("6 answers differ; 0 became right in the second run, 2 wrong")


def test_equal_runs_differ_in_nothing(tmp_path: Path):
    found = compared(tmp_path, [RIGHT, WRONG], [RIGHT, WRONG])
    assert found.changes == []
    assert found.settings == {}
    assert [line.p for line in found.lines] == [1.0, 1.0, 1.0]


def test_a_protocol_that_one_run_has_alone_is_noted(tmp_path: Path):
    found = compared(tmp_path, [RIGHT], [WRONG], metrics={"generate_accuracy": 0.0})
    assert [line.metric for line in found.lines] == ["generate_accuracy"]
    assert "Only the first run answered by 'rank'." in found.notes
    assert {change.cells()[1] for change in found.changes} == {"generate"}


def test_another_list_of_answers_is_a_setting_that_differs(tmp_path: Path):
    other = {**QA_DETAILS["answer_list"], "sha256": "f" * 64}
    details = {**QA_DETAILS, "answer_list": other, "protocols": {"generate": "generate", "rank": "rank:other"}}
    found = compared(tmp_path, [RIGHT], [WRONG], details=details)
    assert found.settings == {"answer list": ("0123456789ab", "ffffffffffff")}
    shown = call("compare", str(tmp_path / "a"), str(tmp_path / "b"))
    assert "│ rank · exact match " in shown.out  # neither list alone gave both figures
    assert "│ generate · exact match " in shown.out


def test_only_common_questions_are_tested_and_that_is_said(tmp_path: Path):
    found = compared(tmp_path, [RIGHT, WRONG, WRONG], [RIGHT, RIGHT])
    assert found.lines[0].won == 1
    assert any("generate: 2 questions in common of 3 and 2" in note for note in found.notes)


def test_questions_of_one_clip_are_not_independent_and_that_is_said(tmp_path: Path):
    assert any(note.startswith("Questions of one clip") for note in compared(tmp_path, [RIGHT], [RIGHT]).notes)


def test_what_is_right_in_part_becomes_better_or_worse(tmp_path: Path):
    folders = []
    for name, shares in (("a", (0.3, 1.0, 0.9)), ("b", (0.9, 0.6, 0.9))):
        rows = [a_prediction(number, name, right=share) for number, share in enumerate(shares)]
        metrics = {"generate_accuracy": 100 * sum(shares) / 3}
        write_run(tmp_path / name, a_qa_run(metrics=metrics), Result(metrics, {}, rows, (), 3, 3), "")
        folders.append(tmp_path / name)
    found = compare_runs(*folders)
    assert found.summary.startswith("3 answers differ; 1 became better in the second run, 1 worse")
    assert (found.lines[0].won, found.lines[0].lost) == (1, 1)
    assert "p: the exact sign test, two-sided, not corrected." in found.notes
    assert [change.id for change in found.changes] == ["q0", "q1", "q2"]  # the last is as right as before


def test_nobody_wins_where_no_answers_are_known():
    assert math.isnan(how_right({"prediction": "dog", "answer": None, "right": None}))


def write_unscored(folder: Path, answers: Sequence[str], *protocols: str, **changes: Any) -> Path:
    rows = [
        a_prediction(n, answer, protocol=protocol, answer=None, right=None)
        for protocol in protocols
        for n, answer in enumerate(answers)
    ]
    write_run(folder, a_qa_run(metrics={}, intervals={}, **changes), Result({}, {}, rows, (), 3, len(answers)), "")
    return folder


def test_of_runs_that_nobody_scored_the_answers_are_compared(tmp_path: Path):
    other = {"name": "asked", "task": "qa", "dataset": {"annotations": "qa.json"}, "frames": {"count": 4}}
    first = write_unscored(tmp_path / "a", ["dog", "cat"], "generate", "rank")
    second = write_unscored(tmp_path / "b", ["dog", "cow"], "generate", "rank", benchmark=other)
    shown = call("compare", str(first), str(second))
    assert shown.code == 0, shown.err
    assert "Neither run is scored, so there are no figures to compare; 2 answers differ." in shown.out
    for part in ("frames.count", "what runs in scene 1?", "cow", "not known"):
        assert part in shown.out
    for part in ("p:", "so p is too small", "metric"):
        assert part not in shown.out
    for form in ("csv", "markdown"):
        assert not call("compare", str(first), str(second), "--format", form).out.strip()


def test_of_unscored_runs_one_way_of_answering_is_compared_with_another(tmp_path: Path):
    first = write_unscored(tmp_path / "a", ["dog", "cat"], "generate")
    alike, apart = (write_unscored(tmp_path / way, ["dog", "cow"], way) for way in ("generate", "rank"))
    assert [[change.protocol for change in compare_runs(first, second).changes] for second in (alike, apart)] == [
        ["generate"],
        ["generate against rank"],
    ]


def test_an_option_is_right_by_its_place_and_not_by_its_text():
    assert how_right({"prediction": "to wave", "answer": "to wave", "right": True})
    assert not how_right({"prediction": "to wave", "answer": "to wave", "right": False})  # two options, one text
    assert how_right(a_prediction(0, RIGHT))
    assert not how_right(a_prediction(0, None))
    assert not how_right(a_prediction(0, "Dog"))  # letter by letter


def write_one_way(folder: Path, protocol: str, answers: Sequence[str], **changes: Any) -> Path:
    names = (f"{protocol}_accuracy", f"{protocol}_accuracy_what", f"vqa_{protocol}_accuracy")
    metrics = _accuracies(answers, names)
    rows = [a_prediction(n, answer, protocol=protocol, **changes) for n, answer in enumerate(answers)]
    write_run(folder, a_qa_run(metrics=metrics), Result(metrics, {}, rows, (), 3, len(answers)), "")
    return folder


def test_two_ways_of_answering_are_compared_question_by_question(tmp_path: Path):
    first = write_one_way(tmp_path / "a", "generate", [RIGHT, WRONG, WRONG, WRONG])
    second = write_one_way(tmp_path / "b", "rank", [WRONG, RIGHT, RIGHT, RIGHT])
    found = compare_runs(first, second)
    assert [(line.first, line.second, line.won, line.lost) for line in found.lines] == [(25.0, 75.0, 3, 1)] * 2
    assert found.lines[0].p == pytest.approx(0.625)  # both tails of a fair coin: 2 * (1 + 4) / 16
    assert len(found.changes) == 4
    shown = call("compare", str(first), str(second)).out
    assert "generate against rank · exact match" in shown
    assert "generate against rank · what" in shown


def test_two_ways_of_answering_other_questions_are_not_compared(tmp_path: Path):
    first = write_one_way(tmp_path / "a", "generate", [RIGHT])
    second = write_one_way(tmp_path / "b", "rank", [RIGHT], question="what sits?")
    found = call("compare", str(first), str(second))
    assert found.code == 2
    assert '--set "answer_by=[generate, rank]"' in found.err


def test_choices_are_compared_too(tmp_path: Path):
    for name, right in (("a", False), ("b", True)):
        row = {**a_prediction(0, RIGHT if right else WRONG, kind="causal"), "options": [RIGHT, WRONG], "right": right}
        row["question"] = ""
        del row["protocol"]
        run = a_choice_run()
        write_run(tmp_path / name, run, Result(run.metrics, {}, [row], (), 1, 1), "")
    found = compare_runs(tmp_path / "a", tmp_path / "b")
    assert [(line.metric, line.won) for line in found.lines[:2]] == [
        ("choice_accuracy", 1),
        ("choice_accuracy_causal", 1),
    ]
    assert found.changes[0].cells() == ["q0", "choice", "cat", "dog", "dog"]


def test_the_command_lists_changed_answers(tmp_path: Path):
    write_answers(tmp_path / "a", [WRONG, WRONG])
    write_answers(tmp_path / "b", [RIGHT, "[red] dog"])
    found = call("compare", str(tmp_path / "a"), str(tmp_path / "b"), "--changes", "4")
    assert found.code == 0
    assert "first answer" in found.out
    assert "[red] dog" in found.out
    table = call("compare", str(tmp_path / "a"), str(tmp_path / "b"), "--format", "csv")
    assert table.out.splitlines()[0] == "metric,first,second,won,lost,p"
    assert "2 answers differ" not in table.out
