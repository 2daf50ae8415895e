import csv
import io
import json

import pytest
from rich.console import Console

from blipvid.bench.choices import Format
from blipvid.bench.record import Comparison
from blipvid.bench.tables import compare_cells, figure, metric_label, notes, render, rows_of, show, title
from tests.bench.records import a_run

PAPER = Comparison(
    label="a paper",
    metrics={"t2v_r1": 43.3, "t2v_mdr": 2},
    differences={"t2v_r1": 43.25 - 43.3, "t2v_mdr": 0.0},
    source="Table 10",
    checkpoint="ViT-B",
    protocol="re-ranked",
)


def test_each_metric_is_a_row_with_cosine_and_published_beside():
    rows = {row.metric: row for row in rows_of(a_run(published=(PAPER,)))}
    assert list(rows) == ["t2v_r1", "t2v_mdr", "t2v_mnr", "v2t_r1"]
    r1 = rows["t2v_r1"]
    assert (r1.ours, r1.itc, r1.published, r1.interval) == (43.25, 30.0, 43.3, (40.15, 46.35))
    assert r1.difference == pytest.approx(-0.05)
    assert rows["v2t_r1"].published is None


def test_without_reranking_there_is_no_column_of_cosines():
    rows = rows_of(a_run(details={"score": "cosine"}))
    assert all(row.itc is None for row in rows)
    assert "ITC only" not in render([a_run(details={"score": "cosine"})], Format.MARKDOWN)


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


def test_the_title_states_coverage():
    assert title(a_run()) == "six · tiny · 997 of 1,000 clips, 1,000 texts"


def test_notes_name_skipped_clips_readers_ties_and_why_no_difference_stands():
    run = a_run(
        published=(PAPER,),
        not_comparable=("--limit 20 makes the gallery smaller than the published one",),
        caveats=("the encoders ran in bf16",),
        coverage={
            "clips_used": 1,
            "clips": 2,
            "items": 2,
            "skipped": [{"clip_id": "c7", "reason": "clip 'c7': cut short."}],
        },
        details={
            "backends": {"decord": 1},
            "frame_notes": [{"note": "two video streams", "clips": 1, "first": ["c1"]}],
            "ties": {"rule": "expected", "t2v": {"tied": 3}, "v2t": {"tied": 1}},
            "notes": ["rerank_top_k 128 is larger than the gallery of 2 clips (t2v): all of it was re-ranked"],
            "paired": {
                "metric": "t2v_r1",
                "ours": "re-ranked",
                "theirs": "cosine alone",
                "gained": 5,
                "lost": 1,
                "p": 0.21,
                "test": "exact McNemar",
            },
        },
    )
    text = "\n".join(notes(run))
    for part in (
        "Published: a paper (Table 10; ViT-B; re-ranked)",
        "No difference is shown: --limit 20",
        "Beware: the encoders ran in bf16",
        "Skipped: Clip 'c7': cut short.",
        "decord (1 clips)",
        "Two video streams. First: c1",
        "Queries with a tied rank: 4",
        "rerank_top_k 128 is larger",
        "queries won 5, lost 1, p = 0.21",
    ):
        assert part in text


def test_other_methods_stand_below_ours_with_their_protocol():
    other = Comparison(
        label="VidLA", metrics={"t2v_r1": 41.5}, source="its paper", protocol="dual-softmax", note="2024"
    )
    headers, cells = compare_cells(a_run(published=(PAPER,), compare=(other,)))
    assert headers == ["method", "t2v R@1", "t2v MdR", "ranked by", "seen in"]
    assert [line[0] for line in cells] == ["ours: tiny", "a paper", "VidLA"]
    assert cells[2] == ["VidLA", "41.5", "", "dual-softmax", "its paper (2024)"]


def test_the_terminal_table_holds_the_same_figures():
    text = io.StringIO()
    show(a_run(published=(PAPER,)), Console(file=text, width=160))
    assert "six · tiny · 997 of 1,000 clips" in text.getvalue()
    assert "[40.1, 46.4]" in text.getvalue()


def test_labels_spell_the_direction_and_leave_foreign_metrics_alone():
    assert metric_label("v2t_mnr") == "video-to-text MnR"
    assert metric_label("itc_t2v_r10") == "ITC only text-to-video R@10"
    assert metric_label("accuracy") == "accuracy"
    assert figure("t2v_mdr", 2.5) == "2.5"
