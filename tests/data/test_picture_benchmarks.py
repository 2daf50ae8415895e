"""The shipped benchmarks of pictures: their numbers, the forms of their files, and what can be wrong with one."""

import json
from pathlib import Path
from typing import Any

import pytest

from blipvid.core.errors import DataError
from blipvid.core.types import QuestionSet, RetrievalSet
from blipvid.data.schema import QaBenchmark, RetrievalBenchmark
from blipvid.data.sets import LoadedSet, load_set
from blipvid.data.spec import load_benchmark

PICTURES = ["coco-retrieval", "flickr30k-retrieval", "flickr30k-retrieval-zeroshot", "vqa2-val", "vqa2-test"]


@pytest.mark.parametrize("name", PICTURES)
def test_still_pictures_are_read_as_the_released_loader_does(name: str) -> None:
    spec = load_benchmark(name)
    assert spec.frames.of_pictures
    assert spec.frames.size == (480 if spec.task == "qa" else 384)
    assert spec.settings.black_clips == "scale"  # the rule for black clips is one of the video loader alone


@pytest.mark.parametrize(("name", "k"), [("coco-retrieval", 256), ("flickr30k-retrieval", 128)])
def test_the_released_settings_of_retrieval(name: str, k: int) -> None:
    spec = load_benchmark(name)
    assert isinstance(spec, RetrievalBenchmark)
    said = spec.settings
    assert (said.rerank_top_k, said.caption_words, said.text_tokens, said.v2t_protocol) == (k, 30, 35, "any-text")


@pytest.mark.parametrize("name", ["vqa2-val", "vqa2-test"])
def test_the_released_settings_of_answering(name: str) -> None:
    spec = load_benchmark(name)
    assert isinstance(spec, QaBenchmark)
    said = spec.settings
    assert (said.answer_by, said.answer_top_k, said.question_words) == (("rank", "generate"), 128, 50)
    assert spec.dataset.answers == "vqa/answer_list.json"


@pytest.mark.parametrize(
    ("name", "label", "figures"),
    [
        ("coco-retrieval", "BLIP", (81.9, 95.4, 97.8, 64.3, 85.7, 91.5)),
        ("coco-retrieval", "BLIP ViT-L", (82.4, 95.4, 97.9, 65.1, 86.3, 91.8)),
        ("flickr30k-retrieval", "BLIP", (97.3, 99.9, 100.0, 87.3, 97.6, 98.9)),
        ("flickr30k-retrieval-zeroshot", "BLIP", (96.0, 99.9, 100.0, 85.0, 96.8, 98.6)),
    ],
)
def test_the_rows_to_be_reproduced(name: str, label: str, figures: tuple[float, ...]) -> None:
    (row,) = (row for row in load_benchmark(name).published if row.label == label)
    assert tuple(row.metrics[f"{way}_{what}"] for way in ("v2t", "t2v") for what in ("r1", "r5", "r10")) == figures
    size = "large" if "ViT-L" in label else "base"
    tuned_on = "flickr" if name == "flickr30k-retrieval" else "coco"
    assert row.model == f"blip-{size}-retrieval-{tuned_on}"


def write(path: Path, content: Any = "") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))


# Source of the form: https://visualqa.org/download.html, a question of the validation split.
ASKED = {
    "info": {"version": "2.0"},
    "task_type": "Open-Ended",
    "data_subtype": "val2014",
    "questions": [
        {"image_id": 262148, "question": "Where is he looking?", "question_id": 262148000},
        {"image_id": 262148, "question": "Is he, by chance, asleep?", "question_id": 262148002},
        {"image_id": 42, "question": "How many?", "question_id": 42000},
    ],
}
ANSWERED = {
    "info": {"version": "2.0"},
    "annotations": [
        {
            "question_type": "none of the above",
            "multiple_choice_answer": "down",
            "answers": [
                {"answer": answer, "answer_confidence": "yes", "answer_id": number}
                for number, answer in enumerate(answers, start=1)
            ],
            "image_id": id_ // 1000,
            "answer_type": kind,
            "question_id": id_,
        }
        for id_, kind, answers in (
            (42000, "number", ["2"] * 10),
            (262148000, "other", ["down"] * 7 + ["at table", "skateboard", "table"]),
            (262148002, "yes/no", ["no"] * 10),
        )
    ],
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A data root with three questions about two pictures in the official form."""
    write(tmp_path / "vqa/v2_OpenEnded_mscoco_val2014_questions.json", ASKED)
    write(tmp_path / "vqa/v2_mscoco_val2014_annotations.json", ANSWERED)
    write(tmp_path / "vqa/answer_list.json", ["down", "no", "yes"])
    for number in (42, 262148):
        write(tmp_path / f"coco/val2014/COCO_val2014_{number:012}.jpg")
    return tmp_path


FEW = ("dataset.expect={clips: 2, questions: 3}",)


def load_questions(root: Path, name: str = "vqa2-val", overrides: tuple[str, ...] = FEW, **options: Any) -> LoadedSet:
    return load_set(load_benchmark(name, overrides, **options), root)


def items_of(loaded: LoadedSet) -> QuestionSet:
    assert isinstance(loaded.items, QuestionSet)
    return loaded.items


def test_questions_and_annotations_of_vqa_are_joined(root: Path) -> None:
    loaded = load_questions(root)
    items = items_of(loaded)
    assert [clip.path.name for clip in items.clips] == [
        "COCO_val2014_000000262148.jpg",
        "COCO_val2014_000000000042.jpg",
    ]
    assert items.question_ids == ("262148000", "262148002", "42000")
    assert items.question_clip.tolist() == [0, 0, 1]
    assert items.answers[0] == ("down",) * 7 + ("at table", "skateboard", "table")
    assert items.kinds == ("other", "yes/no", "number")
    assert items.answer_list is not None
    assert items.answer_list.answers == ("down", "no", "yes")
    assert [path.name for path in loaded.joined] == ["v2_mscoco_val2014_annotations.json"]


def test_blips_own_list_has_the_same_questions_but_no_types(root: Path) -> None:
    """Source: salesforce/BLIP data/vqa_dataset.py, the keys of vqa_val.json."""
    theirs = items_of(load_questions(root))
    rows = [
        {
            "dataset": "vqa",
            "image": f"val2014/COCO_val2014_{row['image_id']:012}.jpg",
            "question": row["question"],
            "question_id": row["question_id"],
            "answer": list(answers),
        }
        for row, answers in zip(ASKED["questions"], theirs.answers, strict=True)
    ]
    write(root / "vqa/vqa_val.json", rows)
    options = {"annotations": root / "vqa/vqa_val.json", "media": f"{root}/coco/{{clip}}"}
    own = load_questions(root, overrides=("dataset.records=null", "dataset.fields.kind=null"), **options)
    items = items_of(own)
    assert (items.questions, items.question_ids, items.answers) == (
        theirs.questions,
        theirs.question_ids,
        theirs.answers,
    )
    assert [clip.path for clip in items.clips] == [clip.path for clip in theirs.clips]
    assert items.kinds == ("where", "yes/no", "how")
    assert own.joined == {}
    with_types = items_of(load_questions(root, overrides=("dataset.records=null",), **options))
    assert (with_types.kinds, with_types.answers) == (theirs.kinds, theirs.answers)


def test_of_the_test_split_nobody_knows_the_answers(root: Path) -> None:
    (root / "vqa/v2_OpenEnded_mscoco_val2014_questions.json").rename(
        root / "vqa/v2_OpenEnded_mscoco_test2015_questions.json"
    )
    (root / "vqa/v2_mscoco_val2014_annotations.json").unlink()
    for path in (root / "coco/val2014").iterdir():
        write(root / "coco/test2015" / path.name.replace("val2014", "test2015"))
    items = items_of(load_questions(root, "vqa2-test"))
    assert items.answers == ((), (), ())
    assert items.kinds == ("where", "yes/no", "how")
    (root / "coco/test2015/COCO_test2015_000000000042.jpg").unlink()
    with pytest.raises(DataError, match=r"1 of 2 media files are missing: .*COCO_test2015_000000000042.jpg.*To obtain"):
        load_questions(root, "vqa2-test")


@pytest.mark.parametrize(
    ("file", "change", "message"),
    [
        ("questions", {"image_id": None}, r"questions.json: row 1: 'image_id' is empty; text or a whole number"),
        ("questions", {"question_id": 7}, r"1 of 3 rows of .*_questions.json find no row by 'question_id'.*: 7\. Both"),
        ("questions", {"question_id": None}, r"row 1: 'question_id' is None; rows are joined by text or whole numbers"),
        ("annotations", {"answers": []}, r"questions.json: row 3: the list of answers 'answers' is empty; remove"),
        ("annotations", {"answers": [None]}, r"row 3: an annotator's answer in 'answers' is None; text or a whole"),
        ("annotations", {"answers": ["2"]}, r"row 3: has 1 annotators' answers, but .* row 1 has 10"),
    ],
)
def test_a_question_that_cannot_be_asked_is_named(root: Path, file: str, change: dict[str, Any], message: str) -> None:
    path = next(root.glob(f"vqa/*_{file}.json"))
    content = json.loads(path.read_text())
    content[file][0] |= change
    write(path, content)
    with pytest.raises(DataError, match=message):
        load_questions(root)


def test_a_picture_that_is_not_there_is_named(root: Path) -> None:
    (root / "coco/val2014/COCO_val2014_000000000042.jpg").unlink()
    with pytest.raises(DataError, match=r"1 of 2 media files are missing: .*COCO_val2014_000000000042.jpg"):
        load_questions(root)
    loaded = load_questions(root, overrides=(*FEW, "on_error=skip"))
    assert "1 of 2 media files are missing" in loaded.notes[0]


def test_annotations_that_are_not_there_or_no_list_are_named(root: Path) -> None:
    path = root / "vqa/v2_mscoco_val2014_annotations.json"
    write(path, {"info": {}})
    with pytest.raises(DataError, match=r"'dataset.join.records: annotations' leads nowhere at 'annotations'"):
        load_questions(root)
    path.unlink()
    with pytest.raises(DataError, match=r"annotations.json does not exist.*dataset.join.file=FILE. To obtain: quest"):
        load_questions(root)


# Source: salesforce/BLIP data/coco_karpathy_dataset.py and flickr30k_dataset.py, the keys of their test files.
@pytest.mark.parametrize(
    ("name", "file", "picture"),
    [
        ("coco-retrieval", "coco/coco_karpathy_test.json", "val2014/COCO_val2014_000000391895.jpg"),
        ("flickr30k-retrieval", "flickr30k/flickr30k_test.json", "flickr30k-images/1007129816.jpg"),
        ("flickr30k-retrieval-zeroshot", "flickr30k/flickr30k_test.json", "flickr30k-images/1007129816.jpg"),
    ],
)
def test_a_picture_has_a_list_of_captions(tmp_path: Path, name: str, file: str, picture: str) -> None:
    captions = [f"A man on a bike, number {number}." for number in range(5)]
    write(tmp_path / file, [{"image": picture, "caption": captions}, {"image": "other.jpg", "caption": captions[:4]}])
    folder = Path(file).parts[0]
    write(tmp_path / folder / picture)
    write(tmp_path / folder / "other.jpg")
    loaded = load_set(load_benchmark(name, ["dataset.expect={clips: 2, texts: 9}"]), tmp_path)
    items = loaded.items
    assert isinstance(items, RetrievalSet)
    assert [clip.path for clip in items.clips] == [tmp_path / folder / picture, tmp_path / folder / "other.jpg"]
    assert items.texts == (*captions, *captions[:4])
    assert items.text_clip.tolist() == [0] * 5 + [1] * 4
    with pytest.raises(DataError, match="holds 2 clips instead of"):
        load_set(load_benchmark(name), tmp_path)
