"""The shipped answerer does on clips what it never learnt on clips."""

from collections import Counter

import numpy as np
import pytest

from blipvid.core.settings import AnsweringSettings
from blipvid.core.types import AnswerList, QuestionSet, Result, Runtime
from blipvid.data.spec import load_benchmark
from blipvid.demo.build import question_rows
from blipvid.demo.clips import held_out_clips
from blipvid.demo.questions import ASKS, all_answers
from blipvid.evaluate.run import evaluate
from blipvid.models.zoo import load_model
from tests.demo.drawn import clips_of, drawing

ROWS = list(question_rows(held_out_clips()))


@pytest.fixture(scope="module")
def found() -> Result:
    benchmark = load_benchmark("demo-qa")
    clips = clips_of(benchmark)
    place = {clip.id: number for number, clip in enumerate(clips)}
    items = QuestionSet(
        clips=clips,
        questions=tuple(row["question"] for row in ROWS),
        question_ids=tuple(row["id"] for row in ROWS),
        question_clip=np.array([place[row["clip"]] for row in ROWS]),
        kinds=tuple(row["kind"] for row in ROWS),
        answers=tuple((row["answer"],) for row in ROWS),
        answer_list=AnswerList("answers.txt", tuple(all_answers()), "0" * 64),
    )
    settings = benchmark.settings
    assert isinstance(settings, AnsweringSettings)
    model = load_model("demo-answerer", image_size=benchmark.frames.size).model
    return evaluate(items, model, drawing(benchmark), settings, Runtime())


def test_it_answers_questions_about_held_out_clips(found: Result) -> None:
    assert found.metrics["generate_accuracy"] >= 80
    assert found.metrics["rank_accuracy"] >= 80


@pytest.mark.parametrize("asks", ASKS)
def test_no_kind_of_question_is_answered_by_habit(found: Result, asks: str) -> None:
    own = [row["answer"] for row in ROWS if row["kind"] == asks]
    commonest = 100 * Counter(own).most_common(1)[0][1] / len(own)
    assert commonest < 35
    assert found.metrics[f"generate_accuracy_{asks}"] > 2 * commonest
