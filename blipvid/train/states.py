"""The folder of a run: its recipe, the last whole state to go on from, and one line of metrics a step.

Whatever ends a process, SIGKILL and a full disk included, the last whole state is still there and stays the last.
"""

import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TextIO

from accelerate import Accelerator
from torch.distributed.checkpoint import CheckpointException

from blipvid.core.errors import ConfigError, TrainingError
from blipvid.core.files import prove_writable, replacing
from blipvid.train.recipe import Recipe

STATE = "state-"
METRICS = "metrics.jsonl"
RECIPE = "recipe.json"
PROCESSES = "processes"


def check_folder(folder: Path, recipe: Recipe, processes: int) -> None:
    """Makes sure that a run can be done or gone on with in a folder; nothing stays written.

    Raises:
        ConfigError: It holds a run of another recipe, or of as many processes as cannot go on with it; or it cannot be
            written.
    """
    refusals = {
        RECIPE: f"{folder} holds a run of another recipe, or of this one before it was changed ({RECIPE} there); give "
        "another --out, or delete the folder.",
        PROCESSES: f"{folder} holds a run of another number of processes than {processes} ({PROCESSES} there), each of "
        "which has its own share of every step and its own chance; start as many, or give another --out.",
    }
    try:
        for name, said in _said_of(recipe, processes).items():
            if (folder / name).is_file() and (folder / name).read_text(encoding="utf-8") != said:
                raise ConfigError(refusals[name])
        prove_writable(folder)
    except OSError as error:
        raise _unwritable(folder, error) from error


def claim(folder: Path, recipe: Recipe, processes: int) -> None:
    """Writes into a folder whose run it is, once it is checked.

    Raises:
        ConfigError: It cannot be written.
    """
    try:
        for name, said in _said_of(recipe, processes).items():
            with replacing(folder / name) as temporary:
                temporary.write_text(said, encoding="utf-8")
    except OSError as error:
        raise _unwritable(folder, error) from error


def _said_of(recipe: Recipe, processes: int) -> dict[str, str]:
    return {RECIPE: recipe.model_dump_json(indent=2), PROCESSES: f"{processes}\n"}


def _unwritable(folder: Path, error: OSError) -> ConfigError:
    return ConfigError(f"{folder} cannot be written ({error.strerror}); give another --out.")


def whole_states(folder: Path) -> list[tuple[int, Path]]:
    """Returns the whole states in a folder, by their steps."""
    numbered = ((path.name.removeprefix(STATE), path) for path in folder.glob(f"{STATE}*"))
    return sorted((int(number), path) for number, path in numbered if number.isdecimal())


def resume(accelerator: Accelerator, folder: Path) -> int:
    """Takes up the last whole state and returns its step; 0 where there is none.

    Raises:
        TrainingError: It cannot be read.
    """
    found = whole_states(folder)
    if not found:
        return 0
    step, path = found[-1]
    try:
        accelerator.load_state(str(path))
    except (OSError, RuntimeError, ValueError, KeyError, CheckpointException) as error:
        raise TrainingError(
            f"{path}: this state cannot be taken up ({str(error).strip().splitlines()[0]}); delete the folder {folder} "
            "to begin anew."
        ) from error
    return step


def save(accelerator: Accelerator, folder: Path, step: int) -> None:
    """Writes a state under a temporary name; only a whole one gets its own, and only then the one before goes.

    Raises:
        TrainingError: It cannot be written, as when the disk is full; the one before is still there.
    """
    unfinished = folder / f".{STATE}unfinished"
    try:
        if accelerator.is_main_process:
            shutil.rmtree(unfinished, ignore_errors=True)
        accelerator.wait_for_everyone()
        # parts that two towers share are one tensor under two names, which safetensors would not take
        accelerator.save_state(str(unfinished), safe_serialization=False)
        accelerator.wait_for_everyone()
        if accelerator.is_main_process:
            older = whole_states(folder)
            unfinished.rename(folder / f"{STATE}{step:08d}")
            for _, path in older:
                shutil.rmtree(path)
    # torch says RuntimeError when the disk is full, and CheckpointException where weights lie in shards
    except (OSError, RuntimeError, CheckpointException) as error:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise TrainingError(
            f"{folder}: the state of step {step} cannot be written ({error}); {last_whole(folder)}. Make room and "
            "start the same command again."
        ) from error
    accelerator.wait_for_everyone()


def last_whole(folder: Path) -> str:
    """Says for messages which state is there to go on from."""
    found = whole_states(folder)
    return f"the state of step {found[-1][0]} in {folder} is whole" if found else "there is no state yet"


def read_metrics(path: Path) -> Iterator[dict[str, float]]:
    """Yields what `metrics.jsonl` says of each step; a line cut off by a kill is left out."""
    if path.is_file():
        for line in path.read_text(encoding="utf-8").splitlines(keepends=True):
            if line.endswith("\n"):
                yield json.loads(line)


def open_metrics(folder: Path, step: int) -> TextIO:
    """Opens the metrics to go on after a step; lines of steps that are about to be done again are dropped."""
    path = folder / METRICS
    kept = [line for line in read_metrics(path) if line["step"] <= step]
    with replacing(path) as temporary:
        temporary.write_text("".join(json.dumps(line) + "\n" for line in kept), encoding="utf-8")
    return path.open("a", buffering=1, encoding="utf-8")


def write_metrics(file: TextIO, step: int, values: Mapping[str, float]) -> None:
    """Writes the line of one step."""
    file.write(json.dumps({"step": step, **values}) + "\n")
