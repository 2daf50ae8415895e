"""Trainings in processes of their own: two that train together, and one that is killed."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from blipvid.models.zoo import load_model
from blipvid.train.recipe import load_recipe
from blipvid.train.run import run
from blipvid.train.states import METRICS, read_metrics
from tests.train.files import PLAIN, write_captions
from tests.train.tiny import MODEL, write_recipe

ROOT = Path(__file__).parents[2]
TRAIN = [sys.executable, "-m", "blipvid.train"]
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", *TRAIN[1:]]


def recipe_of(folder: Path, batch_size: int, **changes: object) -> Path:
    """Writes a recipe on 24 pictures in files."""
    pictures = {
        "sets": [write_captions(folder / "data", 24)],
        "batch_size": batch_size,
        "workers": 0,
        "augment": PLAIN | {"min_scale": 0.5},
    }
    said = {"pictures": pictures, "start_std": 0.1, **changes}
    return write_recipe(folder, MODEL | {"task": "caption"}, **said)


CAPTION = {"kind": "caption", "text_dropout": False}


def test_two_processes_learn_what_one_does_from_the_same_pictures(tmp_path: Path) -> None:
    said = {"objective": CAPTION, "steps": 6}
    one, two = recipe_of(tmp_path / "one", 8, **said), recipe_of(tmp_path / "two", 4, **said)
    run(load_recipe(str(one)), tmp_path / "alone", "cpu")
    command = [*TORCHRUN, str(two), "--out", str(tmp_path / "both"), "--device", "cpu"]
    said_there = subprocess.run(command, check=True, cwd=ROOT, timeout=300, stderr=subprocess.PIPE, text=True).stderr
    assert "FutureWarning" not in said_there
    alone, both = (list(read_metrics(tmp_path / name / METRICS)) for name in ("alone", "both"))
    assert [line["step"] for line in both] == [1, 2, 3, 4, 5, 6]
    # every caption has as many tokens, so the mean over two halves is the mean over all
    assert [line["lm"] for line in both] == pytest.approx([line["lm"] for line in alone], rel=1e-5)


def test_accumulated_batches_are_one_large_batch(tmp_path: Path) -> None:
    said = {"objective": CAPTION, "steps": 6}
    one, two = recipe_of(tmp_path / "one", 8, **said), recipe_of(tmp_path / "two", 4, accumulate=2, **said)
    for path, name in ((one, "whole"), (two, "halves")):
        run(load_recipe(str(path)), tmp_path / name, "cpu")
    whole, halves = (list(read_metrics(tmp_path / name / METRICS)) for name in ("whole", "halves"))
    assert [line["lm"] for line in halves] == pytest.approx([line["lm"] for line in whole], rel=1e-5)


def test_a_process_killed_at_any_moment_goes_on_as_if_nothing_had_happened(tmp_path: Path) -> None:
    objective = {"kind": "retrieval", "momentum": {"queue": 24, "alpha_epochs": 2.0}}  # with dropout and a queue
    path = recipe_of(tmp_path, 8, objective=objective, steps=40, checkpoint_steps=3)
    path.with_name("tiny-model.yaml").write_text(
        path.with_name("tiny-model.yaml").read_text().replace("task: caption", "task: retrieval")
    )
    whole = run(load_recipe(str(path)), tmp_path / "whole", "cpu")
    killed = tmp_path / "killed"
    for steps in (5, 17):
        process = subprocess.Popen([*TRAIN, str(path), "--out", str(killed), "--device", "cpu"], cwd=ROOT)
        while len(list(read_metrics(killed / METRICS))) < steps:
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
    subprocess.run([*TRAIN, str(path), "--out", str(killed), "--device", "cpu"], check=True, cwd=ROOT)
    assert list(read_metrics(killed / METRICS)) == list(read_metrics(tmp_path / "whole" / METRICS))
    first, second = (load_model(str(model)).model.state_dict() for model in (whole, killed / "model" / "tiny.yaml"))
    assert all(torch.equal(first[key], second[key]) for key in first)
