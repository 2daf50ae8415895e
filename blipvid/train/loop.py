"""The training loop: one forward a step, and a run that is killed goes on at the step it had reached.

Stands on accelerate for device, precision, many processes and saved state. Knows no losses: an objective gives named
ones.
"""

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar, cast

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs, InitProcessGroupKwargs, set_seed
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from blipvid.core.errors import ConfigError, TrainingError
from blipvid.models.blip import BlipModel
from blipvid.train.objectives.objective import Objective
from blipvid.train.optim import build_optimiser, learning_rate
from blipvid.train.pictures.images import Loaded, find_pictures, load_batches
from blipvid.train.recipe import Recipe
from blipvid.train.sharding import own_part, ready_for_shards, sharding_plugin
from blipvid.train.states import claim, last_whole, open_metrics, resume, save, write_metrics

M = TypeVar("M", bound=BlipModel)

Validate = Callable[[BlipModel, int], Mapping[str, float]]
"""validate(model, step) -> metrics by name; called on the main process alone."""


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
        scores: Metrics of a validation after this step, by name; mostly none.
        broken: Samples that the main process could not read and replaced, by name; the metrics count those of all.
    """

    number: int
    steps: int
    losses: Mapping[str, float]
    lr: float
    pictures_per_s: float
    remaining_s: float
    scores: Mapping[str, float] = field(default_factory=dict)
    broken: Sequence[str] = ()

    @property
    def loss(self) -> float:
        """The sum of the losses."""
        return sum(self.losses.values())


@dataclass(frozen=True, slots=True)
class Length:
    """How long a training is.

    Attributes:
        steps: Optimiser steps.
        epoch_steps: Of one epoch; no whole number where the last step of an epoch takes batches of the next one.
    """

    steps: int
    epoch_steps: float

    @classmethod
    def of(cls, recipe: Recipe, batches_per_epoch: int | None) -> "Length":
        """Reads it from a recipe and from the batches of one pass over the data, None where that has no end.

        Raises:
            ConfigError: The recipe counts epochs and nothing says how long one is.
        """
        own = None if batches_per_epoch is None else batches_per_epoch / recipe.accumulate
        epoch = recipe.epoch_steps or own
        if recipe.epochs is not None:
            if epoch is None:
                raise ConfigError(
                    f"recipe '{recipe.name}' counts 'epochs', but pictures drawn without end have none; give 'steps', "
                    "or say how long an epoch is with 'epoch_steps'."
                )
            return cls(max(1, math.floor(recipe.epochs * epoch)), epoch)
        assert recipe.steps is not None  # a recipe has one of the two
        return cls(recipe.steps, epoch or recipe.steps)


def train(
    objective: Objective[M, Any, Any],
    recipe: Recipe,
    size_px: int,
    folder: Path,
    device: str = "auto",
    report: Callable[[Step], None] = lambda step: None,
    validate: Validate | None = None,
    trackers: Sequence[str] = (),
    data_root: Path | None = None,
) -> M:
    """Trains an objective, going on from the last whole state in the folder where there is one.

    Args:
        objective: A model with its losses.
        recipe: The recipe.
        size_px: Side of the pictures (S).
        folder: For states and `metrics.jsonl`, one line a step.
        device: `auto` takes an accelerator where there is one, `cpu` does not.
        report: Told of every step.
        validate: Called as often as `recipe.validation` says.
        trackers: Names of accelerate's trackers, for instance `tensorboard` or `wandb`.
        data_root: Folder below which sets of pictures lie; None takes $BLIPVID_DATA.

    Returns:
        The model, trained; where weights lie in shards, only that of the main process is filled.

    Raises:
        ConfigError: The folder holds a run of another recipe, the recipe does not fit its data, or there are to be
            shards where there cannot.
        DataError: The pictures cannot be had.
        TrainingError: A loss is not a number, or a state cannot be written; the last whole state stays as it was.
    """
    accelerator = _accelerator(recipe, folder, device, trackers, objective)
    world = accelerator.num_processes
    pictures = find_pictures(
        objective.takes, recipe.pictures, size_px, recipe.seed, accelerator.process_index, world, data_root
    )
    length = Length.of(recipe, pictures.steps_per_epoch)
    claim(folder, recipe, world)
    set_seed(recipe.seed, device_specific=True)
    if recipe.compile:
        objective.model.visual_encoder.compile()
    plain = ready_for_shards(accelerator, objective)
    wrapped, optimiser = accelerator.prepare(objective, build_optimiser(objective, recipe.optimiser))
    wrapped.train()
    start = resume(accelerator, folder)
    loaded = load_batches(pictures, range(start * recipe.accumulate, length.steps * recipe.accumulate))
    with ExitStack() as open_files:
        metrics = open_files.enter_context(open_metrics(folder, start)) if accelerator.is_main_process else None
        began = time.monotonic()
        for number in range(start, length.steps):
            lr = learning_rate(number, length.steps, length.epoch_steps, recipe.optimiser.lr, recipe.schedule)
            for group in optimiser.param_groups:
                group["lr"] = lr
            pieces = islice(loaded, recipe.accumulate)
            losses, broken, n_broken = _learn(accelerator, wrapped, pieces, recipe, number / length.epoch_steps)
            _demand_finite(losses, number, folder)
            # without a bound the norm is only looked at
            norm = accelerator.clip_grad_norm_(wrapped.parameters(), recipe.optimiser.clip_norm or math.inf)
            if accelerator.scaler is None:  # which skips steps of such gradients itself
                _demand_finite({"norm of the gradients": float(norm)}, number, folder)
            optimiser.step()
            optimiser.zero_grad()
            done = number + 1
            due = recipe.validation and (done == length.steps or done % recipe.validation.every_steps == 0)
            scores = _validated(accelerator, wrapped, plain, validate, done) if validate and due else {}
            per_step_s = (time.monotonic() - began) / (done - start)
            if metrics is not None:
                at_once = recipe.pictures.batch_size * recipe.accumulate * world
                left_s = (length.steps - done) * per_step_s
                step = Step(done, length.steps, losses, lr, at_once / per_step_s, left_s, scores, broken)
                values = {"loss": step.loss, **losses, "lr": lr, **scores} | ({"broken": n_broken} if n_broken else {})
                write_metrics(metrics, done, values)
                accelerator.log(values, step=done)
                report(step)
            if done % recipe.checkpoint_steps == 0 or done == length.steps:
                _demand_finite({"sum of all weights": _sum_of(accelerator, wrapped)}, number, folder)
                save(accelerator, folder, done)
    model = plain(wrapped)
    accelerator.end_training()
    return model


def _accelerator(
    recipe: Recipe, folder: Path, device: str, trackers: Sequence[str], objective: Objective[Any, Any, Any]
) -> Accelerator:
    # the queue is the same everywhere by construction, so it need not be sent around at every step
    buffers = [name for name, _ in objective.named_buffers()]
    DistributedDataParallel._set_params_and_buffers_to_ignore_for_model(objective, buffers)
    everywhere = DistributedDataParallelKwargs(find_unused_parameters=not objective.learns_everything)
    patient = InitProcessGroupKwargs(timeout=timedelta(hours=24))  # the others wait while one validates
    try:
        accelerator = Accelerator(
            cpu=device == "cpu",
            mixed_precision="no" if recipe.precision == "fp32" else recipe.precision,
            log_with=list(trackers) or None,
            project_dir=folder,
            fsdp_plugin=sharding_plugin(),
            kwargs_handlers=[everywhere, patient],
        )
        missing = len(trackers) - len(accelerator.log_with)
        if missing:
            raise ImportError(f"{missing} of the trackers {', '.join(trackers)} cannot be imported")
        if trackers:
            accelerator.init_trackers(recipe.name, config=_flat(recipe.model_dump(mode="json")))
    except (ImportError, ValueError) as error:
        raise ConfigError(
            f"{str(error).rstrip('.')}; install what is missing, or ask for another --track or 'precision'."
        ) from error
    return accelerator


def _flat(values: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    """Returns nested settings under dotted names, as trackers take them: numbers and texts."""
    found: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            found |= _flat(value, f"{before}{key}.")
        else:
            found[before + key] = value if isinstance(value, int | float | str) else str(value)
    return found


def _learn(
    accelerator: Accelerator, wrapped: nn.Module, pieces: Iterator[Loaded[Any]], recipe: Recipe, epochs: float
) -> tuple[dict[str, float], list[str], int]:
    """Adds up the gradients of one step.

    Returns:
        Its losses by name, means over batches and processes; the samples that this process had to replace; and how
        many all had to.
    """
    parts: list[dict[str, torch.Tensor]] = []
    broken: list[str] = []
    for place, piece in enumerate(pieces, 1):
        last = place == recipe.accumulate
        with nullcontext() if last else accelerator.no_sync(wrapped):
            accelerator.unwrap_model(wrapped).before_batch()
            with accelerator.autocast():
                losses = wrapped(piece.batch, epochs)
            total = sum(losses.values(), torch.zeros((), device=accelerator.device)) / recipe.accumulate
            accelerator.backward(total)
        broken += piece.broken
        parts.append({name: loss.detach() for name, loss in losses.items()})
    means = torch.stack([torch.stack([part[name] for part in parts]).mean() for name in parts[0]])
    means = torch.cat([means, means.new_tensor([float(len(broken))])])
    *losses_of_all, broken_each = cast(torch.Tensor, accelerator.reduce(means, "mean")).tolist()
    of_all = dict(zip(parts[0], losses_of_all, strict=True))
    return of_all, broken, round(broken_each * accelerator.num_processes)


def _validated(
    accelerator: Accelerator,
    wrapped: nn.Module,
    plain: Callable[[nn.Module], BlipModel],
    validate: Validate,
    step: int,
) -> Mapping[str, float]:
    accelerator.wait_for_everyone()
    scores: Mapping[str, float] = {}
    model = plain(wrapped)
    if accelerator.is_main_process:
        scores = validate(model.eval(), step)
        wrapped.train()
    accelerator.wait_for_everyone()
    return scores


def _sum_of(accelerator: Accelerator, module: nn.Module) -> float:
    """Returns the sum of all weights of all processes, finite where each of them is and none is absurdly large."""
    sums = [own_part(parameter).detach().float().abs().sum() for parameter in module.parameters()]
    return float(cast(torch.Tensor, accelerator.reduce(torch.stack(sums).sum(), "sum")))


def _demand_finite(values: Mapping[str, float], number: int, folder: Path) -> None:
    if all(math.isfinite(value) for value in values.values()):
        return
    found = ", ".join(f"{name} {value:g}" for name, value in values.items())
    raise TrainingError(
        f"step {number + 1}: training has come to numbers that are not finite ({found}); {last_whole(folder)}. "
        "Lower 'optimiser.lr', lengthen 'schedule.warmup_steps' or set 'optimiser.clip_norm'; train into another --out."
    )
