"""Clips to be captioned: what arrives is what was annotated, and what cannot be is named."""

from pathlib import Path
from typing import Any

import pytest

from blipvid.core.errors import ConfigError, DataError
from blipvid.core.types import CaptionSet, Clip
from blipvid.data.caption_set import number_in_name
from blipvid.data.sets import LoadedSet
from tests.data.written import Dataset


def captions(loaded: LoadedSet) -> CaptionSet:
    assert isinstance(loaded.items, CaptionSet)
    return loaded.items


@pytest.fixture
def described(tmp_path: Path) -> Dataset:
    """Captions of three clips; those of clip 7 are apart, and one row holds a list."""
    rows = (
        {"id": 7, "caption": "A dog.", "number": 70, "domain": "in-domain"},
        {"id": "b", "caption": ["a cat", "Two  cats!"], "number": 71, "domain": "out-domain"},
        {"id": 7, "caption": "a red dog", "number": 70, "domain": "in-domain"},
        {"id": "c", "caption": "grass", "number": 72, "domain": "in-domain"},
    )
    return Dataset(tmp_path, "caption").rows(*rows).media("7.mp4", "b.mp4", "c.mp4")


def test_clips_come_in_the_order_of_their_first_row_with_all_their_captions(described: Dataset) -> None:
    items = captions(described.load())
    assert [clip.id for clip in items.clips] == ["7", "b", "c"]
    assert items.references == (("A dog.", "a red dog"), ("a cat", "Two  cats!"), ("grass",))  # as annotated
    assert items.ids == ("7", "b", "c")
    assert items.kinds == ("", "", "")


def test_annotated_ids_and_kinds_are_used_where_mapped(described: Dataset) -> None:
    described.dataset["fields"] |= {"id": "number", "kind": "domain"}
    items = captions(described.load())
    assert items.ids == ("70", "71", "72")
    assert items.kinds == ("in-domain", "out-domain", "in-domain")
    described.dataset["kinds"] = {"in": "near", "out": "far"}
    assert captions(described.load()).kinds == ("near", "far", "near")


def test_without_captions_there_are_clips_all_the_same(described: Dataset) -> None:
    described.dataset["fields"] = {"clip": "id"}
    items = captions(described.load())
    assert [clip.id for clip in items.clips] == ["7", "b", "c"]
    assert items.references == ((), (), ())


def test_captions_are_taken_away_on_the_command_line(described: Dataset) -> None:
    loaded = described.load("dataset.fields.captions=null")
    assert captions(loaded).references == ((), (), ())


def test_a_limit_keeps_the_first_clips_whole(described: Dataset) -> None:
    described.dataset["fields"] |= {"kind": "domain"}
    items = captions(described.load(limit=2))
    assert [clip.id for clip in items.clips] == ["7", "b"]
    assert [len(own) for own in items.references] == [2, 2]
    assert (items.ids, items.kinds) == (("7", "b"), ("in-domain", "out-domain"))


def test_expected_numbers_are_those_of_clips_and_captions(described: Dataset) -> None:
    described.dataset["expect"] = {"clips": 3, "captions": 5}
    assert described.load().notes == ()
    described.dataset["expect"] = {"clips": 3, "captions": 20}
    with pytest.raises(DataError, match=r"holds 5 captions instead of 20"):
        described.load()


def test_numbers_at_the_end_of_file_names_are_ids(tmp_path: Path) -> None:
    rows = [{"id": f"COCO_val2014_{number:012}", "caption": "a dog"} for number in (391895, 60623)]
    names = [f"{row['id']}.mp4" for row in rows]
    dataset = Dataset(tmp_path, "caption").rows(*rows).media(*names)
    dataset.dataset["ids_in_names"] = True
    assert captions(dataset.load()).ids == ("391895", "60623")


def released_rule(path: str) -> int:
    """The rule of the released code, as it is described."""
    return int(path.split("/")[-1].strip(".jpg").split("_")[-1])


@pytest.mark.parametrize(
    "name", ["val2014/COCO_val2014_000000391895.jpg", "000000000790.jpg", "a/b_c/x_7.jpg", "p_1.jpg"]
)
def test_the_number_is_that_of_the_released_code(name: str) -> None:
    assert int(number_in_name(Clip("any", Path(name)))) == released_rule(name)


@pytest.mark.parametrize("name", ["x_dog.jpg", "dog.jpg", "x_.jpg", "x_12a.jpg"])
def test_a_name_without_a_number_is_named(name: str) -> None:
    with pytest.raises(DataError, match=r"clip 'any': .* ends in no number \(key 'dataset.ids_in_names'\)"):
        number_in_name(Clip("any", Path(name)))


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"caption": " "}, r"row 1: clip 'x' has an empty caption;"),
        ({"caption": None}, r"row 1: 'caption' of clip 'x' is NoneType, not text"),
        ({"caption": 3}, r"row 1: 'caption' of clip 'x' is int, not text"),
        ({"caption": []}, r"row 1: clip 'x' has an empty list of captions"),
        ({"caption": ["a dog", ""]}, r"row 1: clip 'x' has an empty caption;"),
        ({"caption": ["a dog", 3]}, r"row 1: 'caption' of clip 'x' is int"),
        ({"kind": ""}, r"row 1: 'kind' is empty"),
        ({"kind": "all"}, r"row 1: the kind 'all' stands for all kinds together"),
        ({"number": None}, r"row 1: 'number' is empty"),
    ],
)
def test_what_cannot_be_is_named(tmp_path: Path, row: dict[str, Any], message: str) -> None:
    good = {"id": "x", "caption": "a dog", "kind": "in", "number": 1}
    dataset = Dataset(tmp_path, "caption").rows(good | row).media("x.mp4")
    dataset.dataset["fields"] |= {"kind": "kind", "id": "number"}
    with pytest.raises(DataError, match=message):
        dataset.load()


def test_rows_of_a_clip_that_disagree_are_named(described: Dataset) -> None:
    described.dataset["fields"] |= {"id": "number"}
    described.rows({"id": 7, "caption": "a", "number": 1}, {"id": 7, "caption": "b", "number": 2})
    with pytest.raises(
        DataError, match=r"row 2: clip '7' has the id '2' here and '1' in an earlier row; 'number' must"
    ):
        described.load()
    described.rows({"id": 7, "caption": "a", "number": 1}, {"id": "b", "caption": "b", "number": 1})
    with pytest.raises(DataError, match=r"clips '7' and 'b' would both be handed in as '1'"):
        described.load()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"min_tokens": 30}, "'min_tokens' 30 is more than 'max_tokens' 20"),
        ({"search": "nuclues"}, "key 'settings.search'"),
        ({"beams": 0}, "key 'settings.beams'"),
        ({"top_p": 1.5}, "key 'settings.top_p'"),
        ({"repetition_penalty": 0}, "key 'settings.repetition_penalty'"),
        ({"max_words": 3}, "unknown key 'settings.max_words'"),
    ],
)
def test_settings_that_cannot_be(described: Dataset, settings: dict[str, Any], message: str) -> None:
    described.settings = settings
    with pytest.raises(ConfigError, match=message):
        described.load()
