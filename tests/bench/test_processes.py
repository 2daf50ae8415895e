"""Several processes under torchrun give what one gives: every task, damaged clips, uneven parts, and how they fail."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image
from safetensors.numpy import load_file

from blipvid.bench.cli import main
from blipvid.bench.environment import choose_workers
from blipvid.models.spec import VisionSize
from tests.bench.call import call
from tests.media.drawing import draw_clip
from tests.models.tiny import write_model
from tests.started import Ended, start

ROOT = Path(__file__).parents[2]
CLIPS, DAMAGED = 7, 4
WIDE_AS_TEXTS = VisionSize(width=16, depth=2, heads=2)  # models for dialogs ask for it
SAID = ["a red dog runs", "a green cat sits", "the dog sits", "the cat runs on the grass", "a dog", "cats", "red grass"]
ASKED = ["what runs?", "who sits on the grass?", "how red?"]
ANSWERS = ["dog", "cat", "red dog", "a dog on the grass"]
PAIRS = [(0, 1), (1, 2), (3, 5), (4, 6), (6, 6), (5, 3)]  # pictures 0 to 2 meet, 3 and 5, 4 and 6
SCORE_ATOL = 1e-6
"""Clips are encoded beside others in each process, and products of other sizes add up in another order (3e-8 seen)."""


@dataclass(frozen=True)
class Tasks:
    """A folder with the benchmarks of all tasks, each on a model of its own."""

    folder: Path

    def arguments(self, out: Path, *names: str) -> list[str]:
        files = [str(self.folder / f"{name}.yaml") for name in names]
        begin = [*files, "--data-root", str(self.folder), "--out", str(out), "--device", "cpu"]
        return [*begin, "--workers", "0", "--save-scores", "--format", "csv"]

    def share(self, n: int, out: Path, *names: str) -> Ended:
        """Runs benchmarks in n processes."""
        return start(n, out.with_name(f"{out.name}-said"), main, ["bench", *self.arguments(out, *names)])


def _rows() -> dict[str, list[dict[str, Any]]]:
    clips = [f"c{number}" for number in range(CLIPS)]
    captions = [{"clip": clip, "text": SAID[number]} for number, clip in enumerate(clips)]
    asked = [
        {"id": f"{clip}-{place}", "clip": clip, "question": question, "answer": ANSWERS[place], "options": ANSWERS}
        for number, clip in enumerate(clips)
        for place, question in enumerate(ASKED[: 1 + number % 3])
    ]
    return {
        "captions": [*captions, *({"clip": f"c{number}", "text": "a cat runs"} for number in (6, 0, 3))],
        "few": captions[:2],
        "asked": asked,
        "chosen": [{**row, "answer": 1} for row in asked],
        "described": [{"clip": clip} for clip in clips],
        "pairs": [
            {"id": str(place), "images": [f"p{one}" for one in pair], "text": SAID[place], "label": place % 2 == 0}
            for place, pair in enumerate(PAIRS)
        ],
        "dialogs": [
            {"clip": f"p{number}", "caption": SAID[number], "question": question, "options": ANSWERS, "answer": place}
            for number in range(CLIPS)
            for place, question in enumerate(ASKED[: 1 + number % 2])
        ],
    }


RETRIEVAL = {"clip": "clip", "text": "text"}
QUESTIONS = {"id": "id", "clip": "clip", "question": "question", "answer": "answer"}
ROUNDS = {"clip": "clip", "caption": "caption", "question": "question", "options": "options", "answer": "answer"}
BENCHMARKS: dict[str, tuple[str, str, str, dict[str, str], dict[str, Any]]] = {
    # name: task, model, rows, fields, settings
    "retrieval": ("retrieval", "retrieval", "captions", RETRIEVAL, {"rerank_top_k": 3}),
    "cosine": ("retrieval", "retrieval", "captions", RETRIEVAL, {"rerank_top_k": 0}),
    "few": ("retrieval", "retrieval", "few", RETRIEVAL, {"rerank_top_k": 2}),
    "qa": ("qa", "vqa", "asked", QUESTIONS, {"answer_by": ["generate", "rank"]}),
    "choice": ("choice", "vqa", "chosen", {**QUESTIONS, "options": "options"}, {}),
    "match": ("choice", "retrieval", "chosen", {**QUESTIONS, "options": "options"}, {"choose_by": "match"}),
    "caption": ("caption", "caption", "described", {"clip": "clip"}, {}),
    "pairs": ("pairs", "nlvr", "pairs", {"id": "id", "images": "images", "text": "text", "label": "label"}, {}),
    "dialog": ("dialog", "visdial", "dialogs", ROUNDS, {}),
}


@pytest.fixture(scope="module")
def tasks(tmp_path_factory: pytest.TempPathFactory) -> Tasks:
    folder = tmp_path_factory.mktemp("tasks")
    (folder / "media").mkdir()
    for number in range(CLIPS):
        draw_clip(folder / "media" / f"c{number}.mp4", 8 + number, width=64, height=48)
        grey = np.random.default_rng(number).integers(0, 256, (40, 60, 3), np.uint8)
        Image.fromarray(grey).save(folder / "media" / f"p{number}.png")
    for name in (f"c{DAMAGED}.mp4", f"p{DAMAGED}.png"):
        (folder / "media" / name).write_bytes(b"no clip at all")
    (folder / "answers.txt").write_text("\n".join(ANSWERS) + "\n")
    for name, rows in _rows().items():
        (folder / f"{name}.json").write_text(json.dumps(rows))
    models = {}
    for task in {model for _, model, *_ in BENCHMARKS.values()}:
        (folder / task).mkdir()
        models[task] = str(write_model(folder / task, task=task, vision=WIDE_AS_TEXTS))
    for name, (task, model, rows, fields, settings) in BENCHMARKS.items():
        pictures = task in ("pairs", "dialog")
        dataset = {"annotations": f"{rows}.json", "fields": fields, "media": "media/{clip}.mp4"}
        dataset["media"] = {"pairs": "media/{image}.png", "dialog": "media/{clip}.png"}.get(task, dataset["media"])
        dataset |= {"answers": "answers.txt"} if task == "qa" else {}
        frames = {"count": 1, "size": 32, "resize": "bicubic"} if pictures else {"count": 2, "size": 32}
        said = {"name": name, "task": task, "model": models[model], "dataset": dataset, "frames": frames}
        for ending, on_error in (("", "skip"), ("-stop", "stop")):
            more = {"name": f"{name}{ending}", "settings": {**settings, "bootstrap": 20, "on_error": on_error}}
            (folder / f"{name}{ending}.yaml").write_text(yaml.safe_dump({**said, **more}))
    return Tasks(folder)


@pytest.fixture(scope="module")
def alone(tasks: Tasks, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The runs of one process."""
    out = tmp_path_factory.mktemp("alone")
    done = call("bench", *tasks.arguments(out, *BENCHMARKS))
    assert done.code == 0, done.err
    return out


FEW = ("few", "retrieval", "match", "pairs")
"""What three processes do; of two clips the third has none."""


@pytest.fixture(scope="module")
def shared(tasks: Tasks, tmp_path_factory: pytest.TempPathFactory) -> dict[int, tuple[Path, Ended]]:
    """The runs of two processes and of three: their folder and what they said."""
    found = {}
    for n, names in ((2, tuple(BENCHMARKS)), (3, FEW)):
        out = tmp_path_factory.mktemp(f"shared-{n}")
        found[n] = out, tasks.share(n, out, *names)
        assert found[n][1].codes == [0] * n, found[n][1].err
    return found


def _near(found: Any, wanted: Any) -> bool:
    """Whether two JSON values are equal but for rounding."""
    if isinstance(wanted, dict):
        return found.keys() == wanted.keys() and all(_near(found[key], wanted[key]) for key in wanted)
    if isinstance(wanted, list):
        return len(found) == len(wanted) and all(map(_near, found, wanted))
    if isinstance(wanted, float):
        return bool(np.isclose(found, wanted, rtol=0, atol=SCORE_ATOL))
    return bool(found == wanted)


@pytest.mark.parametrize(("n", "name"), [*((2, name) for name in BENCHMARKS), *((3, name) for name in FEW)])
def test_the_figures_are_those_of_one_process(
    alone: Path, shared: dict[int, tuple[Path, Ended]], n: int, name: str
) -> None:
    ours, theirs = shared[n][0] / name / "tiny", alone / name / "tiny"
    assert {path.name for path in ours.iterdir()} == {path.name for path in theirs.iterdir()}
    lines, others = ((path / "predictions.jsonl").read_text().splitlines() for path in (ours, theirs))
    for line, other in zip(lines, others, strict=True):
        assert _near(json.loads(line), json.loads(other)), (line, other)
    for path in theirs.glob("submission*.json"):
        assert (ours / path.name).read_text() == path.read_text()
    if (theirs / "scores.safetensors").exists():
        scores, wanted = (load_file(path / "scores.safetensors") for path in (ours, theirs))
        assert scores.keys() == wanted.keys()
        for key, matrix in wanted.items():
            np.testing.assert_allclose(scores[key], matrix, rtol=0, atol=SCORE_ATOL)
    record, one = (json.loads((path / "run.json").read_text()) for path in (ours, theirs))
    for part in (record, one):
        del part["details"]["seconds"]
    for key in ("metrics", "intervals", "coverage", "details"):
        assert _near(record[key], one[key]), key
    assert (record["runtime"]["processes"], one["runtime"]["processes"]) == (n, 1)
    used = record["coverage"]["clips_used"]
    assert sum(record["details"]["backends"].values()) == used == (2 if name == "few" else CLIPS - 1)


def test_only_the_first_process_speaks_and_its_progress_is_that_of_all(shared: dict[int, tuple[Path, Ended]]) -> None:
    for n, (out, ended) in shared.items():
        assert ended.out[0].startswith("benchmark,model,")
        assert f"written to {out / 'retrieval' / 'tiny'}" in ended.err[0]
        for line in (f"encoding clips: {CLIPS} of {CLIPS}", "re-ranking: 6 of 6", "judging: 7 of 7"):
            assert line in ended.err[0]
        assert ended.out[1:] == ended.err[1:] == [""] * (n - 1)


def test_a_clip_that_fails_in_one_process_ends_that_run_in_all_and_no_other(tasks: Tasks, tmp_path: Path) -> None:
    ended = tasks.share(3, tmp_path, "qa-stop", "few", "retrieval-stop")  # the damaged clip is the second process'
    assert ended.codes == [1, 1, 1]
    vqa, retrieval = tasks.folder / "vqa" / "tiny.yaml", tasks.folder / "retrieval" / "tiny.yaml"
    assert f"error: qa-stop · {vqa}: clip 'c{DAMAGED}'" in ended.err[0]
    assert f"error: retrieval-stop · {retrieval}: clip 'c{DAMAGED}'" in ended.err[0]
    assert "2 of 3 runs failed" in ended.err[0]
    assert ended.err[1:] == ["", ""]
    assert [path.parent.parent.name for path in tmp_path.rglob("run.json")] == ["few"]


def test_what_cannot_be_asked_for_is_said_once(tasks: Tasks, tmp_path: Path) -> None:
    ended = tasks.share(2, tmp_path, "no-such")
    assert ended.codes == [2, 2]
    assert ended.err[0].count("error: ") == 1
    assert ended.err[1] == ""


def _with_cache(folder: Path, arguments: list[str]) -> None:
    os.environ["BLIPVID_CACHE"] = str(folder)
    main(["bench", *arguments, "--cache", "fp32"])


def test_what_any_process_kept_is_found_by_all(tasks: Tasks, alone: Path, tmp_path: Path) -> None:
    for n, name, found, added in ((2, "few", 0, 2), (3, "retrieval", 2, 4), (2, "qa", 0, 6)):
        out = tmp_path / name
        ended = start(n, tmp_path / f"{name}-said", _with_cache, tmp_path / "cache", tasks.arguments(out, name))
        assert ended.codes == [0] * n, ended.err
        record, one = (json.loads((path / "run.json").read_text()) for path in (out, alone / name / "tiny"))
        told = record["details"]["cache"]
        assert (told["found"], told["added"]) == (found, added)  # the model for questions sees by other weights
        assert _near(record["metrics"], one["metrics"])


@pytest.mark.parametrize(("here", "workers"), [(1, 4), (4, 2), (16, 1)])
def test_processes_of_a_machine_share_its_cores(here: int, workers: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: range(8), raising=False)
    for name, value in {"RANK": 0, "WORLD_SIZE": 16, "LOCAL_RANK": 0, "LOCAL_WORLD_SIZE": here}.items():
        monkeypatch.setenv(name, str(value))
    assert choose_workers(None) == workers
    assert choose_workers(7) == 7


def test_torchrun_starts_it(tasks: Tasks, tmp_path: Path) -> None:
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    command = [*torchrun, "run_bench.py", *tasks.arguments(tmp_path / "out", "dialog-stop")]
    done = subprocess.run(command, cwd=ROOT, timeout=300, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.count(f"error: clip 'p{DAMAGED}'") == 1
    assert not (tmp_path / "out").exists()
