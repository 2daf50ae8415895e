"""From what was asked for to run folders: the main job, one benchmark on one model at a time.

Knows the order of the work and nothing of how any of it is done.
"""

import dataclasses
import shlex
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import blipvid
from blipvid.bench.caching import cache_caveats, feature_cache, told_of
from blipvid.bench.labels import terms_of
from blipvid.bench.layout import markdown_page
from blipvid.bench.protocol import caveats, protocol_sentence, published_beside, why_not_comparable
from blipvid.bench.record import Coverage, DataRecord, ModelRecord, Run, SkippedClip, reserved, write_run
from blipvid.bench.rerank_curve import write_curve
from blipvid.core.errors import BlipvidError, ConfigError
from blipvid.core.protocols import LoadClips, Progress
from blipvid.core.types import Result, Runtime
from blipvid.data.spec import BenchmarkSpec, list_benchmarks, load_benchmark

if TYPE_CHECKING:
    from blipvid.data.sets import LoadedSet
    from blipvid.evaluate.share import Share
    from blipvid.models.zoo import LoadedModel

T = TypeVar("T")

DEMO = "demo-"
"""Begin of the names of benchmarks that need no download; they run where none is named."""


@dataclass(frozen=True, slots=True)
class Request:
    """What the command line asked for.

    Attributes:
        benchmarks: Names or paths; none means the demo benchmarks.
        models: Names or paths; none means each benchmark's own.
        data_root: Folder below which annotations and media lie, or None.
        out: Folder to write into, or None for one below `runs`.
        limit: Clips to keep of each benchmark, or None.
        annotations: Annotation file in place of the benchmark's own.
        media: Media pattern in place of the benchmark's own.
        overrides: `key=value` each.
        save_scores: Whether score matrices are written.
        curve: Whether recall by the number of re-ranked candidates is written.
        cache: How features are kept between runs, `fp32` or `fp16`, or None where they are not.
        command: The command line, for the record.
    """

    benchmarks: Sequence[str] = ()
    models: Sequence[str] = ()
    data_root: Path | None = None
    out: Path | None = None
    limit: int | None = None
    annotations: Path | None = None
    media: str | None = None
    overrides: Sequence[str] = ()
    save_scores: bool = False
    curve: bool = False
    cache: str | None = None
    command: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Job:
    """One benchmark on one model, and where the result goes."""

    benchmark: BenchmarkSpec
    model: str
    folder: Path

    @property
    def name(self) -> str:
        """Benchmark and model in two words."""
        return f"{self.benchmark.name} · {self.model}"


def plan(request: Request, now: datetime) -> list[Job]:
    """Checks all benchmark and model files before any work and says where each run goes.

    Args:
        request: What was asked for.
        now: Names the folder where no `out` is given.

    Returns:
        One job for each benchmark and model.

    Raises:
        ConfigError: Whatever is wrong with any name, file or option.
    """
    from blipvid.models.zoo import load_spec

    named = list(dict.fromkeys(request.benchmarks)) or [name for name in list_benchmarks() if name.startswith(DEMO)]
    if len(named) > 1 and (request.annotations or request.media):
        raise ConfigError("--annotations and --media belong to one benchmark; name just that one.")
    specs = _all_or_error(
        [partial(load_benchmark, name, request.overrides, request.annotations, request.media) for name in named]
    )
    if request.curve and not any(getattr(spec.settings, "rerank_top_k", 0) for spec in specs):
        raise ConfigError("--curve shows what re-ranking does, and nothing is re-ranked; leave it out.")
    pairs = [(spec, model) for spec in specs for model in (request.models or [_own_model(spec)])]
    models = _all_or_error([partial(load_spec, model) for _, model in pairs])
    of_what = "demo" if not request.benchmarks else specs[0].name
    out = request.out or Path("runs") / f"{now:%Y%m%d-%H%M%S}-{of_what}"
    jobs = {
        out / spec.name / model.name if len(pairs) > 1 else out: Job(spec, asked, out)
        for (spec, asked), model in zip(pairs, models, strict=True)
    }
    if len(jobs) < len(pairs):
        raise ConfigError("two benchmarks or two models have the same name, so their runs would share a folder.")
    return [replace(job, folder=folder) for folder, job in jobs.items()]


def run(job: Job, request: Request, runtime: Runtime, progress: Progress, share: "Share") -> Run:
    """Does one job and writes its folder.

    Args:
        job: From `plan`.
        request: What was asked for.
        runtime: Where and how fast.
        progress: Told how far the work is.
        share: Which part of the work this process does.

    Returns:
        The record, which is also in `run.json` of the job's folder.

    Raises:
        BlipvidError: Anything that stopped the work; nothing is written then.
        DoneElsewhere: The first of several processes has the record.
    """
    from blipvid.data.sets import load_set
    from blipvid.evaluate.run import evaluate, task_for
    from blipvid.media.loader import load_clips
    from blipvid.models.zoo import load_model, load_spec, model_class

    started, begin = datetime.now(UTC), time.perf_counter()
    spec = job.benchmark
    # Data first: a missing file should not show only after a checkpoint of gigabytes was fetched; nor should a model
    # that cannot do the task.
    with share.first_of_machine_ahead():
        data = load_set(spec, request.data_root, request.limit)
        model = load_spec(job.model)
        task_for(data.items, model_class(model), spec.settings, f"model '{model.name}'")
        loaded = load_model(job.model, device=runtime.device, precision=runtime.precision, image_size=spec.frames.size)
    prepared = time.perf_counter()
    load: LoadClips = partial(load_clips, settings=spec.frames, workers=runtime.workers)
    if request.cache:
        load = feature_cache(load, spec, loaded, runtime, request.cache)
    with reserved(job.folder) if share.first else nullcontext(), _memory_error_explained(runtime):
        result = evaluate(data.items, loaded.model, load, spec.settings, runtime, progress, request.save_scores, share)
        result = replace(result, details={**result.details, **told_of(load)})
        timings = {"prepare": prepared - begin, "evaluate": time.perf_counter() - prepared}
        record = _record(spec, request, runtime, loaded, data, result, started, timings)
        write_run(job.folder, record, result, markdown_page(record))
        if request.curve and result.curve:
            write_curve(job.folder, result.curve, record.name, terms_of(record))
    return record


def _record(
    spec: BenchmarkSpec,
    request: Request,
    runtime: Runtime,
    loaded: "LoadedModel",
    data: "LoadedSet",
    result: Result,
    started: datetime,
    timings: dict[str, float],
) -> Run:
    from blipvid.bench.environment import describe_environment

    not_comparable = why_not_comparable(spec, request.limit, result.n_clips)
    published, compare = published_beside(spec, result.metrics, loaded.spec.name, comparable=not not_comparable)
    return Run(
        blipvid=blipvid.__version__,
        command=shlex.join(request.command),
        started=started,
        ended=datetime.now(UTC),
        benchmark=spec.model_dump(mode="json", exclude={"overrides"}),
        overrides=spec.overrides,
        protocol=protocol_sentence(spec),
        model=ModelRecord(
            name=loaded.spec.name,
            spec=loaded.spec.model_dump(mode="json"),
            sha256=loaded.sha256,
            keys={what: len(names) for what, names in dataclasses.asdict(loaded.report).items()},
            image_size=loaded.image_size,
        ),
        data=DataRecord(
            annotations=_below(data.annotations, request.data_root),
            sha256=data.sha256,
            limit=request.limit,
            notes=data.notes,
            joined={_below(path, request.data_root): sha256 for path, sha256 in data.joined.items()},
        ),
        runtime=dataclasses.asdict(runtime),
        metrics=dict(result.metrics),
        intervals=dict(result.intervals),
        published=published,
        compare=compare,
        not_comparable=not_comparable,
        caveats=(*caveats(spec, loaded, result.metrics, runtime.precision), *cache_caveats(result.details)),
        coverage=Coverage(
            clips_used=result.n_clips - len(result.skipped),
            clips=result.n_clips,
            items=result.n_items,
            skipped=tuple(SkippedClip(clip_id=clip.clip_id, reason=clip.reason) for clip in result.skipped),
        ),
        details=dict(result.details),
        environment=describe_environment(runtime.device),
        timings_s={stage: round(seconds, 3) for stage, seconds in timings.items()},
    ).without_home()


def _own_model(spec: BenchmarkSpec) -> str:
    if spec.model is None:
        raise ConfigError(
            f"benchmark '{spec.name}' names no model (key 'model'); give one by --model NAME ('blipvid models list')."
        )
    return spec.model


def _below(path: Path, root: Path | None) -> str:
    return str(path.relative_to(root) if root is not None and path.is_relative_to(root) else path)


def _all_or_error(loads: Sequence[Callable[[], T]]) -> list[T]:
    """Calls every load, so that all mistakes are named at once and not one a try."""
    loaded: list[T] = []
    errors: list[BlipvidError] = []
    for load in loads:
        try:
            loaded.append(load())
        except BlipvidError as error:
            errors.append(error)
    if len(errors) == 1:
        raise errors[0]
    if errors:
        raise ConfigError(" ".join(dict.fromkeys(str(error) for error in errors)))
    return loaded


@contextmanager
def _memory_error_explained(runtime: Runtime) -> Iterator[None]:
    import torch

    try:
        yield
    except torch.cuda.OutOfMemoryError as error:
        raise BlipvidError(
            f"{runtime.device} has too little memory for batches of {runtime.batch_size} frames in "
            f"{runtime.precision}; lower --batch-size, or --memory where that was re-ranking, or use --precision bf16."
        ) from error
