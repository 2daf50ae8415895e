import json
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from blipvid.core.places import cache_folder
from blipvid.demo import build as building
from blipvid.demo.clips import N_FRAMES, SIZE_PX, DrawnClip, held_out_clips
from blipvid.demo.pairs import PICTURE_PX, held_out_pairs
from blipvid.demo.questions import Question, all_answers, clip_questions
from blipvid.demo.shapes import draw


@pytest.fixture
def small_world(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[DrawnClip]:
    """The first four clips only, and a cache of one's own."""
    clips = held_out_clips()[:4]
    monkeypatch.setenv("BLIPVID_CACHE", str(tmp_path))
    monkeypatch.setattr(building, "held_out_clips", lambda: clips)
    monkeypatch.setattr(building, "held_out_pairs", lambda: held_out_pairs()[:2])
    return clips


def decoded(path: Path) -> np.ndarray:
    with av.open(str(path)) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


def test_clips_decode_to_the_frames_that_were_drawn(small_world: list[DrawnClip]) -> None:
    folder = building.build(None, None)
    assert folder.is_relative_to(cache_folder())
    for clip in small_world:
        path = folder / "clips" / f"{clip.id}.mp4"
        with av.open(str(path)) as container:
            assert container.streams.video[0].codec_context.name == "h264"
        seen, drawn = decoded(path).astype(int), np.stack(list(clip.frames())).astype(int)
        assert seen.shape == (N_FRAMES, SIZE_PX, SIZE_PX, 3)
        # Colours are stored at half the resolution, so pixels at outlines may be far off.
        assert np.abs(seen - drawn).mean() < 2
        assert np.quantile(np.abs(seen - drawn), 0.95) < 15


def test_rows_fit_the_clips(small_world: list[DrawnClip]) -> None:
    folder = building.build(None, None)
    assert list(building.read_rows(None, folder)) == [{"clip": c.id, "text": c.caption} for c in small_world]
    captions = [json.loads(line) for line in (folder / "captions.jsonl").read_text().splitlines()]
    assert [(row["clip"], row["caption"]) for row in captions] == [(c.id, c.caption) for c in small_world]


def test_questions_fit_the_clips_one_of_each_kind(small_world: list[DrawnClip]) -> None:
    folder = building.build(None, None)
    rows = list(building.read_questions(None, folder))
    assert {row["clip"] for row in rows} == {clip.id for clip in small_world}
    assert len({row["id"] for row in rows}) == len({(row["clip"], row["kind"]) for row in rows}) == len(rows)
    possible = {clip.id: clip_questions(clip) for clip in small_world}
    for row in rows:
        assert Question(row["kind"], row["question"], row["answer"]) in possible[row["clip"]]
    assert (folder / "answers.txt").read_text().splitlines() == all_answers()


def test_each_pair_of_pictures_has_a_true_and_a_false_sentence(small_world: list[DrawnClip]) -> None:
    folder = building.build(None, None)
    rows = [json.loads(line) for line in (folder / "pairs.jsonl").read_text().splitlines()]
    assert [row["label"] for row in rows] == [True, False] * 2
    for row, pair in zip(rows, [pair for pair in held_out_pairs()[:2] for _ in range(2)], strict=True):
        assert row["sentence"] == (pair.true if row["label"] else pair.false)
        for name, scene in zip(row["images"], pair.scenes, strict=True):
            with Image.open(folder / "pictures" / f"{name}.png") as picture:
                drawn = draw(scene.background, [*scene.things()], PICTURE_PX)
                assert np.array_equal(np.asarray(picture), drawn)


def test_a_build_that_was_killed_goes_on(small_world: list[DrawnClip], monkeypatch: pytest.MonkeyPatch) -> None:
    written = []
    whole = building.write_clip

    def killed_at_the_third(clip: DrawnClip, path: Path) -> None:
        if len(written) == 2:
            path.write_bytes(b"half a file")
            raise KeyboardInterrupt
        written.append(clip.id)
        whole(clip, path)

    monkeypatch.setattr(building, "write_clip", killed_at_the_third)
    with pytest.raises(KeyboardInterrupt):
        building.build(None, None)
    clips = cache_folder() / "demo" / building.world_version() / "clips"
    assert sorted(path.stem for path in clips.iterdir()) == written
    before = {path: path.stat().st_mtime_ns for path in clips.iterdir()}
    monkeypatch.setattr(building, "write_clip", whole)
    folder = building.build(None, None)
    assert len(list((folder / "clips").iterdir())) == 4
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_a_finished_build_draws_nothing(small_world: list[DrawnClip], monkeypatch: pytest.MonkeyPatch) -> None:
    building.build(None, None)
    monkeypatch.setattr(building, "write_clip", lambda clip, path: pytest.fail("drawn again"))
    building.build(None, None)


def test_two_builds_at_once_do_no_harm(tmp_path: Path) -> None:
    program = (
        "from blipvid.demo import build as b; from blipvid.demo.clips import held_out_clips;"
        "clips = held_out_clips()[:6]; b.held_out_clips = lambda: clips; print(b.build(None, None))"
    )
    both = [
        subprocess.Popen(
            [sys.executable, "-c", program], env={"BLIPVID_CACHE": str(tmp_path)}, stdout=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    folders = {Path(one.communicate(timeout=120)[0].strip()) for one in both}
    assert [one.returncode for one in both] == [0, 0]
    (folder,) = folders
    files = sorted((folder / "clips").iterdir())
    assert [path.name for path in files] == [f"clip-{i:03d}.mp4" for i in range(6)]
    assert all(len(decoded(path)) == N_FRAMES for path in files)
