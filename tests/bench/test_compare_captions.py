from typing import Any

import pytest
from scipy import stats

from blipvid.bench.compare_captions import compare_captions


def row(clip: str, prediction: str | None, cider: float | None, kind: str = "in", **metrics: float) -> dict[str, Any]:
    measured = metrics if cider is None else {"cider": cider, **metrics}
    return {"clip": clip, "kind": kind, "prediction": prediction, "references": ["a dog runs"], "metrics": measured}


FIRST = [row("a", "a dog", 50.0), row("b", "a cat", 20.0, "out"), row("c", None, 0.0), row("d", "a cow", 10.0)]
SECOND = [row("a", "a dog", 50.0), row("b", "two cats", 90.0, "out"), row("c", "a horse", 30.0), row("d", "cows", 4.0)]


def test_captions_that_changed_come_with_the_largest_change_first():
    found = compare_captions({"cider": (20.0, 43.5)}, FIRST, SECOND)
    assert [one.clip for one in found.changes] == ["b", "c", "d"]
    assert found.changes[0].cells() == ["b", "a cat", "two cats", "a dog runs", "+70.0"]
    assert found.changes[1].cells()[1] == "no frames"
    assert found.summary == "3 captions differ; by CIDEr 2 are better in the second run, 1 worse."


def test_measures_known_of_each_clip_are_tested_and_bleu_is_not():
    found = compare_captions({"bleu4": (1.0, 2.0), "cider": (20.0, 43.5), "cider_out": (20.0, 90.0)}, FIRST, SECOND)
    bleu, whole, out = found.lines
    assert (bleu.first, bleu.second, bleu.won, bleu.p) == (1.0, 2.0, None, None)
    assert (whole.won, whole.lost, whole.p) == (2, 1, pytest.approx(stats.binomtest(2, 3).pvalue))
    assert (out.first, out.second, out.won, out.lost, out.p) == (20.0, 90.0, None, None, None)


def test_only_measures_that_no_set_changes_are_tested_by_kind():
    first, second = ([row("a", said, 1.0, "out", rouge_l=value)] for said, value in (("x", 10.0), ("y", 20.0)))
    found = compare_captions({"rouge_l_out": (10.0, 20.0), "cider_out": (1.0, 2.0)}, first, second)
    assert [(line.won, line.lost) for line in found.lines] == [(1, 0), (None, None)]


def test_runs_over_different_clips_are_compared_on_what_they_share():
    found = compare_captions({"cider": (20.0, 43.5)}, FIRST, SECOND[1:])
    assert "captions: 3 clips in common of 4 and 3" in found.notes[0]
    assert found.lines[0].won == 2


def test_runs_that_were_not_scored_show_what_was_said():
    bare = [[row(one["clip"], one["prediction"], None) for one in run] for run in (FIRST, SECOND)]
    found = compare_captions({}, *bare)
    assert [one.clip for one in found.changes] == ["b", "c", "d"]  # in the order of the set
    assert found.changes[0].cells()[-1] == ""
