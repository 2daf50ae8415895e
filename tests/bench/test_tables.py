import pytest

from blipvid.bench.choices import Format
from blipvid.bench.labels import terms_of
from blipvid.bench.layout import markdown_page, render
from blipvid.bench.notes import title
from blipvid.bench.record import Comparison
from blipvid.bench.report import worst_queries
from blipvid.bench.tables import compare_cells, metric_cells, rows_of, run_cells
from tests.bench.records import PAPER, a_caption_run, a_choice_run, a_qa_run, a_run


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


def test_other_methods_stand_below_ours_with_their_protocol():
    other = Comparison(
        label="VidLA", metrics={"t2v_r1": 41.5}, source="its paper", protocol="dual-softmax", note="2024"
    )
    headers, cells = compare_cells(a_run(published=(PAPER,), compare=(other,)))
    assert headers == ["method", "t2v R@1", "t2v MdR", "ranked by", "seen in"]
    assert [line[0] for line in cells] == ["ours: tiny", "a paper", "VidLA"]
    assert cells[2] == ["VidLA", "41.5", "", "dual-softmax", "its paper (2024)"]


def test_vqa_normalised_match_stands_beside_exact_match_as_cosine_beside_re_ranked():
    rows = {row.metric: row for row in rows_of(a_qa_run())}
    assert list(rows)[:5] == [
        "generate_accuracy",
        "generate_accuracy_what",
        "generate_accuracy_who",
        "generate_accuracy_how",
        "rank_accuracy",
    ]
    how = rows["generate_accuracy_how"]
    assert (how.ours, how.vqa, how.questions, how.commonest, how.protocol) == (50.0, 60.0, 10, 15.0, "generate")
    assert (how.itc, how.chance) == (None, None)


def test_choice_is_seen_against_chance():
    rows = rows_of(a_choice_run())
    assert [(row.questions, row.chance) for row in rows] == [(30, 20.0), (20, None), (10, None)]


def published(label: str, protocol: str, **metrics: float) -> Comparison:
    return Comparison(label=label, metrics=metrics, source="s", protocol=protocol)


def test_where_nothing_is_measured_others_still_stand_with_their_figures():
    paper = published("a paper", "rank", rank_accuracy=78.25)
    nothing = a_qa_run(metrics={}, intervals={}, published=(paper,), details={"measure": "exact match"})
    assert metric_cells(nothing) == ([], [])
    headers, cells = compare_cells(nothing)
    assert headers == ["method", "exact match", "answered by", "seen in"]
    assert cells == [["a paper", "78.2", "rank", "s"]]
    for form in (Format.MARKDOWN, Format.CSV, Format.LATEX):
        assert render([nothing], form) == ""
    assert "a paper" not in markdown_page(nothing).splitlines()[0]


def test_pictures_are_ranked_as_images():
    pictures = {"name": "six", "dataset": {}, "frames": {"count": 1, "resize": "bicubic"}}
    run = a_run(benchmark=pictures, published=(PAPER,), compare=(PAPER,))
    assert rows_of(run)[0].label == "text-to-image R@1"
    assert compare_cells(run)[0][1:3] == ["t2i R@1", "t2i MdR"]
    assert run_cells([run])[0][3:5] == ["t2i R@1", "t2i MdR"]
    assert "997 of 1,000 pictures" in title(run)
    (worst, *_) = worst_queries(
        [{"direction": "v2t", "rank": 2, "query": "q", "target": "t", "top": []}], terms_of(run)
    )
    assert worst["direction"] == "image-to-text"


def test_each_way_of_answering_is_a_line_among_other_methods():
    paper = published("a paper", "not stated", generate_accuracy=35.2, rank_accuracy=35.2)
    ranked = published("another", "rank", rank_accuracy=33.8)
    both = published("a third", "not stated", generate_accuracy=20.0, rank_accuracy=21.0)
    headers, cells = compare_cells(a_qa_run(published=(paper,), compare=(ranked, both)))
    assert headers == ["method", "exact match", "answered by", "seen in"]
    assert [line[:3] for line in cells] == [
        ["ours: tiny", "35.0", "generate"],
        ["ours: tiny", "33.0", "rank:train-top-1000"],
        ["a paper", "35.2", "not stated"],
        ["another", "33.8", "rank"],
        ["a third", "20.0", "generate"],
        ["a third", "21.0", "rank"],
    ]


def test_a_row_of_another_protocol_still_stands_below_ours():
    generated = {name: value for name, value in a_qa_run().metrics.items() if "generate" in name}
    _, cells = compare_cells(a_qa_run(metrics=generated, compare=(published("x", "rank", rank_accuracy=33.8),)))
    assert [line[:3] for line in cells] == [["ours: tiny", "35.0", "generate"], ["x", "33.8", "rank"]]


def test_choice_is_compared_by_how_it_was_chosen():
    headers, cells = compare_cells(a_choice_run(compare=(published("x", "match", choice_accuracy=40.0),)))
    assert headers == ["method", "accuracy", "chosen by", "seen in"]
    assert [line[1:3] for line in cells] == [["30.0", "rank"], ["40.0", "match"]]


def test_runs_side_by_side_show_what_holds_for_all_questions_and_keep_lists_apart():
    other = a_qa_run(details={"protocols": {"generate": "generate", "rank": "rank:answers.txt"}})
    headers, cells = run_cells([a_qa_run(), other])
    ranks = ["rank:train-top-1000 · exact match", "rank:answers.txt · exact match"]
    assert headers == ["benchmark", "model", "clips", "generate · exact match", *ranks]
    assert [line[3:] for line in cells] == [["35.0", "33.0", ""], ["35.0", "", "33.0"]]


def test_captions_with_what_could_not_be_computed():
    heads, cells = metric_cells(a_caption_run())
    assert heads == ["metric", "clips", "ours", "95% interval", "published", "difference"]
    lines = {line[0]: line[1:] for line in cells}
    assert lines["CIDEr"] == ["50", "133.0", "[128.0, 138.0]", "133.3", "-0.3"]
    assert lines["CIDEr · out-domain"] == ["20", "110.0", "", "", ""]
    assert lines["SPICE"] == ["", "not computed: needs Java", "", "23.7", ""]
    assert lines["METEOR"] == ["", "not computed: needs Java", "", "", ""]


def test_runs_of_captions_side_by_side_show_the_figures_over_all_clips():
    heads, cells = run_cells([a_caption_run(), a_caption_run()])
    assert heads == ["benchmark", "model", "clips", "BLEU-4", "ROUGE-L", "CIDEr"]
    assert not any("domain" in head for head in heads)
    assert cells[0][heads.index("CIDEr")] == "133.0"
