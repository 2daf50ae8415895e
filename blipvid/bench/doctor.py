"""Looks at machine and data before a long run: each thing found well, or wrong with what to do about it.

Downloads nothing.
"""

import sys
from collections import Counter
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import blipvid
from blipvid.bench.labels import rounded_down
from blipvid.core.errors import BlipvidError, DecodeError
from blipvid.core.files import prove_writable
from blipvid.core.places import cache_folder
from blipvid.core.types import AnswerList, CaptionSet, Clip, DialogSet, PairSet, QuestionSet, RetrievalSet
from blipvid.data.spec import BenchmarkSpec, load_benchmark

if TYPE_CHECKING:
    from rich.console import Console

    from blipvid.core.settings import TaskSettings
    from blipvid.data.sets import EvaluationSet, LoadedSet

FREE_GB_WANTED = 10
"""Features of the largest shipped benchmark spill less than this to the cache folder."""


@dataclass(frozen=True, slots=True)
class Question:
    """What to look at besides the machine; as for a run."""

    benchmark: str | None = None
    model: str | None = None
    data_root: Path | None = None
    annotations: Path | None = None
    media: str | None = None
    overrides: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at.

    Attributes:
        fine: Whether a run can go on with it.
        about: What was looked at.
        found: What was found, and what to do where it is not fine.
    """

    fine: bool
    about: str
    found: str


def examine(question: Question) -> Iterator[Check]:
    """Yields one check after the other, cheap ones first; stops where the next would make no sense."""
    yield from _machine()
    model, task = question.model, None
    if question.benchmark is not None:
        try:
            spec = load_benchmark(question.benchmark, question.overrides, question.annotations, question.media)
        except BlipvidError as error:
            yield Check(False, "benchmark", str(error))
            return
        yield Check(True, "benchmark", f"{spec.name}: {spec.about}" if spec.about else spec.name)
        loaded = yield from _data(spec, question.data_root)
        task = (loaded.items, spec.settings) if loaded else None
        model = model or spec.model
        if model is None:
            yield Check(False, "model", "the benchmark names none (key 'model'); give one by --model NAME")
    if model is not None:
        yield _model(model, task)


def show_checks(checks: Iterator[Check], console: "Console") -> bool:
    """Prints each check as it comes and returns whether all are fine."""
    fine = True
    for check in checks:
        word = "[green]ok     [/]" if check.fine else "[red]problem[/]"
        console.print(word, f"{check.about}:", end=" ", highlight=False, soft_wrap=True)
        console.print(check.found, markup=False, highlight=False, soft_wrap=True)
        fine = fine and check.fine
    return fine


def _machine() -> Iterator[Check]:
    import torch

    from blipvid.bench.environment import PACKAGES, package_version
    from blipvid.models.devices import choose_device

    yield Check(True, "blipvid", f"{blipvid.__version__} on Python {sys.version.split()[0]}")
    versions = {name: package_version(name) for name in PACKAGES}
    present = ", ".join(f"{name} {version}" for name, version in versions.items() if version)
    absent = ", ".join(name for name, version in versions.items() if version is None and name != "decord")
    advice = f"; missing: {absent}, install blipvid again" if absent else ""
    yield Check(not absent, "packages", f"{present}{advice}")
    decord = versions["decord"]
    yield Check(True, "decord", decord or "not installed; PyAV reads every clip, with the same frames")
    device = choose_device("auto")
    name = torch.cuda.get_device_name() if device == "cuda" else f"{torch.get_num_threads()} threads"
    yield Check(True, "device", f"{device} ({name})")
    yield _cache()


def _cache() -> Check:
    import shutil

    folder = cache_folder()
    try:
        prove_writable(folder)
    except OSError as error:
        advice = "set BLIPVID_CACHE to a folder that can be written"
        return Check(False, "cache folder", f"{folder} cannot be written ({error.strerror}); {advice}")
    free = shutil.disk_usage(folder).free / 1e9
    advice = "" if free >= FREE_GB_WANTED else "; large benchmarks need more, set BLIPVID_CACHE to another disk"
    return Check(True, "cache folder", f"{folder} ({free:,.0f} GB free{advice})")


def _data(spec: BenchmarkSpec, data_root: Path | None) -> Generator[Check, None, "LoadedSet | None"]:
    from blipvid.data.sets import load_set

    try:
        loaded = load_set(spec, data_root)
    except BlipvidError as error:
        yield Check(False, "data", str(error))
        # Some files missing does not keep the others from being looked at.
        lenient = spec.model_copy(update={"settings": spec.settings.model_copy(update={"on_error": "skip"})})
        try:
            loaded = load_set(lenient, data_root)
        except BlipvidError:
            return None
    yield Check(True, "annotations", f"{loaded.annotations}: {_counts(loaded.items)}")
    if isinstance(loaded.items, QuestionSet) and (listed := loaded.items.answer_list):
        yield Check(True, "answer list", _list_words(listed, loaded.items.answers))
    for note in loaded.notes:
        yield Check(True, "note", note)
    yield _first_clip(spec, loaded.items.clips)
    return loaded


def _counts(items: "EvaluationSet") -> str:
    if isinstance(items, RetrievalSet):
        return f"{len(items.clips):,} clips, {len(items.texts):,} texts"
    if isinstance(items, CaptionSet):
        return f"{len(items.clips):,} clips, {sum(map(len, items.references)):,} captions"
    if isinstance(items, PairSet):
        return f"{len(items.clips):,} pictures, {len(items.sentences):,} sentences about pairs of them"
    if isinstance(items, DialogSet):
        return f"{len(items.clips):,} pictures, {len(items.questions):,} rounds of dialog"
    kinds = ", ".join(f"{kind} {count:,}" for kind, count in Counter(items.kinds).most_common())
    return f"{len(items.clips):,} clips, {len(items.questions):,} questions ({kinds})"


def _list_words(listed: AnswerList, answers: Sequence[Sequence[str]]) -> str:
    from blipvid.evaluate.answers import measures_for

    size = f"{listed.name}: {len(listed.answers):,} answers"
    if not (measures := measures_for(answers)):
        return size
    best = rounded_down(measures[0].ceiling(answers, listed.answers))
    return f"{size}, the best of which have {best} {measures[0].name}"


def _first_clip(spec: BenchmarkSpec, clips: Sequence[Clip]) -> Check:
    from blipvid.media.loader import load_clips

    clip = next((clip for clip in clips if clip.path.is_file()), None)
    if clip is None:
        return Check(False, "first clip", "no media file is there")
    try:
        ((_, frames),) = load_clips([clip], spec.frames, workers=1)
    except BlipvidError as error:
        return Check(False, "first clip", str(error))
    if isinstance(frames, DecodeError):
        return Check(False, "first clip", str(frames))
    notes = "".join(f"; {note}" for note in frames.notes)
    return Check(True, "first clip", f"{clip.path.name}: frames {frames.indices.tolist()} by {frames.backend}{notes}")


def _model(name: str, task: "tuple[EvaluationSet, TaskSettings] | None") -> Check:
    from blipvid.evaluate.run import task_for
    from blipvid.models.zoo import load_model, load_spec, model_class

    try:
        spec = load_spec(name)
        kind = model_class(spec)
        if task is not None:
            items, settings = task
            task_for(items, kind, settings, f"model '{spec.name}'")
        if spec.checkpoint.startswith(("hf:", "https://", "http://")):
            advice = f"fetched on first use; 'blipvid models fetch {name}' does it now"
            return Check(True, "model", f"{spec.name}: {spec.checkpoint} ({advice})")
        loaded = load_model(name)
    except BlipvidError as error:
        return Check(False, "model", str(error))
    return Check(True, "model", f"{spec.name}: {loaded.source.name} loads ({loaded.report})")
