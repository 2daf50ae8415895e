"""`blipvid caption`: one line a file, and what is broken costs no other file its caption."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

import blipvid
from tests.bench.call import Called, call
from tests.bench.world import World


@pytest.fixture(autouse=True, scope="module")
def _no_java() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("blipvid.evaluate.captions.java.find_java", lambda: None)
        yield


def caption(world: World, source: Path, *arguments: str) -> Called:
    return call("caption", str(source), "--model", str(world.model), "--count", "2", "--device", "cpu", *arguments)


@pytest.fixture
def folder(caption_world: World, tmp_path: Path) -> Path:
    """The files of the world, one in a folder below and one broken."""
    source = tmp_path / "media"
    (source / "below").mkdir(parents=True)
    for path in (caption_world.folder / "clips").iterdir():
        target = source / ("below" if path.name == "c1.mp4" else ".") / path.name
        target.write_bytes(path.read_bytes())
    (source / "a_broken.jpg").write_bytes(b"no picture")
    (source / "notes.txt").write_text("no media")
    return source


def test_one_file_is_one_line_and_says_what_the_library_says(caption_world: World):
    path = caption_world.folder / "clips" / "c0.mp4"
    found = caption(caption_world, path)
    assert found.code == 0
    model = blipvid.load_model(str(caption_world.model))
    assert found.out == f"c0.mp4: {model.caption(model.read_frames(path, 2))}\n"


def test_a_folder_is_captioned_in_order_and_a_broken_file_is_a_warning(caption_world: World, folder: Path):
    found = caption(caption_world, folder)
    assert found.code == 1
    lines = found.out.splitlines()
    assert [line.partition(": ")[0] for line in lines] == ["below/c1.mp4", "c0.mp4", "c2.mp4", "p3.png", "p4.png"]
    assert any(line.partition(": ")[2] for line in lines)
    warning, error = found.err.splitlines()
    assert warning.startswith("warning: ")
    assert "a_broken.jpg" in warning
    assert error == "error: 1 of 6 files give no frames; the others are captioned."


def test_lines_are_written_into_a_file_as_well(caption_world: World, folder: Path, tmp_path: Path):
    out = tmp_path / "captions.jsonl"
    found = caption(caption_world, folder, "--out", str(out))
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert rows[0]["file"] == "a_broken.jpg"
    assert rows[0]["caption"] is None
    assert "a_broken.jpg" in rows[0]["error"]
    assert [f"{row['file']}: {row['caption']}" for row in rows[1:]] == found.out.splitlines()
    again = caption(caption_world, folder, "--out", str(out))
    assert again.code == 2
    assert "exists already" in again.err


def test_captions_are_those_of_a_benchmark_run(caption_world: World, tmp_path: Path):
    assert call(*caption_world.arguments(tmp_path)).code == 0
    rows = [json.loads(line) for line in (tmp_path / "predictions.jsonl").read_text().splitlines()]
    found = caption(caption_world, caption_world.folder / "clips")
    assert found.out.splitlines() == [f"{row['clip']}: {row['prediction'].strip()}" for row in rows]


def test_chance_is_seeded(caption_world: World):
    folder = caption_world.folder / "clips"
    first, again, other = (caption(caption_world, folder, "--nucleus", "--seed", seed).out for seed in ("1", "1", "2"))
    assert first == again
    assert first != other


def test_settings_are_obeyed(caption_world: World):
    path = caption_world.folder / "clips" / "p3.png"
    longer = caption(caption_world, path, "--min-tokens", "30", "--max-tokens", "40", "--beams", "1").out
    shorter = caption(caption_world, path, "--max-tokens", "6", "--min-tokens", "1", "--prompt", "a dog").out
    assert len(longer.split()) > len(shorter.split())


def test_mistakes_are_one_sentence(caption_world: World, question_world: World, tmp_path: Path):
    path = caption_world.folder / "clips" / "c0.mp4"
    (tmp_path / "no.mp4").write_bytes(b"no video")
    mistakes = {
        "no such file or folder": caption(caption_world, tmp_path / "nothing.mp4"),
        "'min_tokens' 9 is more than 'max_tokens' 8": caption(
            caption_world, path, "--min-tokens", "9", "--max-tokens", "8"
        ),
        "top_p": caption(caption_world, path, "--top-p", "2"),
        "Did you mean 'uniform'": caption(caption_world, path, "--sampler", "unifrom"),
        "writes no captions": caption(question_world, path),
        "cannot be written": caption(caption_world, path, "--out", str(tmp_path / "nowhere" / "c.jsonl")),
    }
    for said, found in mistakes.items():
        assert found.code == 2, said
        assert said in found.err
        assert found.err.count("\n") == 1
    broken = caption(caption_world, tmp_path / "no.mp4")
    assert broken.code == 1
    assert broken.err.splitlines()[-1] == "error: 1 of 1 files give no frames."
