from collections import defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blipvid.evaluate import answers
from blipvid.evaluate.answers import commonest, coverage, normalise, vqa_accuracy
from tests.load_goldens import Goldens


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


def test_coverage_counts_questions() -> None:
    assert coverage(["dog", "cat", "dog", "Dog"], ["dog", "bird"]) == 50.0


def test_commonest_answer_of_its_kind() -> None:
    found = commonest(["two", "dog", "dog", "cat", "two"], ["how", "what", "what", "what", "how"])
    assert found == {"all": 80.0, "what": pytest.approx(200 / 3), "how": 100.0}
    assert list(found) == ["all", "what", "how"]
