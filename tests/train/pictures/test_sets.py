from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from blipvid.core.config import validate
from blipvid.core.errors import BlipvidError, ConfigError, DataError
from blipvid.core.text import exchange_sides
from blipvid.train.pictures import samples
from blipvid.train.pictures.batches import CAPTIONED, CaptionBatch, Feed, QuestionBatch
from blipvid.train.pictures.images import KINDS, open_sets
from blipvid.train.pictures.samples import PictureSet, Sample, check_pictures
from blipvid.train.pictures.sets import PairSet, QuestionSet, weigh_answers
from blipvid.train.pictures.settings import Pictures, QuestionSettings
from tests.load_goldens import Case, Goldens
from tests.train.files import batches, settings, write_captions, write_json, write_pictures


def open_set(said: dict[str, Any]) -> PictureSet:
    own = validate(Pictures, {"sets": [said], "batch_size": 2}, "test")
    (found,) = open_sets(Feed(None, KINDS[said["kind"]].feed.gather), own)  # type: ignore[arg-type]
    return found


def read_all(own: PictureSet) -> list[Sample]:
    return [own.read(number, np.random.default_rng(number)) for number in range(len(own))]


class Drawn:
    """Stands for a generator that always draws the same."""

    def __init__(self, value: float) -> None:
        self.value = value

    def random(self) -> float:
        return self.value


@pytest.fixture
def case(goldens: Goldens) -> Case:
    return goldens["datasets"]


def official(case: Case, kind: str, *files: str, **more: Any) -> dict[str, Any]:
    annotations = [str(case.folder / "annotation" / f"{name}.json") for name in files]
    return {"kind": kind, "annotations": annotations, "images": str(case.folder / "root"), **more}


@pytest.mark.parametrize(
    ("file", "recorded"), [("coco_karpathy_train", "retrieval_train"), ("flickr30k_train", "flickr_train")]
)
def test_captions_and_ids_are_those_recorded(case: Case, file: str, recorded: str) -> None:
    found = read_all(open_set(official(case, "captions", file)))
    assert [[sample.said, sample.id] for sample in found] == case.meta["values"][recorded]


def test_lists_of_captions_are_as_many_samples(case: Case) -> None:
    found = read_all(open_set(official(case, "captions", "coco_karpathy_val")))
    wanted = case.meta["values"]["retrieval_val"]
    assert [sample.said for sample in found] == wanted["text"]
    assert {str(number): sample.id for number, sample in enumerate(found)} == wanted["txt2img"]


def test_questions_answers_and_weights_are_those_recorded(case: Case) -> None:
    own = open_set(official(case, "questions", "vqa_train", "vqa_val", "vg_qa"))
    assert isinstance(own, QuestionSet)
    found = [sample.said[0] for sample in read_all(own)]
    recorded = case.meta["values"]["vqa_train"]
    assert [[question, list(weighted), list(weighted.values())] for question, weighted in found] == recorded
    batch = QuestionBatch.gather(None, [[pair] for pair in found])  # type: ignore[arg-type]
    collated = case.meta["values"]["vqa_collate"]
    assert (batch.questions, batch.answers, batch.weights.tolist()) == tuple(
        collated[key] for key in ("questions", "answers", "weights")
    )
    counts = [len(list(own)) for _, own in groupby(batch.answer_question.tolist())]
    assert counts == collated["n"]


def test_sides_are_exchanged_as_recorded(case: Case) -> None:
    own = open_set(official(case, "pairs", "nlvr_train"))
    assert isinstance(own, PairSet)
    rows = case.meta["values"]["nlvr"]
    assert len(rows) == 6
    for row in rows:
        found = own.read(row["index"], Drawn(row["random"]))  # type: ignore[arg-type]
        first = own.read(row["index"], Drawn(0.0)).pictures[0]  # type: ignore[arg-type]
        assert found.said == (row["sentence"], bool(row["label"]))
        assert (found.pictures[0].tobytes() == first.tobytes()) is row["first_is_images0"]


def test_words_with_signs_and_others_stay() -> None:
    assert exchange_sides("left, right lefty left right") == "left, left lefty right left"


def test_half_of_all_pairs_are_exchanged(case: Case) -> None:
    own = open_set(official(case, "pairs", "nlvr_train"))
    said = [own.read(1, np.random.default_rng(seed)).said[0] for seed in range(200)]
    assert 70 < said.count("right and left are equal") < 130
    assert set(said) == {"right and left are equal", "left and right are equal"}


def test_answers_of_many_people_count_by_share_and_one_answer_counts_little() -> None:
    assert weigh_answers(["a", "b", "a", "a"]) == {"a": 0.75, "b": 0.25}
    assert weigh_answers("a") == {"a": 0.2}


def test_each_dataset_of_questions_has_its_folder(tmp_path: Path) -> None:
    write_pictures(tmp_path / "one", 1)
    write_pictures(tmp_path / "two", 2)
    rows = [
        {"dataset": "vqa", "image": "0.png", "question": "What?", "answer": ["a", "b"]},
        {"dataset": "vg", "image": "1.png", "question": "Who?", "answer": "c"},
    ]
    file = write_json(tmp_path / "rows.json", rows)
    roots = {"vqa": str(tmp_path / "one"), "vg": str(tmp_path / "two")}
    own = open_set({"kind": "questions", "annotations": file, "images": roots})
    assert [sample.said for sample in read_all(own)] == [[("what?", {"a": 0.5, "b": 0.5})], [("who?", {"c": 0.2})]]
    with pytest.raises(ConfigError, match=r"row 2: is of dataset 'vg'; .*'images\.vg'"):
        open_set({"kind": "questions", "annotations": file, "images": {"vqa": roots["vqa"]}})


KARPATHY = {
    "images": [
        {"filepath": "val", "filename": "0.png", "split": "train", "sentences": [{"raw": "A b."}, {"raw": "C  d"}]},
        {"filepath": "val", "filename": "1.png", "split": "test", "sentences": [{"raw": "never"}]},
        {"filepath": "val", "filename": "2.png", "split": "restval", "sentences": [{"raw": "E!"}]},
    ]
}


def test_karpathys_splits(tmp_path: Path) -> None:
    write_pictures(tmp_path / "val", 3)
    said = {"kind": "karpathy", "annotations": write_json(tmp_path / "a.json", KARPATHY), "images": str(tmp_path)}
    found = read_all(open_set(said))
    assert [(sample.said, sample.id) for sample in found] == [("a b", 0), ("c d", 0), ("e", 1)]
    assert [sample.pictures[0].getpixel((0, 0)) for sample in found] == [(0, 0, 7), (0, 0, 7), (2, 0, 7)]
    assert [sample.said for sample in read_all(open_set(said | {"splits": ["test"]}))] == ["never"]
    with pytest.raises(DataError, match=r"of split 'trian', there are 'restval', 'test', 'train'"):
        open_set(said | {"splits": ["trian", "restval"]})


VISDIAL = {
    "version": "1.0",
    "data": {
        "questions": ["is it sunny", "how many"],
        "answers": ["yes", "no", "two", "three", "maybe"],
        "dialogs": [
            {
                "image_id": 1,
                "caption": "A street.",
                "dialog": [
                    {"question": 0, "answer": 0, "answer_options": [0, 1, 4], "gt_index": 0},
                    {"question": 1, "answer": 2, "answer_options": [3, 2, 1, 4], "gt_index": 1},
                ],
            }
        ],
    },
}


def write_dialogs(folder: Path, said: Any = VISDIAL) -> dict[str, Any]:
    write_pictures(folder, 1)
    (folder / "0.png").rename(folder / "COCO_val_000000000001.png")
    images = [str(folder / "COCO_train_{image_id}.png"), str(folder / "COCO_val_{image_id}.png")]
    return {"kind": "dialogs", "annotations": write_json(folder / "visdial.json", said), "images": images}


def test_each_round_has_a_right_answer_and_wrong_ones(tmp_path: Path) -> None:
    own = open_set(write_dialogs(tmp_path) | {"wrong": 2})
    first, second = (sample.said for sample in read_all(own))
    assert first[0] == second[0] == "a street"
    assert first[1][0] == ("is it sunny? yes", True)
    assert set(first[1][1:]) == {("is it sunny? no", False), ("is it sunny? maybe", False)}
    told = "is it sunny? yes. how many?"
    assert second[1][0] == (f"{told} two", True)
    drawn = {own.read(1, np.random.default_rng(seed)).said[1][1][0] for seed in range(40)}
    assert drawn == {f"{told} {answer}" for answer in ("three", "no", "maybe")}
    assert all(len(set(one.said[1])) == 3 for one in read_all(own))
    with pytest.raises(DataError, match=r"dialog 1: a round has 2 wrong answers; lower key 'wrong'"):
        open_set(write_dialogs(tmp_path / "other") | {"wrong": 3})


def test_paths_lie_below_the_data_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_captions(tmp_path / "set", 2)
    said = {"kind": "captions", "annotations": "set/captions.json", "images": "set"}
    monkeypatch.setenv("BLIPVID_DATA", str(tmp_path))
    assert len(open_set(said)) == 2
    monkeypatch.setenv("BLIPVID_DATA", "elsewhere")
    assert len(open_sets(CAPTIONED, settings(said), tmp_path)[0]) == 2
    roots = QuestionSettings(kind="questions", annotations=["a", "/b"], images={"vg": "c"}).below(tmp_path)
    assert roots.annotations == [str(tmp_path / "a"), "/b"]
    assert roots.images == {"vg": str(tmp_path / "c")}
    monkeypatch.delenv("BLIPVID_DATA")
    with pytest.raises(ConfigError, match=r"no data folder is known for set.*BLIPVID_DATA"):
        open_set(said)


def test_missing_pictures_are_counted_and_named(tmp_path: Path) -> None:
    said = write_captions(tmp_path, 4)
    (tmp_path / "1.png").unlink()
    (tmp_path / "3.png").unlink()
    with pytest.raises(DataError, match=r"2 of 4 pictures are missing: \S+1\.png, \S+3\.png"):
        open_set(said)


@pytest.mark.parametrize("content", [b"", b"no picture"])
def test_files_that_are_no_pictures_are_named_before_any_is_decoded(tmp_path: Path, content: bytes) -> None:
    said = write_captions(tmp_path, 4)
    (tmp_path / "2.png").write_bytes(content)
    with pytest.raises(DataError, match=r"1 of 4 pictures looked at cannot be read: \S+2\.png; fetch"):
        open_set(said)


def test_of_many_pictures_some_are_looked_at_the_first_and_last_among_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(samples, "LOOKED_AT", 3)
    paths = [str(tmp_path / name) for name in write_pictures(tmp_path, 7)]
    for number in (0, 1, 6):
        (tmp_path / f"{number}.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"2 of 3 pictures looked at cannot be read: \S+0\.png, \S+6\.png"):
        check_pictures(paths)


def test_a_picture_cut_short_is_named_when_it_is_read(tmp_path: Path) -> None:
    said = write_captions(tmp_path, 2)
    whole = (tmp_path / "1.png").read_bytes()
    (tmp_path / "1.png").write_bytes(whole[:-30])
    own = open_set(said)
    with pytest.raises(DataError, match=r"1\.png: the picture cannot be read"):
        own.read(1, np.random.default_rng(0))


ROWS: list[tuple[str, Any, str]] = [
    ("captions", "{", "is not JSON"),
    ("captions", [], "holds no rows"),
    ("captions", KARPATHY, "row 1: 'image' is missing"),
    ("captions", [{"image": "0.png", "caption": "a"}, {"image": "0.png"}], "row 2: 'caption' is missing"),
    ("captions", [{"image": "0.png", "caption": ["a", " "]}], "row 1: 'caption' is ' '"),
    ("captions", [{"image": "0.png", "caption": []}], r"row 1: 'caption' is missing"),
    ("captions", [{"image": "0.png", "caption": "..!"}], r"row 1: nothing is left of '\.\.!'"),
    ("captions", [{"image": 3, "caption": "a"}], "row 1: 'image' is 3"),
    ("karpathy", [{"image": "0.png"}], "a list where an object is expected; check key 'kind'"),
    ("karpathy", {"pictures": []}, "'images' is missing"),
    ("karpathy", {"images": ["0.png"]}, "picture 1: 'split' is missing"),
    ("karpathy", {"images": [{"filename": "0.png", "split": "train"}]}, "picture 1: 'sentences' is missing"),
    ("karpathy", {"images": [{"filename": "0.png", "split": "train", "sentences": ["a"]}]}, "'raw' is missing"),
    ("questions", [{"image": "0.png", "question": "a"}], "row 1: 'answer' is missing"),
    ("questions", [{"image": "0.png", "question": "a", "answer": []}], r"row 1: 'answer' is missing"),
    ("questions", [{"image": "0.png", "answer": "a"}], "row 1: 'question' is missing"),
    ("pairs", [{"images": ["0.png"], "sentence": "a", "label": "True"}], "names 1 pictures; two"),
    ("pairs", [{"images": ["0.png", "0.png"], "sentence": "a", "label": "true"}], "'label' is 'true'"),
    ("pairs", [{"images": ["0.png", 3], "sentence": "a", "label": "True"}], "'images' is 3"),
    ("pairs", [{"images": ["0.png", "0.png"], "label": "True"}], "'sentence' is missing"),
    ("dialogs", {"data": {"questions": ["a"]}}, "data: 'answers' is missing"),
    ("dialogs", {"data": {"questions": ["a"], "answers": ["b"], "dialogs": [3]}}, "dialog 1: 'image_id' is None"),
    ("dialogs", {"data": {"questions": ["a"], "answers": ["b"], "dialogs": [{}]}}, "dialog 1: 'image_id' is None"),
]


@pytest.mark.parametrize(("kind", "rows", "message"), ROWS)
def test_what_is_wrong_with_a_file_is_said(tmp_path: Path, kind: str, rows: Any, message: str) -> None:
    write_pictures(tmp_path, 1)
    file = tmp_path / "a.json"
    if isinstance(rows, str):
        file.write_text(rows)
    else:
        write_json(file, rows)
    with pytest.raises(BlipvidError, match=message) as caught:
        open_set({"kind": kind, "annotations": str(file), "images": str(tmp_path)})
    assert "\n" not in str(caught.value)


def test_a_round_that_lacks_its_options_is_named(tmp_path: Path) -> None:
    dialog = VISDIAL["data"]["dialogs"][0] | {"dialog": [{"question": 0}]}  # type: ignore[index]
    said = {"data": VISDIAL["data"] | {"dialogs": [dialog]}}  # type: ignore[operator]
    with pytest.raises(DataError, match=r"dialog 1: a round lacks .*answer.*VisDial v1\.0"):
        open_set(write_dialogs(tmp_path, said))


def test_a_missing_annotation_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none\.json does not exist"):
        open_set({"kind": "captions", "annotations": str(tmp_path / "none.json"), "images": str(tmp_path)})


def test_real_pictures_with_their_captions(test_data: Path) -> None:
    folder = test_data / "data" / "images" / "coco"
    said = {"kind": "captions", "annotations": str(folder / "captions.json"), "images": str(folder)}
    own = open_set(said)
    found = read_all(own)
    assert len(found) >= 51 * 5
    assert len({sample.id for sample in found}) == 51
    assert found[0].said == "some outdoor tables sitting next to some umbrellas"
    loaded = next(batches(KINDS["captions"].feed, settings(said, batch_size=8, augment={}), 64, 0, range(1)))
    assert isinstance(loaded.batch, CaptionBatch)
    assert loaded.batch.pixels.shape == (8, 3, 64, 64)
    assert loaded.batch.pixels.float().std() > 20
    by_id = {sample.id: set() for sample in found}  # type: dict[int, set[str]]
    for sample in found:
        by_id[sample.id].add(sample.said)
    assert all(caption in by_id[int(id_)] for caption, id_ in zip(loaded.batch.captions, loaded.batch.ids, strict=True))
