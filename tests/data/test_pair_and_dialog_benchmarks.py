"""Pairs of pictures and dialogs: the official annotation files, files of one's own, and what may be wrong with them."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from blipvid.core.errors import BlipvidError, ConfigError, DataError
from blipvid.core.types import DialogSet, PairSet
from blipvid.data.sets import LoadedSet, load_set
from blipvid.data.spec import load_benchmark

ROW = {"id": 1, "left": "a.png", "right": "b.png", "said": "A red dog.", "is": "True"}


def touch(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def write(folder: Path, task: str, dataset: dict[str, Any], rows: Any, **more: Any) -> Path:
    (folder / "a.json").write_text(json.dumps(rows))
    path = folder / "mine.yaml"
    path.write_text(
        yaml.safe_dump({"name": "mine", "task": task, "dataset": {"annotations": "a.json", **dataset}, **more})
    )
    return path


def load(path: Path, *changes: str, limit: int | None = None) -> LoadedSet:
    return load_set(load_benchmark(path, changes), path.parent, limit)


def pairs(loaded: LoadedSet) -> PairSet:
    assert isinstance(loaded.items, PairSet)
    return loaded.items


def rounds(loaded: LoadedSet) -> DialogSet:
    assert isinstance(loaded.items, DialogSet)
    return loaded.items


def official_pictures(rows: list[dict[str, Any]]) -> dict[str, tuple[str, str]]:
    """File names as the official repository gives them: identifier without its sentence, then img0 or img1."""
    found = {}
    for row in rows:
        stem = row["identifier"].rsplit("-", 1)[0]
        found[row["identifier"]] = (f"dev/{stem}-img0.png", f"dev/{stem}-img1.png")
    return found


@pytest.fixture(scope="module")
def official(test_data: Path) -> list[dict[str, Any]]:
    lines = (test_data / "data/annotations/nlvr2/dev.json").read_text().splitlines()
    return [json.loads(line) for line in lines]


@pytest.fixture(scope="module")
def nlvr2(official: list[dict[str, Any]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data root, with empty pictures."""
    root = tmp_path_factory.mktemp("nlvr2")
    return touch(root, *(f"nlvr2/{name}" for both in official_pictures(official).values() for name in both))


def test_the_official_development_set(official: list[dict[str, Any]], nlvr2: Path, test_data: Path) -> None:
    path = test_data / "data/annotations/nlvr2/dev.json"
    loaded = load_set(load_benchmark("nlvr2-dev", annotations=path), nlvr2)
    items, pictures = pairs(loaded), official_pictures(official)
    assert loaded.notes == ()
    assert len(items.clips) == len({name for both in pictures.values() for name in both}) == 8102
    assert items.pair_ids == tuple(pictures)
    assert items.sentences == tuple(row["sentence"] for row in official)
    assert items.right.tolist() == [row["label"] == "True" for row in official]
    for row, both in zip(official, items.pairs.tolist(), strict=True):
        assert tuple(items.clips[v].id for v in both) == pictures[row["identifier"]]
    assert items.clips[0].path == nlvr2 / "nlvr2/dev/dev-850-0-img0.png"
    # eight pictures of one set, which at most two sentences share
    sets = [row["identifier"].split("-")[1] for row in official]
    assert len({(one, group) for one, group in zip(sets, items.group.tolist(), strict=True)}) == len(set(sets)) == 1054
    assert len(set(items.group.tolist())) == 1054


def test_blips_own_layout_says_the_same(official: list[dict[str, Any]], nlvr2: Path, test_data: Path) -> None:
    pictures = official_pictures(official)
    own = [
        {"sentence": row["sentence"], "label": row["label"], "images": list(pictures[row["identifier"]])}
        for row in official
    ]
    (nlvr2 / "nlvr2/nlvr_dev.json").write_text(json.dumps(own))
    items = pairs(load_set(load_benchmark("nlvr2-dev"), nlvr2))
    path = test_data / "data/annotations/nlvr2/dev.json"
    theirs = pairs(load_set(load_benchmark("nlvr2-dev", annotations=path), nlvr2))
    assert items.clips == theirs.clips
    assert np.array_equal(items.pairs, theirs.pairs)
    assert np.array_equal(items.right, theirs.right)
    assert np.array_equal(items.group, theirs.group)
    assert items.pair_ids[:2] == ("dev/dev-850-0-img0.png#0", "dev/dev-850-2-img0.png#0")


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"identifier": "dev-1-2"}, "row 1: 'identifier' is 'dev-1-2'; split-set-pair-sentence"),
        ({"images": ["dev/dev-1-0-img0.png"]}, "row 1: .*names 1 pictures; a list of two"),
        ({"images": ["a.png", "b.png"]}, r"row 1: 'images' is \['a.png', 'b.png'\]; two names of NLVR2"),
        ({"images": ["dev/dev-1-0-img0.png", "dev/dev-2-0-img1.png"]}, "two names of NLVR2 are expected"),
        ({}, "row 1: 'images' is None"),
    ],
)
def test_rows_of_another_kind_are_not_taken_for_nlvr2(tmp_path: Path, row: dict[str, Any], message: str) -> None:
    path = tmp_path / "dev.json"
    path.write_text(json.dumps([{**row, "sentence": "a dog", "label": "True"}]))
    with pytest.raises(DataError, match=message):
        load_set(load_benchmark("nlvr2-dev", annotations=path), tmp_path)


MINE = {"fields": {"id": "id", "first": "left", "second": "right", "text": "said", "label": "is"}, "media": "p/{image}"}


@pytest.mark.parametrize("label", ["True", "true", True, "FALSE", False])
def test_pictures_in_two_columns(tmp_path: Path, label: object) -> None:
    touch(tmp_path, "p/a.png", "p/b.png", "p/c.png")
    rows = [{**ROW, "is": label}, {**ROW, "id": 2, "left": "c.png", "right": "a.png", "said": "two"}]
    items = pairs(load(write(tmp_path, "pairs", MINE, rows)))
    assert [clip.id for clip in items.clips] == ["a.png", "b.png", "c.png"]
    assert items.clips[2].path == tmp_path / "p/c.png"
    assert items.pairs.tolist() == [[0, 1], [2, 0]]
    assert items.right.tolist() == [str(label).lower() == "true", True]
    assert (items.sentences, items.pair_ids) == (("A red dog.", "two"), ("1", "2"))
    assert items.group.tolist() == [0, 1]


def test_pictures_in_one_column_and_groups(tmp_path: Path) -> None:
    touch(tmp_path, "1/a.png", "1/b.png")
    fields = {"images": "both", "text": "said", "label": "is", "group": "of", "folder": "of"}
    rows = [{**ROW, "both": ["a", "b"], "of": 1}, {**ROW, "both": ["b", "a"], "of": 1}]
    items = pairs(load(write(tmp_path, "pairs", {"fields": fields, "media": "{folder}/{image}.png"}, rows)))
    assert items.pairs.tolist() == [[0, 1], [1, 0]]
    assert items.group.tolist() == [0, 0]
    assert items.pair_ids == ("a#0", "b#0")


def test_a_limit_keeps_the_pairs_whose_pictures_are_there(tmp_path: Path) -> None:
    touch(tmp_path, "p/a.png", "p/b.png", "p/c.png")
    rows = [ROW, {**ROW, "id": 2, "right": "c.png"}, {**ROW, "id": 3, "left": "b.png", "right": "a.png"}]
    items = pairs(load(write(tmp_path, "pairs", MINE, rows), limit=2))
    assert ([clip.id for clip in items.clips], items.pair_ids) == (["a.png", "b.png"], ("1", "3"))
    assert items.pairs.tolist() == [[0, 1], [1, 0]]


def test_a_missing_picture_is_named(tmp_path: Path) -> None:
    touch(tmp_path, "p/a.png")
    path = write(tmp_path, "pairs", MINE, [ROW])
    with pytest.raises(DataError, match=r"1 of 2 media files are missing: \S+/p/b\.png"):
        load(path)
    assert len(pairs(load(path, "on_error=skip")).clips) == 2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"is": "maybe"}, "row 1: 'is' is 'maybe'; true or false is expected"),
        ({"is": None}, "'is' is None; true or false"),
        ({"is": 1}, "'is' is 1; true or false"),
        ({"said": "  "}, "has an empty text"),
        ({"said": "..!"}, r"cleaning leaves nothing of the sentence '\.\.!'"),
        ({"said": 3}, "'said' of clip 'a.png' is int, not text"),
        ({"left": ""}, "row 1: 'left' is empty"),
        ({"right": ["b.png"]}, "row 1: 'right' is list"),
    ],
)
def test_what_is_wrong_with_a_pair_is_said(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        load(write(tmp_path, "pairs", MINE, [{**ROW, **changes}]))


@pytest.mark.parametrize(
    ("dataset", "message"),
    [
        ({**MINE, "media": "p/{first}"}, r"has no \{image\}, so that both pictures would be one file"),
        ({**MINE, "media": "p/{imag}"}, r"'\{imag\}' is not a mapped field"),
        ({"fields": {"first": "left", "text": "said", "label": "is"}, "media": "{image}"}, "'fields' lacks 'second'"),
        ({"fields": {"text": "said", "label": "is"}, "media": "{image}"}, "'fields' lacks 'images'"),
    ],
)
def test_what_a_file_of_pairs_must_say(tmp_path: Path, dataset: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load(write(tmp_path, "pairs", dataset, [ROW]))


VISDIAL: dict[str, Any] = {
    "split": "val2018",
    "version": "1.0",
    "data": {
        "questions": ["is it sunny", "how many", "who"],
        "answers": ["yes", "no", "two", "three", "maybe"],
        "dialogs": [
            {
                "image_id": 185565,
                "caption": "a street",
                "dialog": [
                    {"question": 0, "answer": 0, "answer_options": [1, 0, 4], "gt_index": 1},
                    {"question": 1, "answer": 2, "answer_options": [2, 3, 1], "gt_index": 0},
                ],
            },
            {
                "image_id": 7,
                "caption": "a cat",
                "dialog": [{"question": 2, "answer": 4, "answer_options": [4, 2, 0], "gt_index": 0}],
            },
        ],
    },
}
DENSE = [{"image_id": 185565, "round_id": 2, "gt_relevance": [1.0, 0.0, 0.4]}]
SMALL = ("dataset.expect.clips=2", "dataset.expect.rounds=3")


def visdial(root: Path, said: Any = VISDIAL, dense: Any = DENSE) -> Path:
    names = [f"visdial/VisualDialog_val2018/VisualDialog_val2018_{number:012d}.jpg" for number in (185565, 7)]
    touch(root, *names)
    (root / "visdial/visdial_1.0_val.json").write_text(json.dumps(said))
    if dense is not None:
        (root / "visdial/visdial_1.0_val_dense_annotations.json").write_text(json.dumps(dense))
    return root


def changed(round_: dict[str, Any]) -> dict[str, Any]:
    """VisDial with another first round."""
    first, second = VISDIAL["data"]["dialogs"]
    dialogs = [{**first, "dialog": [round_, *first["dialog"][1:]]}, second]
    return {**VISDIAL, "data": {**VISDIAL["data"], "dialogs": dialogs}}


def test_the_files_of_visdial(tmp_path: Path) -> None:
    items = rounds(load_set(load_benchmark("visdial", SMALL), visdial(tmp_path)))
    assert [clip.id for clip in items.clips] == ["185565", "7"]
    assert items.clips[1].path.name == "VisualDialog_val2018_000000000007.jpg"
    assert items.captions == ("a street", "a cat")
    assert (items.round_clip.tolist(), items.round_number.tolist()) == ([0, 0, 1], [1, 2, 1])
    assert items.questions == ("is it sunny", "how many", "who")
    assert items.histories == ((), (("is it sunny", "yes"),), ())
    texts = [[items.listed_answers[place] for place in own] for own in items.candidates]
    assert texts == [["no", "yes", "maybe"], ["two", "three", "no"], ["maybe", "two", "yes"]]
    assert items.right.tolist() == [1, 0, 0]
    assert [None if one is None else one.tolist() for one in items.relevance] == [None, [1.0, 0.0, 0.4], None]


def test_without_dense_annotations(tmp_path: Path) -> None:
    visdial(tmp_path, dense=None)
    with pytest.raises(DataError, match=r"dense_annotations.json does not exist.*--set dataset.relevance=FILE"):
        load_set(load_benchmark("visdial", SMALL), tmp_path)
    loaded = load_set(load_benchmark("visdial", [*SMALL, "dataset.relevance=null"]), tmp_path)
    assert set(rounds(loaded).relevance) == {None}


def test_a_test_split_asks_only_its_last_rounds_and_tells_no_answers(tmp_path: Path) -> None:
    dialogs = [
        {
            "image_id": 7,
            "caption": "a cat",
            "dialog": [{"question": 0, "answer": 0}, {"question": 1, "answer_options": [2, 3]}],
        }
    ]
    visdial(tmp_path, {**VISDIAL, "data": {**VISDIAL["data"], "dialogs": dialogs}}, None)
    wanted = ["dataset.expect.clips=1", "dataset.expect.rounds=1", "dataset.relevance=null"]
    items = rounds(load_set(load_benchmark("visdial", wanted), tmp_path))
    assert (items.round_number.tolist(), items.right.tolist()) == ([2], [-1])
    assert items.histories == ((("is it sunny", "yes"),),)


@pytest.mark.parametrize(
    ("said", "dense", "message"),
    [
        (
            changed({"question": 0, "answer": 0, "answer_options": [1, 4], "gt_index": 0}),
            DENSE,
            "not among its options",
        ),
        (changed({"question": 0, "answer": 0, "answer_options": [1, 0], "gt_index": 9}), DENSE, "at place 9"),
        (changed({"question": 99}), DENSE, "dialog 1: a round lacks a question"),
        (changed({"question": 0, "answer": 0, "answer_options": [0, 77]}), DENSE, "must be of VisDial v1.0"),
        (changed({"question": 0}), DENSE, "dialog 1: round 1 has no answer, but later rounds follow"),
        ({"data": {}}, DENSE, "'data' is missing or empty"),
        ([{"image_id": 7}], DENSE, "a list where an object is expected; check key 'dataset.reader'"),
        (VISDIAL, [{**DENSE[0], "round_id": 7}], "1 dense annotations .* belong to none of its rounds.*round 7"),
        (VISDIAL, [{**DENSE[0], "gt_relevance": [1.0]}], "'relevance' holds 1, not 3 numbers"),
        (VISDIAL, [{**DENSE[0], "gt_relevance": [0.0, 0, 0]}], "one is above 0"),
        (VISDIAL, [{**DENSE[0], "gt_relevance": [1.0, "a", 0]}], "'relevance' needs numbers"),
        (VISDIAL, [{"image_id": 7, "round_id": 1}], "row 1: 'gt_relevance' is missing"),
    ],
)
def test_what_is_wrong_with_visdial_is_said(tmp_path: Path, said: Any, dense: Any, message: str) -> None:
    with pytest.raises(BlipvidError, match=message) as caught:
        load_set(load_benchmark("visdial", SMALL), visdial(tmp_path, said, dense))
    assert "\n" not in str(caught.value)


ASKED = {"pic": "a", "about": "A dog.", "q": "is it big", "before": [["who", "a dog"]], "all": ["yes", "no"], "it": 1}
TOLD = {
    "fields": {
        "clip": "pic",
        "caption": "about",
        "question": "q",
        "history": "before",
        "options": "all",
        "answer": "it",
    },
    "media": "p/{clip}.png",
}


def test_dialogs_of_ones_own(tmp_path: Path) -> None:
    touch(tmp_path, "p/a.png", "p/b.png")
    rows = [ASKED, {**ASKED, "q": "really", "all": ["no", "yes", "yes", "well"], "it": "3"}, {**ASKED, "pic": "b"}]
    items = rounds(load(write(tmp_path, "dialog", TOLD, rows)))
    assert items.listed_answers == ("yes", "no", "well")
    assert [own.tolist() for own in items.candidates] == [[0, 1], [1, 0, 0, 2], [0, 1]]
    assert (items.right.tolist(), items.round_number.tolist()) == ([1, 3, 1], [1, 2, 1])
    assert items.histories[0] == (("who", "a dog"),)
    limited = rounds(load(tmp_path / "mine.yaml", limit=1))
    assert (limited.captions, limited.questions) == (("A dog.",), ("is it big", "really"))
    assert limited.listed_answers == items.listed_answers


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"it": 2}, "the right option is '2', but there are 2, counted from 0 to 1"),
        ({"it": "no"}, "the right option is 'no'"),
        ({"all": ["yes"]}, "'all' is no list of two or more answers"),
        ({"all": "yes"}, "'all' is no list of two or more answers"),
        ({"all": ["yes", " "]}, "option 1 is ' '; text is expected"),
        ({"before": ["who"]}, "'before' is no list of questions with answers"),
        ({"before": None}, "'before' is no list of questions with answers"),
        ({"about": "..."}, r"cleaning leaves nothing of the caption '\.\.\.'"),
        ({"q": ""}, "has an empty question"),
    ],
)
def test_what_is_wrong_with_a_round_is_said(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    touch(tmp_path, "p/a.png")
    with pytest.raises(DataError, match=message):
        load(write(tmp_path, "dialog", TOLD, [{**ASKED, **changes}]))


def test_one_caption_and_one_number_for_each_round(tmp_path: Path) -> None:
    touch(tmp_path, "p/a.png")
    with pytest.raises(DataError, match=r"row 2: picture 'a' has two captions, 'A dog\.' and 'A cat\.'"):
        load(write(tmp_path, "dialog", TOLD, [ASKED, {**ASKED, "about": "A cat."}]))
    numbered = {**TOLD, "fields": {**TOLD["fields"], "round": "n"}}  # type: ignore[dict-item]
    for number in (1, 0, "first"):
        with pytest.raises(DataError, match=f"row 2: 'n' is {number!r}; rounds of a dialog are numbered"):
            load(write(tmp_path, "dialog", numbered, [{**ASKED, "n": 1}, {**ASKED, "n": number}]))


def test_what_the_shipped_files_reproduce() -> None:
    for name, accuracy, others in (("nlvr2-dev", 82.48, {82.67, 82.15}), ("nlvr2-test", 83.08, {82.30, 82.24})):
        spec = load_benchmark(name)
        rows = {row.model: row for row in spec.published}
        assert rows["blip-base-nlvr"].metrics == {"accuracy": accuracy}
        assert {row.metrics["accuracy"] for row in spec.published if row.model is None} == others
        assert Counter(row.recipe for row in spec.published) == {None: 1, "nlvr-base": 2}
        assert (spec.frames.count, spec.frames.size, spec.frames.resize) == (1, 384, "bicubic")
        assert (spec.settings.sentence_words, spec.settings.order) == (40, "fixed")
        assert spec.settings.black_clips == "scale"
    (row,) = load_benchmark("visdial").published
    assert row.metrics == {"mrr": 69.41, "r1": 56.44, "r5": 85.90, "r10": 93.30, "mean_rank": 3.20}
    assert (row.model, row.recipe) == (None, "visdial-base")


def test_files_named_in_full_need_no_data_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BLIPVID_DATA", raising=False)
    images = [f"dev/dev-0-0-img{number}.png" for number in (0, 1)]
    pictures = touch(tmp_path, *images)
    (tmp_path / "dev.json").write_text(json.dumps([{"images": images, "sentence": "A dog.", "label": "True"}]))
    spec = load_benchmark("nlvr2-dev", annotations=tmp_path / "dev.json", media=str(pictures / "{image}"))
    assert pairs(load_set(spec, None)).sentences == ("A dog.",)
    with pytest.raises(ConfigError, match=r"no data folder is known for nlvr2/\S+; give --data-root"):
        load_set(load_benchmark("nlvr2-dev"), None)
