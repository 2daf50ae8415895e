"""`blipvid features`: what it writes, what it survives, and that its numbers are those of the benchmarks."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.numpy import load_file

from blipvid.bench import feature_file
from blipvid.core.features import Features
from blipvid.evaluate.features import ClipStream
from blipvid.library import load_model
from tests.bench.call import Called, call
from tests.bench.world import CAPTIONS, World
from tests.media.drawing import draw_frame
from tests.parity.on_files import link_clips, write_model

PICTURES = ["b.png", "inner/a.jpg"]


@pytest.fixture
def folder(world: World, tmp_path: Path) -> Path:
    """Six clips and two pictures, and files that are neither."""
    folder = tmp_path / "media"
    shutil.copytree(world.folder / "clips", folder)
    (folder / "inner").mkdir()
    for number, name in enumerate(PICTURES):
        Image.fromarray(draw_frame(500 + number, 64, 48)).save(folder / name)
    (folder / "notes.txt").write_text("no media")
    (folder / ".hidden.png").write_bytes(b"no picture")
    return folder


NAMES = ["b.png", *(f"c{number}.mp4" for number in range(6)), "inner/a.jpg"]


def features(world: World, source: Path, out: Path, *arguments: str) -> Called:
    begin = ["features", str(source), "--out", str(out), "--model", str(world.model), "--count", "2"]
    return call(*begin, "--device", "cpu", "--workers", "0", *arguments)


def metadata(path: Path) -> dict[str, str]:
    with safe_open(path, "numpy") as file:
        return file.metadata()


def ids(path: Path) -> list[str]:
    return json.loads(metadata(path)["ids"])


def test_embeddings_and_tokens_are_those_of_each_file_alone(world: World, folder: Path, tmp_path: Path):
    (tmp_path / "texts.txt").write_text("\n".join(CAPTIONS) + "\n")
    found = features(world, folder, out := tmp_path / "f.safetensors", "--tokens", "--texts", f"{tmp_path}/texts.txt")
    assert found.code == 0, found.err
    assert found.out == ""
    assert f"written to {out}: 8 clips, 6 texts" in found.err
    assert ids(out) == NAMES
    assert json.loads(metadata(out)["texts"]) == CAPTIONS
    assert json.loads(metadata(out)["broken"]) == {}
    assert json.loads(metadata(out)["frames"])["count"] == 2
    written = load_file(out)
    assert {name: array.dtype for name, array in written.items()} == {
        "embeds": np.float32, "tokens": np.float32, "token_starts": np.int64, "text_embeds": np.float32,
    }  # fmt: skip
    model = load_model(str(world.model))
    for number, name in enumerate(NAMES):
        alone = model.features([folder / name], 2, tokens=True)
        np.testing.assert_allclose(written["embeds"][number], alone.embeds[0], atol=1e-5)
        begin, end = written["token_starts"][number : number + 2]
        assert end - begin == (2 if name.endswith("mp4") else 1) * 5
        np.testing.assert_allclose(written["tokens"][begin:end], alone.tokens[0], atol=1e-4)
    np.testing.assert_allclose(written["text_embeds"], model.text_features(CAPTIONS), atol=1e-6)


def test_the_cosines_are_those_of_a_benchmark_run(world: World, run_folder: Path, tmp_path: Path):
    (tmp_path / "texts.txt").write_text("\n".join(CAPTIONS))
    assert features(world, world.folder / "clips", tmp_path / "f.st", "--texts", f"{tmp_path}/texts.txt").code == 0
    written, scores = load_file(tmp_path / "f.st"), load_file(run_folder / "scores.safetensors")
    np.testing.assert_allclose(written["embeds"] @ written["text_embeds"].T, scores["itc"], atol=1e-5)


def test_the_cosines_are_those_of_the_official_evaluation_of_real_clips(test_data: Path, tmp_path: Path):
    recorded = test_data / "goldens" / "e2e"
    rows = link_clips(recorded / "captions.jsonl", test_data / "data" / "clips", tmp_path / "videos")
    (tmp_path / "texts.txt").write_text("\n".join(row["caption"] for row in rows))
    model = write_model(recorded, recorded / "vocab.txt", "retrieval", tmp_path)
    begin = ["features", str(tmp_path / "videos"), "--model", str(model), "--texts", str(tmp_path / "texts.txt")]
    found = call(*begin, "--size", "224", "--out", str(tmp_path / "f.safetensors"), "--device", "cpu", "--workers", "0")
    assert found.code == 0, found.err
    written = load_file(tmp_path / "f.safetensors")
    place = {name: number for number, name in enumerate(ids(tmp_path / "f.safetensors"))}
    embeds = written["embeds"][[place[f"{row['clip_name']}.mp4"] for row in rows]]
    wanted = load_file(recorded / "outputs.safetensors")["itc"]
    np.testing.assert_allclose(embeds @ written["text_embeds"].T, wanted, atol=1e-4)  # metrics.json, suggested_atol


def test_one_file_is_a_folder_of_one(world: World, folder: Path, tmp_path: Path):
    assert features(world, folder / "b.png", tmp_path / "f.st").code == 0
    assert ids(tmp_path / "f.st") == ["b.png"]
    assert set(load_file(tmp_path / "f.st")) == {"embeds"}


def test_another_size_resizes_the_positions(world: World, folder: Path, tmp_path: Path):
    assert features(world, folder / "b.png", tmp_path / "f.st", "--size", "48", "--tokens").code == 0
    assert load_file(tmp_path / "f.st")["tokens"].shape == (10, 24)
    assert json.loads(metadata(tmp_path / "f.st")["frames"])["size"] == 48


def test_half_precision_keeps_tokens_in_half_the_room(world: World, folder: Path, tmp_path: Path):
    assert features(world, folder, tmp_path / "f.st", "--tokens", "--precision", "bf16").code == 0
    written = load_file(tmp_path / "f.st")
    assert written["tokens"].dtype == np.float16
    exact = load_model(str(world.model)).features([folder / name for name in NAMES], 2)
    np.testing.assert_allclose(written["embeds"], exact.embeds, atol=0.05)


def test_broken_files_are_named_and_the_others_kept(world: World, folder: Path, tmp_path: Path):
    (folder / "c2.mp4").write_bytes(b"no video")
    (folder / "inner" / "a.jpg").write_bytes(b"")
    found = features(world, folder, out := tmp_path / "f.st")
    assert found.code == 1
    warned = [line for line in found.err.splitlines() if line.startswith("warning: ")]
    assert [Path(line.split()[1].rstrip(":")).name for line in warned] == ["c2.mp4", "a.jpg"]
    assert found.err.splitlines()[-1].startswith("error: 2 of 8 files give no frames")
    assert ids(out) == [name for name in NAMES if name not in ("c2.mp4", "inner/a.jpg")]
    assert list(json.loads(metadata(out)["broken"])) == ["c2.mp4", "inner/a.jpg"]
    assert len(load_file(out)["embeds"]) == 6
    assert not (tmp_path / "f.st.parts").exists()


def test_names_that_are_no_text_survive(world: World, folder: Path, tmp_path: Path):
    """Old file systems hold Latin-1 names, which Python reads as lone surrogates."""
    name = os.fsdecode(b"caf\xe9.png")
    (folder / "b.png").rename(folder / name)
    (folder / os.fsdecode(b"caf\xe8.png")).write_bytes(b"no picture")
    assert features(world, folder, tmp_path / "f.st", "--tokens").code == 1
    assert name in ids(tmp_path / "f.st")
    assert list(json.loads(metadata(tmp_path / "f.st")["broken"])) == [os.fsdecode(b"caf\xe8.png")]


def test_nothing_but_broken_files_writes_nothing(world: World, tmp_path: Path):
    (tmp_path / "media").mkdir()
    (tmp_path / "media" / "a.png").write_bytes(b"no picture")
    found = features(world, tmp_path / "media", tmp_path / "f.st")
    assert found.code == 1
    assert found.err.splitlines()[-1] == "error: none of the 1 files gives frames, so nothing was written."
    assert not (tmp_path / "f.st").exists()


def test_a_killed_run_goes_on_where_it_was(world: World, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    assert features(world, folder, tmp_path / "whole.st", "--tokens").code == 0
    monkeypatch.setattr(feature_file, "PART_S", 0.0)  # a part a clip
    encode, seen = ClipStream.__iter__, []

    def killed(stream: ClipStream):
        for position, found in encode(stream):
            seen.append(position)
            if len(seen) == 4:
                raise KeyboardInterrupt
            yield position, found

    monkeypatch.setattr(ClipStream, "__iter__", killed)
    out = tmp_path / "f.st"
    assert features(world, folder, out, "--tokens", "--batch-size", "1").code == 130
    assert not out.exists()
    monkeypatch.setattr(ClipStream, "__iter__", encode)
    other = features(world, folder, out, "--tokens", "--count", "3")
    assert other.code == 2
    assert "frames: {" in other.err
    assert "remove the folder" in other.err
    (folder / NAMES[0]).unlink()  # done by then, so not looked at again
    found = features(world, folder, out, "--tokens", "--batch-size", "1")
    assert found.code == 0, found.err
    assert "the features of 3 clips are there from before" in found.err
    assert ids(out) == NAMES
    for name, array in load_file(tmp_path / "whole.st").items():
        np.testing.assert_allclose(load_file(out)[name], array, atol=1e-4)
    assert not (tmp_path / "f.st.parts").exists()


def test_a_broken_file_that_was_mended_is_tried_again(world: World, folder: Path, tmp_path: Path):
    (folder / "c2.mp4").rename(tmp_path / "c2.mp4")
    (folder / "c2.mp4").write_bytes(b"no video")
    parts = tmp_path / "f.st.parts"
    assert features(world, folder, tmp_path / "f.st").code == 1
    parts.mkdir()  # as if it had been killed before the end
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(feature_file.FeatureParts, "join", lambda *_: (_ for _ in ()).throw(OSError(28, "no room")))
        (tmp_path / "f.st").unlink()
        full = features(world, folder, tmp_path / "f.st")
    assert full.code == 1
    assert full.err.splitlines()[-1].endswith("(no room); mend that, and the same command goes on where it was.")
    (tmp_path / "c2.mp4").replace(folder / "c2.mp4")
    assert features(world, folder, tmp_path / "f.st").code == 0
    assert sorted(ids(tmp_path / "f.st")) == sorted(NAMES)


def test_parts_end_by_size_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(feature_file, "PART_BYTES", 2 * 3 * 4 * 4)
    parts = feature_file.FeatureParts(tmp_path / "parts", {}, clock=lambda: 0.0)
    for number in range(5):
        clip = Features(torch.full((1, 3, 4), float(number)), torch.full((1, 2), float(number)))
        parts.add(str(number), clip, tokens="float32")
    assert parts.ids == ["0", "1", "2", "3"]
    parts.end_part()
    parts.join(tmp_path / "out", {}, {})
    written = load_file(tmp_path / "out")
    assert written["embeds"][:, 0].tolist() == [0, 1, 2, 3, 4]
    assert written["tokens"][::3, 0].tolist() == [0, 1, 2, 3, 4]
    assert written["token_starts"].tolist() == [0, 3, 6, 9, 12, 15]


def test_mistakes_end_with_one_sentence(world: World, question_world: World, folder: Path, tmp_path: Path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "there.st").touch()
    (tmp_path / "blank.txt").write_text("a dog\n\na cat\n")
    out = tmp_path / "f.st"
    mistakes = {
        "no such file or folder": features(world, tmp_path / "nothing", out),
        "holds no picture and no video": features(world, tmp_path / "empty", out),
        "exists already": features(world, folder, tmp_path / "there.st"),
        "line 2 is blank": features(world, folder, out, "--texts", str(tmp_path / "blank.txt")),
        "nothing.txt": features(world, folder, out, "--texts", str(tmp_path / "nothing.txt")),
        "Did you mean 'uniform'": features(world, folder, out, "--sampler", "unifrom"),
        "a multiple of 16": features(world, folder, out, "--size", "33"),
        "no common space": features(question_world, folder, out),
        "device 'banana'": features(world, folder, out, "--device", "banana"),
    }
    for said, found in mistakes.items():
        assert found.code == 2, said
        assert said in found.err
        assert found.err.count("\n") == 1, found.err
    assert not out.exists()
