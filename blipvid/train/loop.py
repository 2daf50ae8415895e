"""The training loop: one forward a step, and a run that is killed goes on at the step it had reached.

Stands on accelerate for device, precision, many processes and saved state. Knows no losses: an objective gives named
ones.
"""

import json
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, cast

import torch
from accelerate import Accelerator
from accelerate.utils import set_seed

from blipvid.core.errors import ConfigError, TrainingError
from blipvid.core.files import replacing
from blipvid.train.images import batches
from blipvid.train.objective import Objective
from blipvid.train.optim import build_optimiser, learning_rate
from blipvid.train.recipe import Recipe

T = TypeVar("T", bound=Objective[Any, Any, Any])

STATE = "state-"
METRICS = "metrics.jsonl"
RECIPE = "recipe.json"


@dataclass(frozen=True, slots=True)
class Step:
    """What one step was like.

    Attributes:
        number: Steps done, this one included.
        steps: Steps of the whole training.
        losses: By name; the training minimises their sum.
        lr: Learning rate of the step.
        pictures_per_s: Mean since the run began or went on, over all processes.
        remaining_s: Estimated seconds to the last step.
    """

    number: int
    steps: int
    losses: Mapping[str, float]
    lr: float
    pictures_per_s: float
    remaining_s: float

    @property
    def loss(self) -> float:
        """The sum of the losses."""
        return sum(self.losses.values())


def train(
    objective: T,
    recipe: Recipe,
    size_px: int,
    folder: Path,
    device: str = "auto",
    report: Callable[[Step], None] = lambda step: None,
) -> T:
    """Trains an objective, going on from the last checkpoint in the folder where there is one.

    Args:
        objective: A model with its losses.
        recipe: The recipe.
        size_px: Side of the pictures (S).
        folder: For checkpoints and `metrics.jsonl`, one line a step.
        device: `auto` takes an accelerator where there is one, `cpu` does not.
        report: Told of every step.

    Returns:
        The objective, trained.

    Raises:
        ConfigError: The folder holds a run of another recipe, or the pictures cannot be had.
        TrainingError: A loss is not a number; the last checkpoint stays as it was.
    """
    accelerator = Accelerator(
        cpu=device == "cpu", mixed_precision="no" if recipe.precision == "fp32" else recipe.precision
    )
    _claim(folder, recipe)
    set_seed(recipe.seed, device_specific=True)
    plain_optimiser = build_optimiser(objective, recipe.optimiser)
    wrapped, optimiser = accelerator.prepare(objective, plain_optimiser)
    wrapped.train()
    start = _resume(accelerator, folder)
    _forget_metrics_after(folder / METRICS, start)
    data = batches(
        objective.takes, recipe.pictures, size_px, recipe.seed, range(start, recipe.steps), accelerator.process_index
    )
    epoch_steps = recipe.epoch_steps or recipe.steps
    began, at_once = time.monotonic(), recipe.pictures.batch_size * accelerator.num_processes
    with (folder / METRICS).open("a", buffering=1, encoding="utf-8") as metrics:
        for number, batch in enumerate(data, start):
            lr = learning_rate(number, recipe.steps, epoch_steps, recipe.optimiser.lr, recipe.schedule)
            for group in optimiser.param_groups:
                group["lr"] = lr
            losses = wrapped(batch, number / epoch_steps)
            total = sum(losses.values(), torch.zeros((), device=accelerator.device))
            _demand_finite(total, losses, number, start, folder)
            accelerator.backward(total)
            if recipe.optimiser.clip_norm is not None:
                accelerator.clip_grad_norm_(wrapped.parameters(), recipe.optimiser.clip_norm)
            optimiser.step()
            optimiser.zero_grad()
            per_step_s = (time.monotonic() - began) / (number + 1 - start)
            named = {name: loss.item() for name, loss in losses.items()}
            remaining_s = (recipe.steps - number - 1) * per_step_s
            done = Step(number + 1, recipe.steps, named, lr, at_once / per_step_s, remaining_s)
            if accelerator.is_main_process:
                metrics.write(json.dumps({"step": done.number, "loss": done.loss, **named, "lr": lr}) + "\n")
                report(done)
            if done.number % recipe.checkpoint_steps == 0 or done.number == recipe.steps:
                _save(accelerator, folder, done.number)
    return cast(T, accelerator.unwrap_model(wrapped))


def read_metrics(path: Path) -> Iterator[dict[str, float]]:
    """Yields what `metrics.jsonl` says of each step; a line cut off by a kill is left out."""
    if path.is_file():
        for line in path.read_text(encoding="utf-8").splitlines(keepends=True):
            if line.endswith("\n"):
                yield json.loads(line)


def _claim(folder: Path, recipe: Recipe) -> None:
    """Writes the recipe into a new folder, or makes sure that a used one holds a run of the same recipe."""
    path, said = folder / RECIPE, recipe.model_dump_json(indent=2)
    if path.is_file() and path.read_text(encoding="utf-8") != said:
        raise ConfigError(
            f"{folder} holds a run of another recipe, or of this one before it was changed ({RECIPE} there); "
            "give another --out, or delete the folder."
        )
    with replacing(path) as temporary:
        temporary.write_text(said, encoding="utf-8")


def _states(folder: Path) -> list[tuple[int, Path]]:
    """Returns the whole checkpoints in a folder, by their steps."""
    return sorted((int(path.name.removeprefix(STATE)), path) for path in folder.glob(f"{STATE}*"))


def _resume(accelerator: Accelerator, folder: Path) -> int:
    found = _states(folder)
    if not found:
        return 0
    step, path = found[-1]
    accelerator.load_state(str(path))
    return step


def _save(accelerator: Accelerator, folder: Path, step: int) -> None:
    """Writes a checkpoint under a temporary name; only a whole one gets its own, and only then the last one goes."""
    unfinished = folder / f".{STATE}unfinished"
    if accelerator.is_main_process:
        shutil.rmtree(unfinished, ignore_errors=True)
    accelerator.wait_for_everyone()
    accelerator.save_state(str(unfinished), safe_serialization=False)  # safetensors cannot hold shared parts
    accelerator.wait_for_everyone()
    if accelerator.is_main_process:
        older = _states(folder)
        unfinished.rename(folder / f"{STATE}{step:08d}")
        for _, path in older:
            shutil.rmtree(path)
    accelerator.wait_for_everyone()


def _forget_metrics_after(path: Path, step: int) -> None:
    """Drops the lines of steps that are about to be done again."""
    kept = [line for line in read_metrics(path) if line["step"] <= step]
    with replacing(path) as temporary:
        temporary.write_text("".join(json.dumps(line) + "\n" for line in kept), encoding="utf-8")


def _demand_finite(
    total: torch.Tensor, losses: Mapping[str, torch.Tensor], number: int, start: int, folder: Path
) -> None:
    if torch.isfinite(total):
        return
    found = ", ".join(f"{name} {loss.item():g}" for name, loss in losses.items())
    saved = _states(folder)
    kept = f"the checkpoint of step {saved[-1][0]} in {folder} is whole" if saved else "there is no checkpoint yet"
    raise TrainingError(
        f"step {number + 1}: the loss is not a finite number ({found}); {kept}. "
        "Lower 'optimiser.lr', lengthen 'schedule.warmup_steps' or set 'optimiser.clip_norm'; train into another --out."
    )
