import csv
import io
import json

from rich.console import Console

from blipvid.bench.choices import Format
from blipvid.bench.layout import markdown_page, render, show, show_together
from tests.bench.records import PAPER, a_caption_run, a_choice_run, a_qa_run, a_run


def printed(run_or_runs: object, how: object) -> str:
    text = io.StringIO()
    how(run_or_runs, Console(file=text, width=160))  # type: ignore[operator]
    return text.getvalue()


def test_markdown_holds_what_a_reader_needs():
    lines = render([a_run(published=(PAPER,))], Format.MARKDOWN).splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert cells[0] == ["metric", "ours", "95% interval", "ITC only", "published", "difference"]
    assert cells[2] == ["text-to-video R@1", "43.2", "[40.1, 46.4]", "30.0", "43.3", "-0.0"]
    assert cells[3] == ["text-to-video MdR", "2", "[1.5, 3]", "3.5", "2", "+0"]


def test_columns_without_a_figure_are_left_out():
    header = render([a_run(intervals={})], Format.MARKDOWN).splitlines()[0]
    assert "interval" not in header
    assert "published" not in header


def test_latex_is_a_tabular_with_its_percent_signs_escaped():
    text = render([a_run(published=(PAPER,))], Format.LATEX)
    assert text.startswith("\\begin{tabular}")
    assert "95\\% interval" in text


def test_csv_and_json_hold_unrounded_figures():
    run = a_run(published=(PAPER,))
    rows = list(csv.DictReader(io.StringIO(render([run, run], Format.CSV))))
    assert len(rows) == 8
    assert rows[0]["ours"] == "43.25"
    assert rows[0]["metric"] == "t2v_r1"
    (found,) = json.loads(render([run], Format.JSON))
    assert found["rows"][0]["low"] == 40.15
    assert found["coverage"]["clips_used"] == 997


def test_several_runs_make_one_table_with_a_line_each():
    other = a_run(benchmark={"name": "seven"}, metrics={"t2v_r1": 1.0})
    lines = render([a_run(), other], Format.MARKDOWN).splitlines()
    assert len(lines) == 4
    assert [cell.strip() for cell in lines[3].strip("|").split("|")] == [
        "seven",
        "tiny",
        "997/1,000",
        "1.0",
        "",
        "",
        "",
    ]


def test_the_terminal_table_holds_the_same_figures():
    text = io.StringIO()
    show(a_run(published=(PAPER,)), Console(file=text, width=160))
    assert "six · tiny · 997 of 1,000 clips" in text.getvalue()
    assert "[40.1, 46.4]" in text.getvalue()


def test_old_readers_of_csv_and_json_find_their_columns():
    old = [
        "benchmark",
        "model",
        "clips_used",
        "clips",
        "metric",
        "ours",
        "low",
        "high",
        "itc",
        "published",
        "difference",
    ]
    for run in (a_run(), a_qa_run(), a_choice_run()):
        head = render([run], Format.CSV).splitlines()[0].split(",")
        assert head[: len(old)] == old
        assert head[len(old) :] == ["vqa", "questions", "commonest", "chance", "protocol", "not_computed"]
        (found,) = json.loads(render([run], Format.JSON))
        assert list(found["rows"][0]) == head[4:-1]


def test_csv_has_a_row_for_what_was_not_computed_with_the_reason_and_no_figure():
    rows = list(csv.DictReader(io.StringIO(render([a_caption_run()], Format.CSV))))
    told = ("benchmark", "ours", "published", "not_computed")
    assert {row["metric"]: tuple(row[key] for key in told) for row in rows if not row["ours"]} == {
        "meteor": ("described", "", "", "needs Java"),
        "spice": ("described", "", "23.7", "needs Java"),
    }
    assert all(not row["not_computed"] for row in rows if row["ours"])


def test_csv_of_questions_names_the_protocol_of_every_figure():
    rows = list(csv.DictReader(io.StringIO(render([a_qa_run()], Format.CSV))))
    assert [row["protocol"] for row in rows] == ["generate"] * 4 + ["rank:train-top-1000"] * 4
    assert (rows[0]["ours"], rows[0]["vqa"], rows[0]["questions"], rows[0]["commonest"]) == (
        "35.0",
        "36.0",
        "100",
        "12.0",
    )


def test_a_table_of_questions_in_markdown():
    lines = render([a_qa_run()], Format.MARKDOWN).splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert cells[0] == ["metric", "questions", "ours", "95% interval", "VQA-normalised", "commonest answer"]
    assert cells[2] == ["generate · exact match", "100", "35.0", "[31.0, 40.0]", "36.0", "12.0"]
    assert cells[7] == ["rank:train-top-1000 · what", "60", "31.0", "[27.0, 36.0]", "31.5", "9.0"]
    assert len(cells) == 2 + 8


def test_runs_of_different_tasks_share_no_table():
    text = render([a_run(), a_qa_run(), a_run(), a_choice_run()], Format.MARKDOWN)
    tables = text.split("\n\n")
    assert [len(table.splitlines()) for table in tables] == [4, 3, 3]
    assert "t2v R@1" not in tables[1]
    assert "rank:train-top-1000 · exact match" in tables[1]
    assert "choice by rank · accuracy" in tables[2]


def test_a_run_alone_in_its_task_is_not_shown_twice():
    assert printed([a_run(), a_qa_run()], show_together) == ""
    assert printed([a_run(), a_qa_run(), a_qa_run()], show_together).count("asked") == 2


def test_pages_and_terminals_hold_questions_too():
    assert "# asked · tiny · 19 of 20 clips, 100 questions" in markdown_page(a_qa_run())
    shown = printed(a_choice_run(), show)
    assert "choice by rank · temporal" in shown
    assert "chance" in shown
    assert "VQA-normalised" not in shown


def test_brackets_in_names_are_not_markup():
    named = a_qa_run(details={"protocols": {"generate": "generate", "rank": "rank:[red]list"}})
    assert "rank:[red]list · what" in printed(named, show)
