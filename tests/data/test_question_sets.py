"""Open questions and multiple choice: what arrives is what was annotated, and what cannot be asked is named."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from blipvid.core.errors import ConfigError, DataError
from blipvid.core.types import ChoiceSet, QuestionSet
from blipvid.data.sets import LoadedSet
from tests.data.written import Dataset


def questions(loaded: LoadedSet) -> QuestionSet:
    assert isinstance(loaded.items, QuestionSet)
    return loaded.items


def choices(loaded: LoadedSet) -> ChoiceSet:
    assert isinstance(loaded.items, ChoiceSet)
    return loaded.items


@pytest.fixture
def asked(tmp_path: Path) -> Dataset:
    """Questions about three clips; those about clip 7 are apart."""
    rows = (
        {"id": 7, "q": "What is this?", "a": " A Dog.", "key": 12, "type": "CW"},
        {"id": "b", "q": "is it red?", "a": "yes", "key": 13, "type": "TN"},
        {"id": 7, "q": "how many?", "a": 2, "key": 14, "type": "CH"},
        {"id": "c", "q": "name it", "a": "dres", "key": 15, "type": "D"},
    )
    return Dataset(tmp_path, "qa").rows(*rows).media("7.mp4", "b.mp4", "c.mp4")


@pytest.fixture
def choosing(tmp_path: Path) -> Dataset:
    rows = (
        {"id": "x", "q": "why?", "a": 1, "o": ["one", "two", "two"]},
        {"id": "y", "q": "where?", "a": 0, "o": ["here", 3]},
    )
    return Dataset(tmp_path, "choice").rows(*rows).media("x.mp4", "y.mp4")


def test_questions_come_in_the_order_of_their_rows_and_answers_as_written(asked: Dataset) -> None:
    items = questions(asked.load())
    assert [clip.id for clip in items.clips] == ["7", "b", "c"]
    assert items.questions == ("What is this?", "is it red?", "how many?", "name it")
    assert items.answers == ((" A Dog.",), ("yes",), ("2",), ("dres",))
    assert items.question_ids == ("7#0", "b#0", "7#1", "c#0")
    np.testing.assert_array_equal(items.question_clip, [0, 1, 0, 2])
    assert items.question_clip.dtype == np.int64
    assert items.kinds == ("what", "yes/no", "how", "other")
    assert items.answer_list is None


def test_several_annotators_may_answer_a_question(tmp_path: Path) -> None:
    rows = (
        {"id": "x", "q": "is it?", "a": [{"answer": "yes", "answer_id": 1}, {"answer": "no"}, {"answer": ""}]},
        {"id": "x", "q": "how many?", "a": ["2", 2]},
    )
    dataset = Dataset(tmp_path, "qa").rows(*rows).media("x.mp4")
    assert questions(dataset.load()).answers == (("yes", "no", ""), ("2", "2"))
    dataset.rows(rows[0], {"id": "x", "q": "how many?", "a": 2})
    message = r"row 2: has 1 annotators' answers, but .*row 1 has 3; the answers of one annotator and of several"
    with pytest.raises(DataError, match=message):
        dataset.load()
    dataset.rows(*({**row, "a": row["a"][:1]} for row in rows))  # one annotator each, whether in a list or not
    assert questions(dataset.load()).answers == (("yes",), ("2",))


def test_nobody_need_know_the_answers(asked: Dataset) -> None:
    del asked.dataset["fields"]["answer"]
    items = questions(asked.load())
    assert items.answers == ((),) * 4
    asked.dataset["fields"]["answer"] = "b"
    with pytest.raises(DataError, match=r"no column 'b' \(key 'dataset.fields.answer'\)"):
        asked.load()
    assert questions(asked.load("dataset.fields.answer=null")).answers == ((),) * 4


def test_annotated_ids_and_kinds_are_used_where_mapped(asked: Dataset) -> None:
    asked.dataset["fields"] |= {"id": "key", "kind": "type"}
    items = questions(asked.load())
    assert items.question_ids == ("12", "13", "14", "15")
    assert items.kinds == ("CW", "TN", "CH", "D")
    asked.dataset["kinds"] = {"C": "causal", "CH": "how", "T": "temporal", "D": "descriptive"}
    assert questions(asked.load()).kinds == ("causal", "temporal", "how", "descriptive")  # the longest beginning


def test_kinds_may_be_numbers(asked: Dataset) -> None:
    asked.dataset["fields"]["kind"] = "key"
    asked.dataset["kinds"] = {12: "object", 1: "number"}
    assert questions(asked.load()).kinds == ("object", "number", "number", "number")


def test_a_limit_keeps_all_questions_of_the_first_clips(asked: Dataset) -> None:
    loaded = asked.load(limit=1)
    items = questions(loaded)
    assert items.question_ids == ("7#0", "7#1")
    assert (items.answers, items.kinds) == (((" A Dog.",), ("2",)), ("what", "how"))
    np.testing.assert_array_equal(items.question_clip, [0, 0])
    assert loaded.notes == ("only the first 1 of 3 clips are evaluated",)


def test_expected_numbers_are_those_of_clips_and_questions(asked: Dataset) -> None:
    asked.dataset["expect"] = {"clips": 3, "questions": 4}
    assert asked.load().notes == ()
    asked.dataset["expect"] = {"clips": 3, "questions": 13157}
    with pytest.raises(DataError, match=r"holds 4 questions instead of 13,157"):
        asked.load()
    other = asked.file("other.csv", "id,q,a\nb,what?,this\n")
    assert "1 questions instead of 13,157; these are not the benchmark's own" in asked.load(annotations=other).notes[0]
    asked.dataset["expect"] = {"texts": 4}
    with pytest.raises(ConfigError, match=r"unknown key 'dataset.expect.texts'"):
        asked.load()


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"q": "  "}, r"row 1: clip 'x' has an empty question; fill it in or remove it"),
        ({"q": " !!! ..."}, r"row 1: clip 'x' has the question ' !!! ...', of which cleaning leaves nothing"),
        ({"q": None}, r"row 1: 'q' of clip 'x' is NoneType, not text"),
        ({"q": 3}, r"row 1: 'q' of clip 'x' is int, not text"),
        ({"a": ""}, r"row 1: 'a' is empty"),
        ({"a": " "}, r"row 1: 'a' is empty"),
        ({"a": None}, r"row 1: 'a' is empty"),
        ({"a": 1.5}, r"row 1: 'a' is float 1.5"),
        ({"a": True}, r"row 1: 'a' is bool True"),
        ({"a": {"answer": "yes"}}, r"row 1: 'a' is dict"),
        ({"a": []}, r"row 1: the list of answers 'a' is empty; remove the row"),
        ({"a": ["yes", 1.5]}, r"row 1: an annotator's answer in 'a' is 1.5; text or a whole number"),
        ({"a": [{"answer": True}]}, r"row 1: an annotator's answer in 'a' is True"),
        (
            {"a": [{"says": "yes"}]},
            r"row 1: an annotator's answer in 'a' is None; .* an object that holds it as 'answer'",
        ),
        ({"kind": ""}, r"row 1: 'kind' is empty"),
        ({"kind": "T"}, r"row 1: 'kind' is 'T', which begins with none of 'C'; add it to 'dataset.kinds'"),
        ({"kind": "Call"}, r"row 1: the kind 'all' stands for all kinds together"),
    ],
)
def test_a_question_that_cannot_be_asked_is_named(tmp_path: Path, row: dict[str, Any], message: str) -> None:
    good = {"id": "x", "q": "what?", "a": "this", "kind": "C"}
    dataset = Dataset(tmp_path, "qa").rows(good | row).media("x.mp4")
    dataset.dataset["fields"]["kind"] = "kind"
    dataset.dataset["kinds"] = {"C": "causal", "Call": "all"} if row.get("kind") == "Call" else {"C": "causal"}
    with pytest.raises(DataError, match=message):
        dataset.load()


def test_question_ids_must_be_unique(asked: Dataset) -> None:
    asked.dataset["fields"]["id"] = "id"
    with pytest.raises(DataError, match=r"row 3: question id '7' occurs twice"):
        asked.load()


def test_options_and_the_right_one(choosing: Dataset) -> None:
    items = choices(choosing.load())
    assert items.options == (("one", "two", "two"), ("here", "3"))  # equal wrong options stay
    assert items.right.tolist() == [1, 0]
    assert items.right.dtype == np.int64
    assert (items.questions, items.kinds) == (("why?", "where?"), ("why", "where"))
    assert choices(choosing.load(limit=1)).options == (("one", "two", "two"),)


def test_options_in_columns_of_their_own(choosing: Dataset) -> None:
    choosing.file("a.csv", "id,q,a,o0,o1\nx,why?,1,one,two\ny,where?,0,here,there\n")
    del choosing.dataset["fields"]["options"]
    choosing.dataset |= {"annotations": "a.csv", "options": ["o0", "o1"]}
    items = choices(choosing.load())
    assert (items.options, items.right.tolist()) == ((("one", "two"), ("here", "there")), [1, 0])
    choosing.dataset["options"] = ["o0", "o2"]
    with pytest.raises(DataError, match=r"no column 'o2' \(key 'dataset.options'\). The file has: id, q, a, o0, o1"):
        choosing.load()


def test_options_may_be_the_whole_question(choosing: Dataset) -> None:
    del choosing.dataset["fields"]["question"]
    items = choices(choosing.load())
    assert (items.questions, items.kinds) == (("", ""), ("other", "other"))


def test_the_right_option_may_be_given_by_its_text(choosing: Dataset) -> None:
    choosing.rows(
        {"id": "x", "q": "how many?", "a": "2", "o": ["1", "3", "2"]},
        {"id": "y", "q": "where?", "a": "here", "o": ["there", "here"]},
    )
    assert choices(choosing.load()).right.tolist() == [2, 1]


def test_indices_may_be_text_as_in_csv_files(choosing: Dataset) -> None:
    choosing.rows(
        {"id": "x", "q": "how many?", "a": "0", "o": ["1", "0"]},
        {"id": "y", "q": "where?", "a": "1", "o": ["there", "here"]},
    )
    assert choices(choosing.load()).right.tolist() == [0, 1]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"a": 2}, r"row 2: the right option is '2', but there are 2, counted from 0 to 1"),
        ({"a": -1}, r"row 2: the right option is '-1', but there are 2"),
        ({"a": "c"}, r"row 2: the right option is 'c', but there are 2"),
        ({"a": None}, r"row 2: 'a' is empty"),
        ({"o": ["one"]}, r"row 2: 1 option is no choice; at least two are needed"),
        ({"o": []}, r"row 2: 0 option"),
        ({"o": ["one", " "]}, r"row 2: option 1 is empty"),
        ({"o": [None, "two"]}, r"row 2: option 0 is None; text or a whole number"),
        ({"o": "one, two"}, r"row 2: 'o' is str, not a list of options.*'dataset.options'"),
        ({"q": ""}, r"row 2: clip 'y' has an empty question"),
    ],
)
def test_a_choice_that_cannot_be_made_is_named(choosing: Dataset, row: dict[str, Any], message: str) -> None:
    good = {"id": "y", "q": "which?", "a": 1, "o": ["one", "two"]}
    rows = [good | {"id": name} for name in "xz"]
    choosing.rows(rows[0], good | row, rows[1]).media("z.mp4")
    with pytest.raises(DataError, match=message):
        choosing.load()


@pytest.mark.parametrize(
    ("answer", "options", "message"),
    [
        ("here", ["There", "Here"], r"row 1: the right answer 'here' is none of the options: There, Here"),
        ("here", ["here", "here"], r"row 1: the right answer 'here' stands among the options more than once"),
    ],
)
def test_a_right_text_must_be_one_of_the_options(
    choosing: Dataset, answer: str, options: list[str], message: str
) -> None:
    choosing.rows({"id": "x", "q": "where?", "a": answer, "o": options})
    with pytest.raises(DataError, match=message):
        choosing.load()


def test_numbers_that_may_be_index_or_option_are_not_guessed(choosing: Dataset) -> None:
    choosing.rows({"id": "x", "q": "how many?", "a": "1", "o": ["0", "2", "1"]})
    message = r"row 1: the answer '1' may be the index of an option, from 0, or its text, as in 1 of 1 rows"
    with pytest.raises(DataError, match=message):
        choosing.load()
    choosing.rows({"id": "x", "q": "how many?", "a": 1, "o": [0, 2, 1]})
    with pytest.raises(DataError, match=message):
        choosing.load()
    choosing.rows({"id": "x", "q": "how many?", "a": 1, "o": ["0", "2", "1"]})
    assert choices(choosing.load()).right.tolist() == [1]


@pytest.mark.parametrize("as_number", [int, str])
def test_numbers_that_fit_one_way_only_are_read_that_way(choosing: Dataset, as_number: type) -> None:
    options = [as_number(option) for option in (4, 3, 5)]
    choosing.rows({"id": "x", "q": "how many?", "a": as_number(5), "o": options})
    assert choices(choosing.load()).right.tolist() == [2]
    choosing.rows({"id": "x", "q": "how many?", "a": as_number(2), "o": options})
    assert choices(choosing.load()).right.tolist() == [2]
    same_either_way = [as_number(option) for option in (0, 1, 2)]
    agreeing = {"id": "x", "q": "how many?", "a": as_number(1), "o": same_either_way}
    choosing.rows(agreeing)
    assert choices(choosing.load()).right.tolist() == [1]
    choosing.rows(agreeing, agreeing, agreeing, agreeing | {"o": [*options[::-1], as_number(1)]})
    with pytest.raises(DataError, match=r"row 4: the answer '1' may be .* as in 1 of 4 rows"):
        choosing.load()


def test_one_wrong_row_does_not_turn_texts_into_indices(choosing: Dataset) -> None:
    counting = {"q": "how many?", "a": "2", "o": ["1", "2", "3", "4"]}
    choosing.rows({"id": "x", **counting}, {"id": "y", **counting}, {"id": "x", "q": "?", "a": "0", "o": ["1", "2"]})
    with pytest.raises(DataError, match=r"row 1: .* as in 2 of 3 rows"):
        choosing.load()


@pytest.mark.parametrize(
    ("task", "dataset", "message"),
    [
        ("qa", {"paragraph": True}, r"unknown key 'dataset.paragraph'"),
        ("retrieval", {"train": "t.json"}, r"unknown key 'dataset.train'"),
        ("qa", {"options": ["a"]}, r"unknown key 'dataset.options'"),
        ("choice", {"options": "o"}, r"'dataset.options': several columns are expected.*fields: \{options: o\}"),
        (
            "choice",
            {"options": ["a0", "a1"]},
            r"'dataset.fields.options': neither the task nor 'dataset.media' uses it",
        ),
        ("choice", {"fields": {"clip": "id", "answer": "a"}}, r"'fields' lacks 'options'"),
        ("qa", {"kinds": {"C": "causal"}}, r"'dataset.kinds': names values of the field 'kind'"),
        ("qa", {"fields": {"clip": "id", "answer": "a"}}, r"'fields' lacks 'question'"),
    ],
)
def test_a_section_that_does_not_fit_the_task_is_refused(
    tmp_path: Path, task: str, dataset: dict[str, Any], message: str
) -> None:
    written = Dataset(tmp_path, task).rows({"id": "x"})
    written.dataset |= dataset
    with pytest.raises(ConfigError, match=message):
        written.load()
