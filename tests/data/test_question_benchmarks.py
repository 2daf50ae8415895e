"""The shipped question benchmarks, on the real annotation files and on small files in the forms that are in use."""

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from blipvid.core.settings import TaskSettings
from blipvid.core.types import ChoiceSet, QuestionSet
from blipvid.data.schema import ChoiceBenchmark, QaBenchmark
from blipvid.data.sets import LoadedSet, load_set
from blipvid.data.spec import load_benchmark
from blipvid.evaluate.accuracy import accuracies
from tests.data.real import load_real, table, videos_of

QA_SETS = ["msvd-qa", "msrvtt-qa", "tgif-frameqa", "activitynet-qa"]


def questions(loaded: LoadedSet) -> QuestionSet:
    assert isinstance(loaded.items, QuestionSet)
    return loaded.items


def choices(loaded: LoadedSet) -> ChoiceSet:
    assert isinstance(loaded.items, ChoiceSet)
    return loaded.items


@pytest.mark.parametrize("name", [*QA_SETS, "nextqa"])
def test_sixteen_frames_at_the_size_of_the_checkpoint(name: str) -> None:
    spec = load_benchmark(name)
    # BLIP's own loader where its figures are to be met, which are those of MSVD-QA and MSRVTT-QA
    sampler = "blip-compat" if name in ("msvd-qa", "msrvtt-qa") else "uniform"
    assert (spec.frames.sampler, spec.frames.count, spec.frames.size) == (sampler, 16, 480)
    assert spec.model == "blip-vqa-capfilt-large"


@pytest.mark.parametrize("name", QA_SETS)
def test_open_questions_are_answered_by_generation(name: str) -> None:
    spec = load_benchmark(name)
    assert isinstance(spec, QaBenchmark)
    assert spec.settings.answer_by == ("generate",)


def test_how_options_are_chosen() -> None:
    by_question, by_caption = load_benchmark("nextqa"), load_benchmark("msrvtt-mc")
    assert isinstance(by_question, ChoiceBenchmark)
    assert isinstance(by_caption, ChoiceBenchmark)
    assert (by_question.settings.choose_by, by_caption.settings.choose_by) == ("rank", "match")
    assert (by_caption.model, by_caption.frames.count) == ("blip-base-retrieval-coco", 8)


@pytest.mark.parametrize("name", ["msvd-qa", "tgif-frameqa", "nextqa"])
def test_real_annotations_hold_what_the_benchmark_expects(name: str, test_data: Path, tmp_path: Path) -> None:
    loaded = load_real(name, test_data, tmp_path)
    expect = load_benchmark(name).dataset.expect.model_dump()
    assert not isinstance(loaded.items, tuple)
    assert (len(loaded.items.clips), len(loaded.items.questions)) == (expect["clips"], expect["questions"])  # type: ignore[union-attr]
    assert loaded.notes == ()
    assert {str(clip.path.relative_to(tmp_path)) for clip in loaded.items.clips} == set(
        videos_of(name, test_data / "data/annotations")
    )


def test_msvd_qa_by_question_word(test_data: Path, tmp_path: Path) -> None:
    items = questions(load_real("msvd-qa", test_data, tmp_path))
    assert Counter(items.kinds) == {"what": 8149, "who": 4552, "how": 370, "when": 58, "where": 28}
    rows = json.loads((test_data / "data/annotations/msvd_qa/test_qa.json").read_text())
    assert items.questions == tuple(row["question"] for row in rows)
    assert items.answers == tuple((row["answer"],) for row in rows)
    assert items.question_ids == tuple(str(row["id"]) for row in rows)


def test_msvd_clips_named_by_number_need_no_mapping(test_data: Path, tmp_path: Path) -> None:
    files = tmp_path / "numbered"
    files.mkdir()
    for number in range(1, 1971):
        (files / f"vid{number}.avi").touch()
    root = tmp_path / "root"
    (root / "msvd_qa").mkdir(parents=True)
    (root / "msvd_qa/test_qa.json").symlink_to(test_data / "data/annotations/msvd_qa/test_qa.json")
    loaded = load_set(load_benchmark("msvd-qa", media=f"{files}/vid{{clip}}.avi"), root)
    assert (len(loaded.items.clips), loaded.joined) == (504, {})


def load_msrvtt(annotations: Path, root: Path, *numbers: str) -> LoadedSet:
    for number in numbers:
        path = root / f"msrvtt/videos/video{number}.mp4"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return load_set(load_benchmark("msrvtt-qa", annotations=annotations), root)


def test_the_csv_copy_of_msrvtt_qa(test_data: Path, tmp_path: Path) -> None:
    path = test_data / "data/annotations/msrvtt_qa/val_qa.csv"
    rows = table(path)
    loaded = load_msrvtt(path, tmp_path, *{row["video_id"] for row in rows})
    items = questions(loaded)
    assert (len(items.clips), len(items.questions)) == (497, 12278)
    assert items.question_ids == tuple(str(number) for number in range(158581, 170859))
    assert Counter(items.kinds) == {"what": 8337, "who": 3439, "how": 344, "when": 106, "where": 52}
    assert items.clips[0].path == tmp_path / "msrvtt/videos/video6513.mp4"
    assert "12,278 questions instead of 72,821" in loaded.notes[0]


@pytest.mark.parametrize(("word", "count"), [("who", 19041), ("when", 616), ("where", 192)])
def test_cut_copies_of_msrvtt_qa_load_with_a_note(test_data: Path, tmp_path: Path, word: str, count: int) -> None:
    path = test_data / f"data/annotations/msrvtt_qa/LiVLR_{word}_test_qa_1000.json"
    loaded = load_msrvtt(path, tmp_path, *{str(row["video_id"]) for row in json.loads(path.read_text())})
    assert Counter(questions(loaded).kinds) == {word: count}
    assert f"{count:,} questions instead of 72,821; these are not the benchmark's own" in loaded.notes[0]


def test_tgif_kinds_are_what_its_types_mean(test_data: Path, tmp_path: Path) -> None:
    items = questions(load_real("tgif-frameqa", test_data, tmp_path))
    assert Counter(items.kinds) == {"object": 5586, "color": 3904, "number": 3148, "location": 1053}
    answers = {kind: Counter() for kind in set(items.kinds)}  # type: dict[str, Counter[str]]
    for kind, (answer,) in zip(items.kinds, items.answers, strict=True):
        answers[kind][answer] += 1
    commonest = {kind: counts.most_common(1)[0][0] for kind, counts in answers.items()}
    assert commonest == {"object": "cat", "color": "black", "number": "two", "location": "room"}


def test_activitynet_questions_and_answers_are_joined(tmp_path: Path) -> None:
    """Source: MILVLG/activitynet-qa dataset/README.md, the form of both files."""
    folder = tmp_path / "activitynet_qa"
    folder.mkdir()
    asked = [
        {"video_name": "-crpjVnFv0U", "question": "is the person chinese", "question_id": "v_-crpjVnFv0U_8"},
        {"video_name": "chmegNbBTNc", "question": "is it day or night", "question_id": "v_chmegNbBTNc_9"},
    ]
    answered = [
        {"answer": "day", "type": 8, "question_id": "v_chmegNbBTNc_9"},
        {"answer": "no", "type": 3, "question_id": "v_-crpjVnFv0U_8"},
    ]
    (folder / "test_q.json").write_text(json.dumps(asked))
    (folder / "test_a.json").write_text(json.dumps(answered))
    (tmp_path / "activitynet/videos").mkdir(parents=True)
    for name in ("-crpjVnFv0U", "chmegNbBTNc"):
        (tmp_path / f"activitynet/videos/v_{name}.mp4").touch()
    spec = load_benchmark("activitynet-qa", ["dataset.expect.clips=2", "dataset.expect.questions=2"])
    items = questions(load_set(spec, tmp_path))
    assert (items.answers, items.kinds) == ((("no",), ("day",)), ("yes/no", "other"))
    assert items.question_ids == ("v_-crpjVnFv0U_8", "v_chmegNbBTNc_9")


def test_nextqa_gives_a_published_model_its_published_accuracy(test_data: Path, tmp_path: Path) -> None:
    items = choices(load_real("nextqa", test_data, tmp_path))
    folder = test_data / "data/annotations/nextqa"
    predicted = json.loads((folder / "HGA-bert-ft-h256-val-example.json").read_text())
    keys = [f"{row['video']}_{row['qid']}" for row in table(folder / "val.csv")]
    hits = np.array([predicted[key]["prediction"] for key in keys]) == items.right
    (row,) = (row for row in load_benchmark("nextqa").compare if row.label.startswith("HGA"))
    found = accuracies({"choice_accuracy": hits}, items, TaskSettings(bootstrap=0)).metrics
    assert {name: round(value, 2) for name, value in found.items()} == row.metrics
    assert sorted(row.metrics.values()) == [46.26, 49.74, 50.74, 59.33]
    assert {len(options) for options in items.options} == {5}
    assert sum(len(set(options)) < 5 for options in items.options) == 3


@pytest.mark.parametrize(
    ("name", "row"),
    [
        ("mc.jsonl", {"clip_name": "video7010", "options": list("abcde"), "answer": 3, "qid": 0}),
        ("mc.json", {"video": "video7010.mp4", "caption": list("abcde"), "answer": 3}),
    ],
)
def test_both_forms_of_msrvtt_mc(tmp_path: Path, name: str, row: dict[str, object]) -> None:
    """Source: ClipBERT and Singularity, how their loaders read their files."""
    path = tmp_path / name
    path.write_text(json.dumps(row if name.endswith("l") else [row]))
    video = tmp_path / "msrvtt/videos/video7010.mp4"
    video.parent.mkdir(parents=True)
    video.touch()
    items = choices(load_set(load_benchmark("msrvtt-mc", annotations=path), tmp_path))
    assert (items.clips[0].path, items.options, items.right.tolist()) == (video, (tuple("abcde"),), [3])
    assert items.questions == ("",)
