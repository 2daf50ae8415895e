"""Two real processes that each hold a shard of every weight, against two that hold whole copies."""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from torch.distributed.checkpoint import FileSystemReader
from torch.distributed.checkpoint.format_utils import dcp_to_torch_save
from torch.distributed.checkpoint.metadata import TensorStorageMetadata

from blipvid.core.errors import ConfigError
from blipvid.models.zoo import load_model
from blipvid.train.run import run
from blipvid.train.states import METRICS, read_metrics
from tests.bench.world import make_world
from tests.train.tiny import MODEL, tiny_recipe, write_recipe

pytestmark = pytest.mark.timeout(1200)  # hundreds of small exchanges, each of which waits for both processes

ROOT = Path(__file__).parents[2]
TWO = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", "-m"]
SHARDS = os.environ | {"ACCELERATE_USE_FSDP": "true"}
LAST = "state-00000006"
ATOL, RTOL = 1e-5, 1e-4
"""Sums over two processes come about in another order, and AdamW divides by the roots of small numbers."""


@dataclass(frozen=True)
class Runs:
    """The folders of three trainings by one recipe."""

    whole: Path
    sharded: Path
    killed: Path


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    """Trains with dropout, momentum towers, a temperature out of bounds, accumulated batches and a validation."""
    folder = tmp_path_factory.mktemp("shards")
    world = make_world(tmp_path_factory.mktemp("world"))
    recipe = write_recipe(
        folder,
        MODEL | {"task": "pretrain", "vision": MODEL["vision"] | {"depth": 2}},
        objective={"kind": "pretrain", "temperature": 0.8, "momentum": {"queue": 16, "alpha_epochs": 0.5}},
        pictures={"source": "demo", "batch_size": 4, "workers": 0},
        validation={"benchmark": str(world.benchmark), "metric": "t2v_r1", "every_steps": 6, "limit": 4},
        accumulate=2,
        recompute_blocks=1,
    )
    told = [str(recipe), "--data-root", str(world.folder), "--device", "cpu", "--out", str(folder / "whole")]
    subprocess.run([*TWO, "blipvid.train", *told], check=True, cwd=ROOT, timeout=300)
    sharded, killed = folder / "sharded", folder / "killed"
    for out in ([sharded, world.folder, killed], [killed, world.folder]):
        command = [*TWO, "tests.train.on_shards", str(recipe), *map(str, out)]
        subprocess.run(command, check=True, cwd=ROOT, env=SHARDS, timeout=300)
    return Runs(folder / "whole", sharded, killed)


def state_of(run_folder: Path) -> dict[str, torch.Tensor]:
    """Returns the last state of the objective, put together where it lies in shards."""
    shards, file = run_folder / LAST / "pytorch_model_fsdp_0", run_folder / LAST / "pytorch_model.bin"
    if shards.is_dir():
        file = run_folder / "together.bin"
        dcp_to_torch_save(shards, file)
    state = torch.load(file)
    return state.get("model", state)


def model_of(run_folder: Path, name: str = "model") -> dict[str, torch.Tensor]:
    """Returns the weights of the model that came out."""
    return load_model(str(run_folder / name / "tiny.yaml")).model.state_dict()


def test_shards_learn_what_whole_copies_do(runs: Runs) -> None:
    whole, sharded = (list(read_metrics(folder / METRICS)) for folder in (runs.whole, runs.sharded))
    assert [line["step"] for line in sharded] == [1, 2, 3, 4, 5, 6]
    for one, other in zip(whole, sharded, strict=True):
        assert other == pytest.approx(one, rel=RTOL)
    assert ["t2v_r1" in line for line in sharded] == [False] * 5 + [True]


def test_the_last_state_is_the_same(runs: Runs) -> None:
    whole, sharded = state_of(runs.whole), state_of(runs.sharded)
    assert sharded.keys() == whole.keys()
    assert any(key.startswith("contrast.towers.") for key in whole)
    assert whole["contrast.temperature"] == pytest.approx(0.5, abs=0.02)  # bounded, then learnt
    for key, tensor in whole.items():
        torch.testing.assert_close(
            sharded[key].view_as(tensor), tensor, atol=ATOL, rtol=RTOL, msg=lambda m, k=key: k + m
        )


def test_the_model_that_comes_out_is_that_of_the_last_state(runs: Runs) -> None:
    state = {key.removeprefix("model."): tensor for key, tensor in state_of(runs.sharded).items()}
    for key, tensor in model_of(runs.sharded).items():
        assert torch.equal(tensor, state[key]), key
    assert model_of(runs.sharded, "best").keys() == model_of(runs.whole, "best").keys()


def test_a_killed_run_goes_on_as_if_nothing_had_happened(runs: Runs) -> None:
    straight, resumed = (list(read_metrics(folder / METRICS)) for folder in (runs.sharded, runs.killed))
    assert resumed == straight
    first, second = state_of(runs.sharded), state_of(runs.killed)
    assert all(torch.equal(first[key], second[key]) for key in first)


@pytest.mark.parametrize("part", ["pytorch_model_fsdp_0", "optimizer_0"])
def test_each_process_holds_half(runs: Runs, part: str) -> None:
    stored = FileSystemReader(runs.sharded / LAST / part).read_metadata().state_dict_metadata
    tensors = {key: said for key, said in stored.items() if isinstance(said, TensorStorageMetadata)}
    learnt = [key for key in tensors if not key.endswith(".step") and ".queue." not in key]
    assert len(learnt) > 100
    for key in learnt:
        rows = tensors[key].size[0]
        assert [chunk.sizes[0] for chunk in tensors[key].chunks] == [rows - rows // 2, rows // 2], key


def test_shards_where_there_can_be_none_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    with pytest.raises(ConfigError, match=r"ACCELERATE_USE_FSDP .*\(here: 1 on 'cpu'\); unset it"):
        run(tiny_recipe(tmp_path), tmp_path / "out", "cpu")
