import errno
import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from torch import nn

from blipvid.core.errors import ConfigError, TrainingError
from blipvid.core.registry import Registry
from blipvid.demo.pictures import draw_captioned
from blipvid.models.zoo import load_model
from blipvid.train import run as run_module
from blipvid.train.loop import Length, Step, train
from blipvid.train.objectives.objective import Objective
from blipvid.train.objectives.retrieval import RetrievalObjective
from blipvid.train.pictures.batches import CAPTIONED, CaptionBatch, DrawBatch
from blipvid.train.run import run
from blipvid.train.states import METRICS, read_metrics, whole_states
from tests.train.tiny import ANSWERER, MODEL, QUESTIONS, tiny_recipe


class KilledError(Exception):
    """Stands for whatever ends a process."""


def killer(at: int):  # type: ignore[no-untyped-def]
    def report(step: Step) -> None:
        if step.number == at:
            raise KilledError

    return report


def losses_of(folder: Path) -> list[list[float]]:
    return [
        [line[key] for key in ("step", "itc", "itm", "lm") if key in line] for line in read_metrics(folder / METRICS)
    ]


RECIPES: dict[str, dict[str, Any]] = {  # all with dropout: all chance must go on as well
    "retrieval": {},
    "pretrain": {
        "sizes": MODEL | {"task": "pretrain"},
        "objective": {"kind": "pretrain", "momentum": {"queue": 16, "alpha_epochs": 0.5}},
    },
    "vqa": {"sizes": ANSWERER, "pictures": QUESTIONS, "objective": {"kind": "vqa"}},
}


def test_a_few_steps_lower_the_loss_and_the_model_loads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def same(rng: np.random.Generator, count: int, size_px: int) -> tuple[np.ndarray, list[str]]:
        return draw_captioned(np.random.default_rng(0), count, size_px)  # eight pairs can be learnt by heart in no time

    sources: Registry[DrawBatch] = Registry("none", "source", {"same": same})
    monkeypatch.setattr(RetrievalObjective, "takes", replace(CAPTIONED, sources=sources))
    pictures = {"source": "same", "batch_size": 8, "workers": 0}
    objective = {"kind": "retrieval", "text_dropout": False, "momentum": None}
    recipe = tiny_recipe(
        tmp_path, steps=60, checkpoint_steps=60, pictures=pictures, objective=objective, start_std=0.12
    )
    model_file = run(recipe, tmp_path / "out", "cpu")
    lines = list(read_metrics(tmp_path / "out" / METRICS))
    assert len(lines) == 60
    assert sum(line["itc"] for line in lines[-5:]) < 0.5 * sum(line["itc"] for line in lines[:5])
    texts = load_model(str(model_file)).model.encode_texts(["a big red ring"], 40)
    assert texts.embeds.shape == (1, 16)


@pytest.mark.parametrize(
    ("at", "kind"), [(2, "retrieval"), (4, "retrieval"), (5, "retrieval"), (5, "pretrain"), (5, "vqa")]
)
def test_a_killed_run_goes_on_with_the_same_losses(tmp_path: Path, at: int, kind: str) -> None:
    recipe = tiny_recipe(tmp_path, **RECIPES[kind])
    whole = run(recipe, tmp_path / "whole", "cpu")
    with pytest.raises(KilledError):
        run(recipe, tmp_path / "killed", "cpu", killer(at))
    steps: list[int] = []
    resumed = run(recipe, tmp_path / "killed", "cpu", lambda step: steps.append(step.number))
    assert steps[0] == (1 if at < 3 else 4)
    assert losses_of(tmp_path / "killed") == losses_of(tmp_path / "whole")
    first, second = (load_model(str(path)).model.state_dict() for path in (whole, resumed))
    assert all(torch.equal(first[key], second[key]) for key in first)


def test_a_finished_run_is_only_written_again(tmp_path: Path) -> None:
    recipe = tiny_recipe(tmp_path, steps=3)
    run(recipe, tmp_path / "out", "cpu")
    before = losses_of(tmp_path / "out")
    model_file = run(recipe, tmp_path / "out", "cpu", killer(1))  # no step is done, so nothing kills it
    assert losses_of(tmp_path / "out") == before
    assert model_file.is_file()


def test_half_a_checkpoint_is_never_taken_for_a_whole_one(tmp_path: Path) -> None:
    recipe = tiny_recipe(tmp_path)
    with pytest.raises(KilledError):
        run(recipe, tmp_path / "out", "cpu", killer(5))
    unfinished = tmp_path / "out" / ".state-unfinished"
    unfinished.mkdir()
    (unfinished / "model.safetensors").write_bytes(b"half")
    steps: list[int] = []
    run(recipe, tmp_path / "out", "cpu", lambda step: steps.append(step.number))
    assert steps == [4, 5, 6]
    assert [path.name for path in (tmp_path / "out").glob("*state-*")] == ["state-00000006"]


def test_another_recipe_does_not_go_on_in_the_same_folder(tmp_path: Path) -> None:
    run(tiny_recipe(tmp_path, steps=1), tmp_path / "out", "cpu")
    with pytest.raises(ConfigError, match="another recipe"):
        run(tiny_recipe(tmp_path, steps=2), tmp_path / "out", "cpu")


class TurnsToNan(Objective[Any, CaptionBatch, Any]):
    takes = CAPTIONED

    def __init__(self) -> None:
        super().__init__(nn.Identity(), None)
        self.weight = nn.Parameter(torch.ones(()))

    def forward(self, batch: CaptionBatch, epochs: float) -> dict[str, torch.Tensor]:
        return {"itc": self.weight * (math.nan if epochs > 0.7 else 1.0)}


def test_a_loss_that_is_no_number_stops_the_run_and_keeps_the_checkpoint(tmp_path: Path) -> None:
    recipe = tiny_recipe(tmp_path)
    with pytest.raises(TrainingError, match=r"step 6: .*itc nan.*step 3 .*is whole"):
        train(TurnsToNan(), recipe, 32, tmp_path / "out", "cpu")
    lines = [json.loads(line) for line in (tmp_path / "out" / METRICS).read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 2, 3, 4, 5]
    assert (tmp_path / "out" / "state-00000003").is_dir()


def test_a_full_disk_leaves_the_last_whole_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = tiny_recipe(tmp_path)
    straight = run(recipe, tmp_path / "whole", "cpu")
    save_state = Accelerator.save_state

    def full(self: Accelerator, folder: str, **options: Any) -> None:
        save_state(self, folder, **options)
        if (tmp_path / "out" / "state-00000003").is_dir():
            raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Accelerator, "save_state", full)
        with pytest.raises(TrainingError, match=r"step 6 cannot be written .*No space left.*step 3 .*is whole"):
            run(recipe, tmp_path / "out", "cpu")
    assert [path.name for path in (tmp_path / "out").glob("*state-*")] == ["state-00000003"]
    again = run(recipe, tmp_path / "out", "cpu")
    first, second = (load_model(str(path)).model.state_dict() for path in (straight, again))
    assert all(torch.equal(first[key], second[key]) for key in first)


def test_a_damaged_state_is_named(tmp_path: Path) -> None:
    recipe = tiny_recipe(tmp_path)
    with pytest.raises(KilledError):
        run(recipe, tmp_path / "out", "cpu", killer(5))
    (weights,) = (tmp_path / "out" / "state-00000003").glob("pytorch_model*")
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(TrainingError, match=r"state-00000003: this state cannot be taken up"):
        run(recipe, tmp_path / "out", "cpu")


def test_a_queue_that_steps_do_not_fill_shows_before_any_step(tmp_path: Path) -> None:
    recipe = tiny_recipe(tmp_path, objective={"kind": "retrieval", "momentum": {"queue": 12}})
    with pytest.raises(ConfigError, match=r"queue of 12 places .* steps of 8 pictures.*objective\.momentum\.queue"):
        run(recipe, tmp_path / "out", "cpu")
    assert not list((tmp_path / "out").iterdir())


def test_a_folder_of_another_recipe_is_refused_before_the_model_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(tiny_recipe(tmp_path, steps=1), tmp_path / "out", "cpu")
    monkeypatch.setattr(run_module, "first_model", None)
    with pytest.raises(ConfigError, match="another recipe"):
        run(tiny_recipe(tmp_path, steps=2), tmp_path / "out", "cpu")


def test_a_folder_beside_the_states_does_no_harm(tmp_path: Path) -> None:
    with pytest.raises(KilledError):
        run(tiny_recipe(tmp_path), tmp_path / "out", "cpu", killer(5))
    (tmp_path / "out" / "state-00000003.bak").mkdir()
    assert [step for step, _ in whole_states(tmp_path / "out")] == [3]


@pytest.mark.parametrize(
    ("batches", "accumulate", "epochs", "steps"), [(7, 4, 2, 3), (100, 8, 2, 25), (3, 4, 2, 1), (5, 1, 3, 15)]
)
def test_epochs_are_passes_over_the_data_whatever_is_accumulated(
    tmp_path: Path, batches: int, accumulate: int, epochs: int, steps: int
) -> None:
    recipe = tiny_recipe(tmp_path, steps=None, epochs=epochs, accumulate=accumulate)
    length = Length.of(recipe, batches)
    assert length.steps == steps
    assert length.epoch_steps * accumulate == batches


@pytest.mark.parametrize(("kind", "sizes"), [("retrieval", MODEL), ("vqa", ANSWERER)])
def test_an_absurd_rate_never_becomes_a_state_or_a_model(tmp_path: Path, kind: str, sizes: dict[str, Any]) -> None:
    said = {"objective": {"kind": kind}, "optimiser": {"lr": 1e38}, "schedule": {}, "checkpoint_steps": 1}
    pictures = QUESTIONS if kind == "vqa" else QUESTIONS | {"options": {}}
    for steps in (1, 6):
        recipe = tiny_recipe(tmp_path, sizes, **said | {"steps": steps, "pictures": pictures})
        with pytest.raises(TrainingError, match=r"not finite .*there is no state yet.*optimiser\.lr"):
            run(recipe, tmp_path / f"out{steps}", "cpu")
        assert not list((tmp_path / f"out{steps}").glob("state-*"))
        assert not (tmp_path / f"out{steps}" / "model").exists()


def test_a_run_of_another_number_of_processes_is_not_taken_up(tmp_path: Path) -> None:
    run(tiny_recipe(tmp_path, steps=1), tmp_path / "out", "cpu")
    (tmp_path / "out" / "processes").write_text("2\n")
    with pytest.raises(ConfigError, match=r"another number of processes than 1 .*start as many"):
        run(tiny_recipe(tmp_path, steps=1), tmp_path / "out", "cpu")


def test_a_folder_that_cannot_be_written_is_said_at_once(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"cannot be written .*another --out"):
        run(tiny_recipe(tmp_path, steps=1), tmp_path / "file", "cpu")


def test_metrics_that_cannot_be_written_end_with_one_sentence(tmp_path: Path) -> None:
    def full(step: Step) -> None:
        if step.number == 5:
            raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(TrainingError, match=r"No space left.*step 3 .*is whole"):
        run(tiny_recipe(tmp_path), tmp_path / "out", "cpu", full)
