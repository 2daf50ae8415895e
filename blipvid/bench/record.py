"""The record of one run: everything a reader needs to say which protocol gave a number, and to give it again.

Pydantic, because it is read back later; written whole or not at all. Nothing here names the machine or its user.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import ConfigDict, Field

from blipvid.core.config import Settings, validate
from blipvid.core.errors import ConfigError
from blipvid.core.files import prove_writable, replacing
from blipvid.core.types import Result

RECORD, PREDICTIONS, TABLE, SCORES = "run.json", "predictions.jsonl", "table.md", "scores.safetensors"
SUBMISSIONS = "submission*.json"
"""Names of files that evaluation servers take."""
CURVE, CURVE_PICTURE = "curve.csv", "curve.png"


class ModelRecord(Settings):
    """Which weights.

    Attributes:
        name: Name of the model file.
        spec: The model file as resolved.
        sha256: Of the checkpoint file.
        keys: How many keys of the checkpoint were matched, renamed, dropped, resized.
        image_size: Side of the pictures it took in this run, in pixels.
    """

    name: str
    spec: dict[str, Any]
    sha256: str
    keys: dict[str, int]
    image_size: int


class DataRecord(Settings):
    """Which annotations.

    Attributes:
        annotations: The file, below the data root where it lies there.
        sha256: Of that file.
        limit: Clips kept by `--limit`, or None.
        notes: What the loading of the set had to say.
        joined: File that gave columns which the annotations lack -> its sha256.
    """

    annotations: str
    sha256: str
    limit: int | None = None
    notes: tuple[str, ...] = ()
    joined: dict[str, str] = Field(default_factory=dict)


class SkippedClip(Settings):
    """A clip that gave no frames."""

    clip_id: str
    reason: str


class Coverage(Settings):
    """How much of the set the figures stand on.

    Attributes:
        clips_used: Clips that gave frames.
        clips: Clips asked for.
        items: Queries, questions or captions asked for.
        skipped: The clips in between.
    """

    clips_used: int
    clips: int
    items: int
    skipped: tuple[SkippedClip, ...] = ()


class Comparison(Settings):
    """A published row beside ours.

    Attributes:
        label: Name of the row.
        metrics: The published figures.
        differences: Ours minus published, where the two may be compared.
        source: Where the figures stand.
        checkpoint: Which weights gave them.
        protocol: How items were ranked, or questions answered.
        note: What to know before comparing.
    """

    label: str
    metrics: dict[str, float]
    differences: dict[str, float] = Field(default_factory=dict)
    source: str
    checkpoint: str | None = None
    protocol: str
    note: str | None = None


class Environment(Settings):
    """What the work was done on, without the names of machine and user.

    Attributes:
        python: Version.
        platform: Operating system and architecture.
        packages: Versions of the packages that can change a number; None where one is absent.
        device: Torch device and, of an accelerator, its model name.
        cpu_threads: Threads that torch uses in one operation.
        tf32: Whether float32 products and convolutions may use TF32 on this device.
    """

    python: str
    platform: str
    packages: dict[str, str | None]
    device: str
    cpu_threads: int
    tf32: dict[str, bool]


class Run(Settings):
    """The record of one benchmark on one model; `run.json`.

    Attributes:
        schema_version: Raised when a reader of older records would be wrong.
        blipvid: Version of this package.
        command: The command line.
        started, ended: With time zone.
        benchmark: The benchmark file as resolved, changes included.
        overrides: The changes made by `--set`, `--annotations` and `--media`.
        protocol: The whole protocol in a sentence.
        model: Which weights.
        data: Which annotations.
        runtime: Where and how fast: device, precision, batch size, workers.
        metrics: Flat; recall and accuracy in percent, ranks from 1.
        intervals: 95% interval by metric.
        published: Rows that this benchmark reproduces, beside ours.
        compare: Rows of other methods.
        not_comparable: Why no difference to a published row is shown; empty where it is.
        caveats: What a reader must know before comparing all the same.
        coverage: How much of the set the figures stand on.
        details: What the evaluation found besides: ties, pairs scored, protocols, answer list, readers and their notes,
            paired tests.
        environment: What the work was done on.
        timings_s: Seconds by stage.
    """

    # a figure that few resamples have can lack an interval; in JSON nan is a word then, which comes back as a number
    model_config = ConfigDict(allow_inf_nan=True, ser_json_inf_nan="strings")

    schema_version: Literal[1] = 1
    blipvid: str
    command: str
    started: datetime
    ended: datetime
    benchmark: dict[str, Any]
    overrides: tuple[str, ...] = ()
    protocol: str
    model: ModelRecord
    data: DataRecord
    runtime: dict[str, Any]
    metrics: dict[str, float]
    intervals: dict[str, tuple[float, float]]
    published: tuple[Comparison, ...] = ()
    compare: tuple[Comparison, ...] = ()
    not_comparable: tuple[str, ...] = ()
    caveats: tuple[str, ...] = ()
    coverage: Coverage
    details: dict[str, Any] = Field(default_factory=dict)
    environment: Environment
    timings_s: dict[str, float] = Field(default_factory=dict)

    @property
    def name(self) -> str:
        """Benchmark and model in two words."""
        return f"{self.benchmark['name']} · {self.model.name}"

    def without_home(self) -> Self:
        """Returns the record with the user's home folder written as `~` in every path."""
        home = str(Path.home())
        if len(home) <= 1:  # a home of "/" names nobody
            return self
        return self.model_validate_json(self.model_dump_json().replace(f"{home}/", "~/"))


def write_run(folder: Path, run: Run, result: Result, table: str) -> None:
    """Writes the folder of one run; `run.json` comes last, so where it stands the rest stands too.

    Args:
        folder: Made where absent; files of an earlier run in it are replaced or removed.
        run: The record.
        result: Gives predictions and, where there are some, score matrices and files for evaluation servers.
        table: The table in Markdown.

    Raises:
        ConfigError: The folder cannot be written.
    """
    try:
        for name in (RECORD, SCORES, CURVE, CURVE_PICTURE):
            (folder / name).unlink(missing_ok=True)
        for path in folder.glob(SUBMISSIONS):
            path.unlink()
        _write_text(folder / PREDICTIONS, "".join(_line(row) for row in result.predictions))
        if result.scores:  # not every task has dense scores to keep
            _write_scores(folder / SCORES, result.scores)
        for name, value in (result.submission or {}).items():
            _write_text(folder / name, json.dumps(value, ensure_ascii=False) + "\n")
        _write_text(folder / TABLE, table)
        _write_text(folder / RECORD, run.model_dump_json(indent=2) + "\n")
    except OSError as error:
        raise ConfigError(f"{folder}: cannot be written ({error.strerror}); give another --out.") from error


@contextmanager
def reserved(folder: Path) -> Iterator[None]:
    """Makes the folder of a run before any long work, so that hours of it are not lost at the end.

    Where the work in the block fails, a folder that is still empty goes again.

    Raises:
        ConfigError: It cannot be made or written.
    """
    try:
        prove_writable(folder)
    except OSError as error:
        raise ConfigError(f"{folder}: cannot be written ({error.strerror}); give another --out.") from error
    try:
        yield
    finally:
        with suppress(OSError):  # not empty: the run was written
            folder.rmdir()


def read_run(folder: Path) -> Run:
    """Reads the record of a run folder back.

    Raises:
        ConfigError: There is no record, or it is not one of this version.
    """
    path = folder if folder.suffix == ".json" else folder / RECORD
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: no run record ({error.strerror}); give the folder that a run wrote.") from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: is not a run record ({error}); give the folder that a run wrote.") from error
    if not isinstance(raw, dict):
        raise ConfigError(f"{path}: is not a run record; give the folder that a run wrote.")
    return validate(Run, raw, path)


def read_predictions(folder: Path) -> list[dict[str, Any]]:
    """Reads the predictions of a run folder, one mapping a query or answered question.

    Raises:
        ConfigError: They are absent or damaged.
    """
    path = folder / PREDICTIONS
    try:
        return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]
    except (OSError, json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: the predictions cannot be read ({error}).") from error


def find_runs(folders: Sequence[Path]) -> list[Path]:
    """Returns the run folders at or below the given folders, in a stable order.

    Raises:
        ConfigError: One of them holds no run.
    """
    found: dict[Path, None] = {}
    for folder in folders:
        below = [path.parent for path in sorted(folder.rglob(RECORD))]
        if not below:
            raise ConfigError(f"{folder}: holds no run record ({RECORD}); give the folder that a run wrote.")
        found |= dict.fromkeys(below)
    return list(found)


def _line(row: Mapping[str, Any]) -> str:
    return json.dumps(row, ensure_ascii=False) + "\n"


def _write_text(path: Path, text: str) -> None:
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _write_scores(path: Path, scores: Mapping[str, npt.NDArray[np.generic]]) -> None:
    from safetensors.numpy import save_file

    with replacing(path) as temporary:
        save_file({name: np.ascontiguousarray(matrix) for name, matrix in scores.items()}, temporary)
