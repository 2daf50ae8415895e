from pathlib import Path

import numpy as np
import pytest

from blipvid.core.settings import TaskSettings
from blipvid.core.types import Clip, Questions
from blipvid.evaluate.accuracy import accuracies
from blipvid.evaluate.statistics import mean_intervals

CLIPS = tuple(Clip(f"clip{v}", Path(f"{v}.mp4")) for v in range(3))
KINDS = ("who", "what", "what", "who", "what", "how")
RIGHT = np.array([True, False, True, True, False, True])


def _questions(question_clip: list[int]) -> Questions:
    n = len(question_clip)
    return Questions(CLIPS, ("?",) * n, tuple(map(str, range(n))), np.array(question_clip), KINDS[:n])


def test_by_kind_the_most_frequent_first() -> None:
    found = accuracies({"one": RIGHT, "other": ~RIGHT}, _questions([0, 0, 1, 1, 2, 2]), TaskSettings(bootstrap=0))
    assert found.metrics == {
        "one": pytest.approx(400 / 6),
        "one_what": pytest.approx(100 / 3),
        "one_who": 100.0,
        "one_how": 100.0,
        "other": pytest.approx(200 / 6),
        "other_what": pytest.approx(200 / 3),
        "other_who": 0.0,
        "other_how": 0.0,
    }
    assert list(found.metrics)[:4] == ["one", "one_what", "one_who", "one_how"]
    assert found.intervals == {}
    assert found.details == {"counts": {"what": 3, "who": 2, "how": 1, "all": 6}}


def test_intervals_draw_whole_clips() -> None:
    items = _questions([0, 0, 1, 1, 2, 2])
    found = accuracies({"one": RIGHT}, items, TaskSettings(bootstrap=200, bootstrap_seed=3))
    nan = np.nan
    columns = np.array([[1, 0, 1, 1, 0, 1], [nan, 0, 1, nan, 0, nan], [1, nan, nan, 1, nan, nan], [nan] * 5 + [1]])
    expected = mean_intervals(100 * columns.T, items.question_clip, 200, 3)
    assert list(found.intervals.items()) == list(zip(found.metrics, expected, strict=True))
    assert found.details["intervals"] == {
        "method": "95% percentile bootstrap",
        "resamples": 200,
        "seed": 3,
        "resampled": {"one": "clips with all their questions"},
    }


def test_one_question_a_clip_is_said() -> None:
    found = accuracies({"one": RIGHT[:3]}, _questions([0, 1, 2]), TaskSettings(bootstrap=10))
    assert found.details["intervals"]["resampled"] == {"one": "questions"}
