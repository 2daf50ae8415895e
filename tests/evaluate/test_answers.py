from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from blipvid.evaluate import answers
from blipvid.evaluate.answers import EXACT, NORMALISED, VQA, Measure, measures_for, normalise
from tests.load_goldens import Goldens


def vqa_accuracy(prediction: str, annotated: Sequence[str]) -> float:
    return 100 * float(VQA.right([prediction], [annotated])[0])


def test_recorded_normalisation(goldens: Goldens) -> None:
    rows = goldens["vqa_eval_lavis"].meta["values"]["rows"]
    assert len(rows) == 41
    for row in rows:
        assert answers._normalise_punctuation(row["text"]) == row["punct"]
        assert answers._normalise_words(row["text"]) == row["digit"]
        assert normalise(row["text"]) == row["both"]


def test_recorded_accuracies(goldens: Goldens) -> None:
    values = goldens["vqa_eval_lavis"].meta["values"]
    by_kind: dict[str, list[float]] = defaultdict(list)
    for key, question in values["questions"].items():
        found = vqa_accuracy(values["results"][key]["answer"], [one["answer"] for one in question["answers"]])
        assert round(found, 2) == values["per_question"][key]
        for kind in ("overall", question["question_type"], question["answer_type"]):
            by_kind[kind].append(found)
    means = {kind: round(sum(own) / len(own), 2) for kind, own in by_kind.items()}
    recorded = values["accuracy"]
    assert means == {"overall": recorded["overall"], **recorded["perQuestionType"], **recorded["perAnswerType"]}


@pytest.mark.parametrize(
    ("annotated", "percent"),
    [
        (["red"] * 10, 100),
        (["red"] * 4 + ["blue"] * 6, 100),  # each of the four has three others beside
        (["red"] * 3 + ["blue"] * 7, 90),
        (["red"] * 2 + ["blue"] * 8, 60),
        (["red"] + ["blue"] * 9, 30),
        (["blue"] * 10, 0),
        (["Red."] * 10, 0),  # annotators who agree to the letter are taken as they are
    ],
)
def test_a_third_for_each_other_annotator_who_agrees(annotated: list[str], percent: float) -> None:
    assert vqa_accuracy("Red.", annotated) == pytest.approx(percent)


@pytest.mark.parametrize(
    ("answer", "normal"),
    [
        ("wouldntve", "wouldntve"),  # two apostrophes are missing: not mended
        ("wouldn'tve", "wouldn't've"),
        ("wouldnt've", "wouldn't've"),
        ("y'allll", "y'all'll"),
        ("Someonell see", "someone'll see"),
        ("somebody'd", "somebodyd"),
        ("im", "im"),
        ("lets", "lets"),
        ("shes", "shes"),
        ("none of the two", "0 of 2"),
        ("-dog", "dog"),
        (" - x-y", "xy"),  # one mark beside a blank joins at all of its places
        ("x-y", "x y"),
        ("1,000 x-y", "1000 xy"),
        (".5 a.m.", ".5 am"),
        ("", ""),
    ],
)
def test_normalisation_by_hand(answer: str, normal: str) -> None:
    assert normalise(answer) == normal


@given(st.text(st.sampled_from("ab't.,-3 \n\tA"), max_size=12))
def test_normal_answers_are_lower_case_with_single_blanks(answer: str) -> None:
    found = normalise(answer)
    assert found == " ".join(found.lower().split())
    assert normalise(f"\n{answer}\t") == found
    assert not {"a", "-"} & set(found.split())


def leave_one_out(prediction: str, annotated: Sequence[str]) -> float:
    """The published formula as it is written: the mean over annotators of min(1, others who agree / 3)."""
    shares = []
    for place in range(len(annotated)):
        others = [answer for k, answer in enumerate(annotated) if k != place]
        shares.append(min(1, sum(answer == prediction for answer in others) / 3))
    return 100 * float(np.mean(shares))


PLAIN = ("red", "blue", "2", "yes")  # of which no normalisation changes anything


@given(st.sampled_from(PLAIN), st.lists(st.sampled_from(PLAIN), min_size=2, max_size=12))
def test_accuracy_is_the_mean_over_all_but_one(prediction: str, annotated: list[str]) -> None:
    assert vqa_accuracy(prediction, annotated) == pytest.approx(leave_one_out(prediction, annotated))


def test_what_counts_as_right_by_each_measure() -> None:
    predicted, one_each = ["dog", "a Dog", None, "cat"], [("dog",), ("dog",), ("dog",), ("dog",)]
    assert EXACT.right(predicted, one_each).tolist() == [1, 0, 0, 0]
    assert NORMALISED.right(predicted, one_each).tolist() == [1, 1, 0, 0]
    three = [("dog", "cat", "dog")] * 4
    assert VQA.right(predicted, three) == pytest.approx(
        [4 / 9, 4 / 9, 0, 2 / 9]
    )  # (1 + 1 + 2) / 3 / 3, (0 + 1 + 1) / 3 / 3


def test_the_measure_follows_from_the_number_of_annotators() -> None:
    assert measures_for([("dog",), ("cat",)]) == (EXACT, NORMALISED)
    assert measures_for([("dog",) * 10, ("cat",) * 9]) == (VQA,)
    assert measures_for([(), ()]) == ()


def test_the_ceiling_of_a_list_counts_questions() -> None:
    assert EXACT.ceiling([("dog",), ("cat",), ("dog",), ("Dog",)], ["dog", "bird"]) == 50.0


def test_commonest_answer_of_its_kind() -> None:
    annotated = [("two",), ("dog",), ("dog",), ("cat",), ("two",)]
    found = EXACT.commonest(annotated, ["how", "what", "what", "what", "how"])
    assert found == {"all": 80.0, "what": pytest.approx(200 / 3), "how": 100.0}
    assert list(found) == ["all", "what", "how"]


@st.composite
def _annotated(draw: st.DrawFn) -> tuple[Measure, list[tuple[str, ...]]]:
    measure = draw(st.sampled_from([EXACT, NORMALISED, VQA]))
    n = 5 if measure is VQA else 1
    own = st.lists(st.sampled_from(PLAIN), min_size=n, max_size=n).map(tuple)
    return measure, draw(st.lists(own, min_size=1, max_size=8))


@given(_annotated(), st.sets(st.sampled_from(PLAIN), min_size=1))
def test_baselines_are_what_trying_every_answer_gives(
    case: tuple[Measure, list[tuple[str, ...]]], listed: set[str]
) -> None:
    measure, annotated = case
    each = {answer: measure.right([answer] * len(annotated), annotated) for answer in PLAIN}
    best = np.max([each[answer] for answer in listed], axis=0)
    assert measure.ceiling(annotated, listed) == pytest.approx(100 * best.mean())
    alone = max(100 * own.mean() for own in each.values())
    assert measure.commonest(annotated, ["what"] * len(annotated)) == pytest.approx({"all": alone, "what": alone})
