from pathlib import Path

import pytest

from blipvid.bench.new_dataset import benchmark_text
from blipvid.data.sets import load_set
from blipvid.data.spec import load_benchmark
from tests.bench.call import call
from tests.bench.world import World


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_file_is_a_whole_benchmark_with_the_columns_found(world: World, here: Path):
    arguments = ["--annotations", "captions.csv", "--media", "clips/{clip}.mp4", "--data-root", str(world.folder)]
    found = call("datasets", "new", "mine", *arguments)
    assert found.code == 0
    spec = load_benchmark(here / "mine.yaml")
    assert spec.dataset.fields == {"clip": "clip", "text": "caption"}
    assert "the file has: clip, caption" in (here / "mine.yaml").read_text()
    assert "6 clips, 6 texts" in found.out
    run = call("bench", "mine.yaml", "--model", str(world.model), "--data-root", str(world.folder), "--set", "size=32")
    assert run.code == 0


@pytest.mark.parametrize(
    ("file", "content", "task", "fields"),
    [
        (
            "a.csv",
            "video_id,question,answer,type\nx,what?,dog,1\n",
            "qa",
            {"clip": "video_id", "question": "question", "answer": "answer"},
        ),
        (
            "a.csv",
            "video,question,answer,a0,a1,a2\nx,what?,1,dog,cat,cow\n",
            "choice",
            {"clip": "video", "question": "question", "answer": "answer"},
        ),
        (
            "a.jsonl",
            '{"clip_name": "x", "options": ["a dog", "a cat"], "answer": 1}',
            "choice",
            {"clip": "clip_name", "options": "options", "answer": "answer"},
        ),
        ("a.csv", "clip,sentence,answer\nx,a dog,yes\n", "retrieval", {"clip": "clip", "text": "sentence"}),
        ("a.json", '{"x": ["a dog", "it runs"]}', "retrieval", {"clip": "$key", "text": "$value"}),
    ],
)
def test_the_columns_tell_the_task(here: Path, file: str, content: str, task: str, fields: dict[str, str]):
    (here / file).write_text(content)
    (here / "clips").mkdir()
    (here / "clips/x.mp4").touch()
    text = benchmark_text("mine", Path(file), "clips/{clip}.mp4", here)
    (here / "mine.yaml").write_text(text)
    spec = load_benchmark(here / "mine.yaml")
    assert (spec.task, spec.dataset.fields) == (task, fields)
    assert all(len(line) <= 120 for line in text.splitlines())
    assert len(load_set(spec, here).items.clips) == 1


def test_without_annotations_it_is_a_file_to_fill_in_and_the_doctor_says_what_lacks(here: Path):
    found = call("datasets", "new", "mine")
    assert found.code == 0
    assert load_benchmark(here / "mine.yaml").name == "mine"
    assert "problem" in found.out


def test_a_file_that_exists_is_not_overwritten(here: Path):
    (here / "mine.yaml").write_text("precious")
    found = call("datasets", "new", "mine")
    assert found.code == 2
    assert (here / "mine.yaml").read_text() == "precious"


@pytest.mark.parametrize("name", ["a/b", "a: b", ""])
def test_a_name_that_cannot_be_a_file_is_refused(here: Path, name: str):
    assert call("datasets", "new", name).code == 2
    assert list(here.iterdir()) == []


def test_annotations_that_are_not_there_are_named(here: Path):
    found = call("datasets", "new", "mine", "--annotations", "nothing.csv")
    assert found.code == 2
    assert "nothing.csv" in found.err
