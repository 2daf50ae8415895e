"""Columns of a second file: which row they come from, when the file is not read at all, and what cannot be joined."""

import hashlib
from pathlib import Path
from typing import Any

import pytest

from blipvid.core.errors import ConfigError, DataError
from blipvid.core.types import QuestionSet
from blipvid.data.sets import LoadedSet
from tests.data.written import Dataset


@pytest.fixture
def numbered(tmp_path: Path) -> Dataset:
    """Questions about numbered clips, whose files are named in a list of pairs."""
    dataset = Dataset(tmp_path, "qa").rows(
        {"id": 2, "q": "what?", "a": "this"}, {"id": 1, "q": "who?", "a": "that"}, {"id": 2, "q": "how?", "a": "so"}
    )
    dataset.file("names.txt", "-4wsu_5 vid1\n_x\tvid2\n\nzz  vid3\n")
    dataset.dataset["fields"]["file"] = "$1"
    dataset.dataset["join"] = {"file": "names.txt", "column": "$2", "equals": "vid{id}"}
    dataset.dataset["media"] = "clips/{file}.avi"
    return dataset.media("-4wsu_5.avi", "_x.avi")


def test_rows_get_the_columns_of_their_partner(numbered: Dataset) -> None:
    loaded = numbered.load()
    assert [(clip.id, clip.path.name) for clip in loaded.items.clips] == [("2", "_x.avi"), ("1", "-4wsu_5.avi")]
    path = numbered.root / "names.txt"
    assert loaded.joined == {path: hashlib.sha256(path.read_bytes()).hexdigest()}


def test_the_file_is_not_read_where_nothing_asks_for_it(numbered: Dataset) -> None:
    (numbered.root / "names.txt").unlink()
    numbered.media("vid1.mp4", "vid2.mp4")
    loaded = numbered.load(media=f"{numbered.root}/clips/vid{{clip}}.mp4")
    assert [clip.path.name for clip in loaded.items.clips] == ["vid2.mp4", "vid1.mp4"]
    assert loaded.joined == {}
    with pytest.raises(DataError, match=r"names.txt does not exist.*--set dataset.join.file=FILE. To obtain: ask"):
        numbered.load()


def test_it_can_be_taken_away(numbered: Dataset) -> None:
    with pytest.raises(DataError, match=r"no column '\$1' \(key 'dataset.fields.file'\)"):
        numbered.load("dataset.join=null")


def apart(root: Path, answers: Any) -> Dataset:
    dataset = Dataset(root, "qa").rows({"id": "x", "q": "what?", "key": 5, "note": "own"}).media("x.mp4")
    dataset.file("answers.json", answers)
    dataset.dataset["fields"] |= {"id": "note", "kind": "type"}
    dataset.dataset["join"] = {"file": "answers.json", "column": "key", "equals": "{key}"}
    return dataset


def items_of(loaded: LoadedSet) -> QuestionSet:
    assert isinstance(loaded.items, QuestionSet)
    return loaded.items


def test_answers_may_stand_apart_and_a_row_keeps_its_own_values(tmp_path: Path) -> None:
    items = items_of(apart(tmp_path, [{"key": "5", "a": "this", "type": 3, "note": "theirs"}]).load())
    assert (items.answers, items.kinds, items.question_ids) == ((("this",),), ("3",), ("own",))


def test_a_field_that_may_be_left_out_is_a_reason_to_join(tmp_path: Path) -> None:
    dataset = apart(tmp_path, [{"key": 5, "type": "T"}]).rows(
        {"id": "x", "q": "what?", "a": "this", "key": 5, "note": 1}
    )
    assert items_of(dataset.load()).kinds == ("T",)


def test_a_second_name_of_a_column_is_enough_not_to_join(tmp_path: Path) -> None:
    dataset = apart(tmp_path, "not read").rows({"id": "x", "q": "what?", "b": "this", "type": "T", "note": 1})
    dataset.dataset["fields"]["answer"] = ["a", "b"]
    assert items_of(dataset.load()).answers == (("this",),)


def test_options_are_a_reason_to_join(tmp_path: Path) -> None:
    dataset = Dataset(tmp_path, "choice").rows({"id": "x", "a": 1}).media("x.mp4")
    dataset.file("options.json", {"x": {"o1": "one", "o2": "two"}})
    dataset.dataset |= {"fields": {"clip": "id", "answer": "a"}, "options": ["o1", "o2"]}
    dataset.dataset["join"] = {"file": "options.json", "column": "$key", "equals": "{id}"}
    assert dataset.load().items.options == (("one", "two"),)  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("answers", "join", "message"),
    [
        ([{"key": 5}, {"key": "5"}], {}, r"row 2: '5' stands twice in 'key'"),
        ([{"key": 6}], {}, r"1 of 1 rows of .*a.jsonl find no row by 'key' \(key 'dataset.join'\): 5. Both files"),
        ([{"key": [5]}], {}, r"row 1: 'key' is \[5\]; rows are joined by text or whole numbers"),
        ([{"kye": 5}], {}, r"no column 'key' \(key 'dataset.join.column'\). The file has: kye. Did you mean"),
        ([{"key": 5}], {"equals": "{kye}"}, r"no column 'kye' \(key 'dataset.join.equals'\).*Did you mean 'key'"),
        ([{"key": 5}], {}, r"no column 'a' \(key 'dataset.fields.answer'\)"),
    ],
)
def test_what_cannot_be_joined_is_named(tmp_path: Path, answers: Any, join: dict[str, str], message: str) -> None:
    dataset = apart(tmp_path, answers)
    dataset.dataset["join"] |= join
    with pytest.raises(DataError, match=message):
        dataset.load()


@pytest.mark.parametrize(
    ("join", "message"),
    [
        ({"equals": "vid"}, r"'dataset.join.equals': names no column of the annotations"),
        ({"equals": "{key.x}"}, r"'dataset.join.equals': only \{field\}"),
        ({"colum": "x"}, r"unknown key 'dataset.join.colum'. Did you mean 'column'"),
    ],
)
def test_a_join_that_cannot_work_is_refused(tmp_path: Path, join: dict[str, str], message: str) -> None:
    dataset = apart(tmp_path, [])
    dataset.dataset["join"] |= join
    with pytest.raises(ConfigError, match=message):
        dataset.load()
