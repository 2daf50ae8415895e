"""The shipped benchmarks of pictures through the front door: small files in the official forms, drawn pictures."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from blipvid.evaluate.answers import VQA
from tests.bench.call import Called, call
from tests.models.tiny import write_model

NUMBERS = (9, 25, 42)
ANNOTATED = (["dog"] * 10, ["cat"] * 3 + ["dog"] * 7, ["a dog"] * 2 + ["red dog"] * 8)
QUESTIONS = ("What runs?", "How many cats?", "Is it a dog?")
KINDS = ("other", "number", "yes/no")


def write(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")


def draw(path: Path, number: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(number).integers(0, 256, (20 + number, 30, 3), np.uint8)
    Image.fromarray(pixels).save(path)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data root with three pictures, a question about each, and two captions of each."""
    root = tmp_path_factory.mktemp("pictures")
    asked = [
        {"image_id": number, "question": question, "question_id": 1000 * number}
        for number, question in zip(NUMBERS, QUESTIONS, strict=True)
    ]
    answered = [
        {"question_id": row["question_id"], "answer_type": kind, "answers": [{"answer": answer} for answer in answers]}
        for row, kind, answers in zip(asked, KINDS, ANNOTATED, strict=True)
    ]
    write(root / "vqa/v2_OpenEnded_mscoco_val2014_questions.json", {"questions": asked})
    write(root / "vqa/v2_OpenEnded_mscoco_test2015_questions.json", {"questions": asked})
    write(root / "vqa/v2_mscoco_val2014_annotations.json", {"annotations": answered})
    write(root / "vqa/answer_list.json", ["dog", "cat", "red dog"])
    for split in ("val2014", "test2015"):
        for number in NUMBERS:
            draw(root / f"coco/{split}/COCO_{split}_{number:012}.jpg", number)
    captions = [
        {"image": f"val2014/COCO_val2014_{number:012}.jpg", "caption": ["a red dog", f"the cat sits on {number}"]}
        for number in NUMBERS
    ]
    write(root / "coco/coco_karpathy_test.json", captions)
    return root


def bench(name: str, root: Path, out: Path, expect: str, *more: str) -> Called:
    out.mkdir(parents=True, exist_ok=True)
    task = "retrieval" if "retrieval" in name else "vqa"
    begin = ["bench", name, "--model", str(write_model(out, task=task)), "--data-root", str(root)]
    small = ["--set", "size=32", "--set", "bootstrap=20", "--set", f"dataset.expect={expect}"]
    return call(*begin, "--out", str(out / "run"), "--workers", "0", "--device", "cpu", *small, *more)


ASKED = "{clips: 3, questions: 3}"


@pytest.fixture(scope="module")
def val(root: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Called]:
    folder = tmp_path_factory.mktemp("val")
    return folder / "run", bench("vqa2-val", root, folder, ASKED)


@pytest.fixture(scope="module")
def test(root: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Called]:
    folder = tmp_path_factory.mktemp("test")
    return folder / "run", bench("vqa2-test", root, folder, ASKED)


def submitted(folder: Path, protocol: str) -> dict[int, str]:
    rows = json.loads((folder / f"submission_{protocol}.json").read_text(encoding="utf-8"))
    assert all(row.keys() == {"question_id", "answer"} for row in rows)
    return {row["question_id"]: row["answer"] for row in rows}


def test_vqa_is_measured_by_type_of_answer(val: tuple[Path, Called]) -> None:
    folder, called = val
    assert called.code == 0, called.err
    metrics = json.loads((folder / "run.json").read_text())["metrics"]
    for protocol in ("rank", "generate"):
        answers = list(submitted(folder, protocol).values())
        shares = VQA.right(answers, ANNOTATED)
        assert metrics[f"{protocol}_accuracy"] == pytest.approx(100 * shares.mean())
        for kind, share in zip(KINDS, shares, strict=True):
            assert metrics[f"{protocol}_accuracy_{kind}"] == pytest.approx(100 * share)
    page = (folder / "table.md").read_text()
    for part in ("3 of 3 pictures, 3 questions", "rank:answer_list.json · VQA accuracy", "generate · number"):
        assert part in page
    for part in ("exact match", "reconstruction", "VQA-normalised"):
        assert part not in page.replace("VQA-normalised match, where both sides", "")


def test_of_the_test_split_the_answers_are_handed_in_and_nothing_is_measured(test: tuple[Path, Called]) -> None:
    folder, called = test
    assert called.code == 0, called.err
    record = json.loads((folder / "run.json").read_text())
    assert (record["metrics"], record["intervals"]) == ({}, {})
    for protocol in ("rank", "generate"):
        assert list(submitted(folder, protocol)) == [1000 * number for number in NUMBERS]
    assert set(submitted(folder, "rank").values()) <= {"dog", "cat", "red dog"}
    page = (folder / "table.md").read_text()
    assert "nothing is measured; whoever has them scores the submission files" in page
    others = page.partition("## Other methods")[2]
    assert others.splitlines()[2].startswith("| method ")
    assert "VQA accuracy" in others.splitlines()[2]
    assert "78.2" in others  # what the server told the authors


def test_both_splits_have_a_report_and_the_answers_are_the_same(
    val: tuple[Path, Called], test: tuple[Path, Called], tmp_path: Path
) -> None:
    page = tmp_path / "page.html"
    assert call("report", str(val[0]), str(test[0]), "--out", str(page)).code == 0
    assert page.read_text().count("Accuracy by kind of question") == 1
    assert submitted(val[0], "rank") == submitted(test[0], "rank")  # the pictures are, and one weight file is


@pytest.mark.parametrize("form", ["markdown", "csv", "json", "latex"])
def test_no_figures_make_no_table(root: Path, tmp_path: Path, form: str) -> None:
    found = bench("vqa2-test", root, tmp_path, ASKED, "--format", form, "--set", "answer_by=rank")
    assert found.code == 0, found.err
    assert found.out.strip() == "" or json.loads(found.out)[0]["rows"] == []
    assert "nothing is measured" in found.err


def test_retrieval_speaks_of_images(root: Path, tmp_path: Path) -> None:
    found = bench("coco-retrieval", root, tmp_path, "{clips: 3, texts: 6}")
    assert found.code == 0, found.err
    page = (tmp_path / "run/table.md").read_text()
    for part in (
        "text-to-image R@1",
        "image-to-text MdR",
        "t2i R@1",
        "3 of 3 pictures, 6 texts",
        "image-to-text 'any-text'",
    ):
        assert part in page
    assert "video" not in page
    record = json.loads((tmp_path / "run/run.json").read_text())
    assert record["details"]["rerank"]["used"] == {"t2v": 3, "v2t": 6}
    assert {"t2v_r1", "v2t_r1"} <= set(record["metrics"])


def test_a_question_without_its_picture_ends_with_one_sentence(root: Path, tmp_path: Path) -> None:
    found = bench("vqa2-val", root, tmp_path, ASKED, "--media", str(tmp_path / "none/{clip:012}.jpg"))
    assert found.code == 2
    assert found.err.startswith("error: ")
    assert found.err.count("\n") == 1
    assert "3 of 3 media files are missing" in found.err
