import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np

from blipvid.bench.curves import pictures, recall_curve
from blipvid.bench.record import write_run
from blipvid.bench.report import WRONG_OF_A_KIND, worst_queries, wrong_answers
from blipvid.core.types import Result
from tests.bench.call import call
from tests.bench.records import a_choice_run, a_prediction, a_qa_run


class Page(HTMLParser):
    """Reads tags and texts of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.unclosed: list[str] = []
        self.links: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.links += [value or "" for name, value in attrs if name in ("href", "src", "xlink:href")]
        if tag not in ("meta", "br", "link"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.links += [value or "" for name, value in attrs if name in ("href", "src", "xlink:href")]

    def handle_endtag(self, tag: str) -> None:
        if self.open.pop() != tag:
            self.unclosed.append(tag)


def a_query(direction: str, query: str, rank: float | None, target: object = "c") -> dict[str, object]:
    return {"direction": direction, "query": query, "target": target, "rank": rank, "top": [["c", 1.5]]}


def test_the_curve_is_the_share_of_queries_found_up_to_k():
    ranks = np.array([1.0, 2.0, 2.5, np.inf])
    recall, low, high = recall_curve(ranks, np.arange(4), 4)
    assert recall.tolist() == [25.0, 50.0, 75.0, 75.0]
    assert (low <= recall).all()
    assert (recall <= high).all()


def test_the_interval_of_the_curve_covers_the_truth_as_often_as_it_says():
    """Coverage of a share of 0.4 by 95% intervals of 200 queries, over 200 drawings."""
    random = np.random.default_rng(0)
    covered = 0
    for _ in range(200):
        ranks = np.where(random.random(200) < 0.4, 1.0, 2.0)
        _, low, high = recall_curve(ranks, np.arange(200), 1)
        covered += low[0] <= 40.0 <= high[0]
    assert 180 <= covered <= 199


def test_queries_of_one_clip_are_drawn_together():
    ranks = np.tile([1.0, 2.0], 20)
    alone = recall_curve(ranks, np.arange(40), 1)
    of_two_clips = recall_curve(ranks, np.arange(40) % 2, 1)
    assert of_two_clips[2] - of_two_clips[1] > 2 * (alone[2] - alone[1])


def test_pictures_show_both_directions():
    found = pictures([a_query("t2v", "a", 1), a_query("t2v", "b", None), a_query("v2t", "a", 3, ["a"])])
    assert len(found) == 2
    assert all(picture.startswith("<svg") and "video-to-text" in picture for picture in found)
    assert pictures([]) == []


def test_a_picture_is_the_same_each_time():
    rows = [a_query("t2v", "a", 1), a_query("t2v", "b", 7)]
    assert pictures(rows) == pictures(rows)


def test_worst_queries_begin_with_misses_and_leave_out_those_that_are_right():
    rows = [
        a_query("t2v", "right", 1),
        a_query("t2v", "far", 40),
        a_query("t2v", "near", 2),
        a_query("t2v", "lost", None),
    ]
    assert [row["query"] for row in worst_queries(rows)] == ["lost", "far", "near"]


def test_the_page_is_whole_and_loads_nothing(run_folder: Path, tmp_path: Path):
    out = tmp_path / "page.html"
    assert call("report", str(run_folder), "--out", str(out)).code == 0
    text = out.read_text(encoding="utf-8")
    page = Page(text)
    assert page.unclosed == []
    assert page.open == []
    assert all(link.startswith("#") for link in page.links)
    assert not re.search(r"@import|url\(\s*['\"]?https?:", text)
    for part in ("six · tiny · 6 of 6 clips", "text-to-video R@1", "a paper", "Worst queries", "blip-compat", "<svg"):
        assert part in text


def test_wrong_answers_are_some_of_each_kind_and_the_surest_first():
    rows = [a_prediction(n, "cat") for n in range(9)]
    rows += [a_prediction(9, "dog"), a_prediction(10, None, kind="who"), a_prediction(11, "cat", kind="who")]
    rows += [a_prediction(12, "cow", protocol="rank")]
    rows += [{**a_prediction(n, "horse"), "question": rows[0]["question"]} for n in (13, 14)]
    found = wrong_answers(rows)
    assert [row["question"] for row in found[:WRONG_OF_A_KIND]] == [f"what runs in scene {n}?" for n in range(4)]
    assert [(row["kind"], row["protocol"]) for row in found[3:6]] == [
        ("what", "generate"),
        ("what", "rank"),
        ("who", "generate"),
    ]
    assert len(found) == 4 + 1 + 1  # the clip without frames gave no answer


def test_a_page_of_questions_shows_accuracy_by_kind_and_wrong_answers(tmp_path: Path):
    options = {"options": ["dog", "<b>cat</b>"], "right": False, "kind": "causal"}
    predictions = {"qa": a_prediction(1, "<b>cat</b>", clip="clip 7"), "choice": a_prediction(2, "cat", **options)}
    for run, name in ((a_qa_run(), "qa"), (a_choice_run(), "choice")):
        write_run(tmp_path / name, run, Result(run.metrics, {}, [predictions[name]], (), 20, 100), "")
    out = tmp_path / "page.html"
    assert call("report", str(tmp_path), "--out", str(out)).code == 0
    text = out.read_text(encoding="utf-8")
    page = Page(text)
    assert page.unclosed == []
    assert page.open == []
    for part in (
        "Accuracy by kind of question",
        "rank:train-top-1000 · what",
        "clip 7",
        "Wrong answers",
        "dog / &lt;b",
    ):
        assert part in text
    assert "<b>cat" not in text
    assert "Worst queries" not in text
    assert text.count("<h2>") == 2


def test_runs_of_one_benchmark_and_model_are_told_apart_by_what_was_changed(tmp_path: Path):
    for name, changes in (("a", {}), ("b", {"overrides": ("beams=1",)}), ("c", {"overrides": ("beams=1",)})):
        run = a_qa_run(**changes)
        write_run(tmp_path / name, run, Result(run.metrics, {}, [], (), 20, 100), "")
    out = tmp_path / "page.html"
    assert call("report", str(tmp_path / "a"), str(tmp_path / "b"), "--out", str(out)).code == 0
    text = out.read_text(encoding="utf-8")
    assert "<th>changed</th>" in text
    assert "<td>nothing</td>" in text
    assert "<td>beams=1</td>" in text
    assert call("report", str(tmp_path), "--out", str(out)).code == 0
    text = out.read_text(encoding="utf-8")
    assert "<th>changed</th>" not in text
    assert "<th>folder</th>" in text
    assert all(f"<td>{name}</td>" in text for name in "abc")


def test_several_runs_share_a_page_and_markup_in_names_is_text(run_folder: Path, tmp_path: Path):
    (tmp_path / "runs").mkdir()
    for name in ("a", "b"):
        copy = tmp_path / "runs" / name
        copy.mkdir()
        for file in run_folder.iterdir():
            (copy / file.name).write_bytes(file.read_bytes().replace(b"a paper", b"<b>paper"))
    out = tmp_path / "page.html"
    assert call("report", str(tmp_path / "runs"), "--out", str(out)).code == 0
    text = out.read_text(encoding="utf-8")
    assert text.count("<h2>") == 2
    assert "<b>paper" not in text
    assert "&lt;b&gt;paper" in text


def test_a_page_that_cannot_be_written_is_an_error(run_folder: Path, tmp_path: Path):
    (tmp_path / "file").touch()
    found = call("report", str(run_folder), "--out", str(tmp_path / "file" / "page.html"))
    assert found.code == 2
    assert "--out" in found.err
