"""Features that outlive a run, through the front door: every task, and the commands that look after the cache."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Never

import pytest
import torch

from blipvid.bench.caching import vision_sha256
from blipvid.models.spec import VisionSize
from tests.bench.call import call
from tests.bench.test_pairs_and_dialogs import SMALL, boxes, run_arguments, write_dialogs
from tests.bench.world import World
from tests.models.tiny import tiny_model, write_model


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of kept features, empty."""
    monkeypatch.setenv("BLIPVID_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "features"


@pytest.fixture
def no_decoding(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """From now on decoding and encoding are errors."""

    def never(*_: object, **__: object) -> Never:
        raise AssertionError("something was decoded or encoded")

    monkeypatch.setattr("blipvid.media.loader.load_clips", never)
    monkeypatch.setattr("blipvid.models.blip.BlipModel.see", never)
    return monkeypatch


def _record(run: Path) -> dict[str, Any]:
    return dict(json.loads((run / "run.json").read_text()))


def _what_was_found(run: Path) -> tuple[dict[str, Any], str]:
    """Record and predictions of a run, without what must differ: time, command line, cache."""
    record = _record(run)
    for key in ("command", "started", "ended", "timings_s"):
        del record[key]
    for key in ("cache", "seconds"):
        record["details"].pop(key, None)
    return record, (run / "predictions.jsonl").read_text()


def _entries(folder: Path) -> list[Path]:
    return sorted(folder.glob("*/??/*.safetensors"))


def _run(arguments: list[str]) -> str:
    found = call(*arguments)
    assert found.code == 0, found.err
    return " ".join(found.out.split())


TASKS = {
    "retrieval": ("world", "six"),
    "qa": ("question_world", "asked"),
    "choice": ("question_world", "chosen"),
    "caption": ("caption_world", "described"),
}


@pytest.mark.parametrize(("task", "precision"), [*((task, "fp32") for task in TASKS), ("qa", "bf16")])
def test_the_second_run_is_the_first_one_without_decoding(
    task: str, precision: str, request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    fixture, benchmark = TASKS[task]
    world: World = request.getfixturevalue(fixture)
    path = world.folder / f"{benchmark}.yaml"

    def run(name: str, *more: str) -> str:
        given = world.arguments(tmp_path / name, "--precision", precision, *more)
        return _run(["bench", str(path), *given[2:]])

    run("plain")
    run("first", "--cache", "fp32")
    request.getfixturevalue("no_decoding")
    shown = run("second", "--cache", "fp32")
    n = _record(tmp_path / "plain")["coverage"]["clips"]
    assert f"Features of {n} of {n} " in shown
    plain, first, second = (_what_was_found(tmp_path / name) for name in ("plain", "first", "second"))
    assert plain == first == second
    assert _record(tmp_path / "first")["details"]["cache"] == {
        "kept_as": "fp32", "found": 0, "added": n, "rounding": 0.0, "stopped": None,
    }  # fmt: skip
    assert "cache" not in _record(tmp_path / "plain")["details"]


@pytest.mark.parametrize("task", ["nlvr", "visdial"])
def test_pairs_and_dialogs_too(task: str, request: pytest.FixtureRequest, tmp_path: Path):
    if task == "nlvr":
        root = request.getfixturevalue("test_data") / "data/images"
        model = write_model(tmp_path, task=task)
        benchmark, more = str(boxes(tmp_path)), ["--limit", "12"]
    else:
        root = write_dialogs(tmp_path)
        model = write_model(tmp_path, task=task, vision=VisionSize(width=16, depth=2, heads=2))
        benchmark, more = "visdial", list(SMALL)

    def run(name: str, *cache: str) -> None:
        _run(["bench", benchmark, *run_arguments(model, model, root, tmp_path / name, *more, *cache)[2:]])

    run("plain")
    run("first", "--cache", "fp32")
    request.getfixturevalue("no_decoding")
    run("second", "--cache", "fp32")
    plain, first, second = (_what_was_found(tmp_path / name) for name in ("plain", "first", "second"))
    assert plain == first == second
    cache = _record(tmp_path / "second")["details"]["cache"]
    assert cache["found"] == plain[0]["coverage"]["clips"]


@pytest.mark.parametrize("kept_as", ["fp32", "fp16"])
def test_other_settings_of_the_task_need_no_decoding(
    world: World, tmp_path: Path, kept_as: str, request: pytest.FixtureRequest
):
    _run(world.arguments(tmp_path / "four", "--cache", kept_as))
    request.getfixturevalue("no_decoding")
    _run(world.arguments(tmp_path / "two", "--cache", kept_as, "--set", "rerank_top_k=2"))
    four, two = _record(tmp_path / "four"), _record(tmp_path / "two")
    assert two["details"]["cache"]["found"] == 6
    assert two["details"]["rerank"]["pairs_scored"] < four["details"]["rerank"]["pairs_scored"]
    with pytest.raises(AssertionError, match="something was decoded"):
        call(*world.arguments(tmp_path / "other", "--cache", kept_as, "--set", "frames.count=3"))


@pytest.mark.parametrize(
    "change", [["--set", "frames.count=3"], ["--set", "black_clips=scale"], ["--precision", "bf16"]]
)
def test_what_can_change_a_feature_has_features_of_its_own(
    world: World, tmp_path: Path, folder: Path, change: list[str]
):
    _run(world.arguments(tmp_path / "one", "--cache", "fp32"))
    _run(world.arguments(tmp_path / "other", "--cache", "fp32", *change))
    assert _record(tmp_path / "other")["details"]["cache"]["found"] == 0
    assert len(_entries(folder)) == 12


@pytest.mark.parametrize("change", [["--set", "frames.timeout_s=7"], ["--batch-size", "1"], ["--limit", "5"]])
def test_what_cannot_change_a_feature_has_no_say(world: World, tmp_path: Path, folder: Path, change: list[str]):
    _run(world.arguments(tmp_path / "one", "--cache", "fp32"))
    _run(world.arguments(tmp_path / "other", "--cache", "fp32", *change))
    assert _record(tmp_path / "other")["details"]["cache"]["added"] == 0


def test_only_the_weights_that_make_features_have_a_say(tmp_path: Path):
    model = tiny_model(tmp_path)
    first = vision_sha256(model)
    with torch.no_grad():
        model.get_parameter("itm_head.weight").add_(1)
    assert vision_sha256(model) == first
    for name in ("vision_proj.bias", "visual_encoder.blocks.1.mlp.fc1.weight", "visual_encoder.pos_embed"):
        with torch.no_grad():
            model.get_parameter(name).add_(1e-3)
        assert vision_sha256(model) != first
        first = vision_sha256(model)


def test_other_weights_have_features_of_their_own(world: World, tmp_path: Path, folder: Path):
    _run(world.arguments(tmp_path / "one", "--cache", "fp32"))
    other = tmp_path / "other"
    other.mkdir()
    path = write_model(other, embed_dim=4)
    _run(World(world.folder, world.benchmark, path).arguments(tmp_path / "two", "--cache", "fp32"))
    assert len(_entries(folder)) == 12
    assert len(list(folder.glob("*/recipe.json"))) == 2


def test_sixteen_bits_are_stated(world: World, tmp_path: Path):
    for name in ("first", "second"):
        shown = _run(world.arguments(tmp_path / name, "--cache", "fp16"))
        assert "Beware: the tokens of clips were rounded to 16 bits for the cache (relative error" in shown
    assert _what_was_found(tmp_path / "first") == _what_was_found(tmp_path / "second")
    assert 0 < _record(tmp_path / "second")["details"]["cache"]["rounding"] < 2**-11
    _run(world.arguments(tmp_path / "exact"))
    compared = call("compare", str(tmp_path / "exact"), str(tmp_path / "second")).out
    assert "features kept as" in compared


def test_a_cache_that_cannot_be_written_costs_a_sentence(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("BLIPVID_CACHE", str(tmp_path / "file"))
    shown = _run(world.arguments(tmp_path / "run", "--cache", "fp32"))
    assert "took no more features (Not a directory); mend the folder, or let BLIPVID_CACHE name another." in shown
    assert "makes room" not in shown


def test_a_killed_run_is_gone_on_with(world: World, tmp_path: Path, folder: Path):
    _run(world.arguments(tmp_path / "plain"))
    program = [
        "import time",
        "from blipvid.evaluate.cache import keeping",
        "from blipvid.bench.cli import main",
        "write = keeping.write_entry",
        "keeping.write_entry = lambda *given: (write(*given), time.sleep(0.3))",
        f"main({world.arguments(tmp_path / 'killed', '--cache', 'fp32', '--batch-size', '2')!r})",
    ]
    run = subprocess.Popen(
        [sys.executable, "-c", "\n".join(program)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    until = time.monotonic() + 120
    while len(_entries(folder)) < 2 and run.poll() is None and time.monotonic() < until:
        time.sleep(0.01)
    run.send_signal(signal.SIGKILL)
    assert run.wait() == -signal.SIGKILL
    there = len(_entries(folder))
    assert 2 <= there < 6
    assert call("cache", "verify").code == 0
    _run(world.arguments(tmp_path / "again", "--cache", "fp32"))
    found = _record(tmp_path / "again")["details"]["cache"]
    assert (found["found"], found["added"]) == (there, 6 - there)
    assert _record(tmp_path / "again")["metrics"] == _record(tmp_path / "plain")["metrics"]


def test_ls_groups_what_was_made_in_one_way(world: World, tmp_path: Path, folder: Path):
    assert "features of 0 clips" in call("cache", "ls").out
    seven = world.write_benchmark("seven")
    _run(world.arguments(tmp_path / "one", "--cache", "fp32"))
    _run(world.arguments(tmp_path / "two", str(seven), "--cache", "fp16"))
    for path in _entries(folder)[:1]:
        path.with_name(f".{path.name}.1").write_bytes(b"half")
        os.utime(path.with_name(f".{path.name}.1"), (10, 10))
    found = call("cache", "ls")
    assert found.code == 0
    text = " ".join(found.out.split())
    for part in ("tiny", "six", "seven, six", "2 blip-compat, 32 px", "fp32 on cpu", "fp16", "today", "of 12 clips"):
        assert part in text, part
    assert "left 1 unfinished files; 'blipvid cache gc'" in text
    assert "1 unfinished files" in call("cache", "gc").out
    assert "unfinished" not in call("cache", "ls").out


def test_verify_names_and_removes_what_is_wrong(world: World, tmp_path: Path, folder: Path):
    clip = world.folder / "clips" / "c0.mp4"
    os.utime(clip, (1_600_000_000, 1_600_000_000))
    _run(world.arguments(tmp_path / "one", "--cache", "fp32"))
    assert "Nothing is wrong." in call("cache", "verify").out
    broken = _entries(folder)[0]
    content = bytearray(broken.read_bytes())
    content[-1] ^= 1
    broken.write_bytes(content)
    found = call("cache", "verify")
    assert found.code == 1
    assert f"{broken}: cannot be read (its checksum is wrong)" in found.out
    assert "1 of them are wrong; 'blipvid cache verify --remove'" in found.err
    assert "1 files removed" in call("cache", "verify", "--remove").out
    assert not broken.exists()
    assert "Nothing is wrong." in call("cache", "verify").out
    _run(world.arguments(tmp_path / "two", "--cache", "fp32"))
    assert _record(tmp_path / "two")["details"]["cache"]["added"] == 1


def test_gc_by_size_and_age(world: World, tmp_path: Path, folder: Path):
    _run(world.arguments(tmp_path / "one", "--cache", "fp32"))
    for days, path in enumerate(_entries(folder)):
        os.utime(path, (time.time() - days * 86400,) * 2)
    assert "of 2 clips" in call("cache", "gc", "--unused-days", "3.5").out
    assert len(_entries(folder)) == 4
    assert "of 4 clips" in call("cache", "gc", "--max-gb", "0").out
    assert _entries(folder) == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["cache", "gc", "--max-gb", "-1"], "--max-gb"),
        (["cache", "gc", "--unused-days", "soon"], "--unused-days"),
        (["bench", "demo-qa", "--cache", "fp8"], "--cache"),
        (["cache", "tidy"], "tidy"),
    ],
)
def test_words_that_cannot_be(words: list[str], said: str):
    found = call(*words)
    assert found.code == 2
    assert said in found.err
    assert found.err.count("\n") == 1


def test_what_cannot_be_removed_is_named(world: World, tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch):
    _run(world.arguments(tmp_path / "one", "--cache", "fp32"))

    def refused(path: Path, **_: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "unlink", refused)
    found = call("cache", "gc", "--max-gb", "0")
    assert found.code == 1
    assert "cannot be removed (Permission denied); mend its permissions." in found.err


def test_a_sampler_by_chance_asks_for_the_id(world: World, tmp_path: Path, folder: Path):
    """Two clips of one file are one entry, unless chance takes other frames of each."""
    for number in range(6):
        shutil.copyfile(world.folder / "clips/c0.mp4", tmp_path / f"c{number}.mp4")
    arguments = world.arguments(tmp_path / "run", "--cache", "fp32", "--media", f"{tmp_path}/{{clip}}.mp4")
    _run(arguments)
    assert len(_entries(folder)) == 1
    _run([*arguments, "--set", "frames.sampler=random"])
    assert len(_entries(folder)) == 1 + 6
