"""From a checked benchmark to the set that is evaluated, every media file found beforehand."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from blipvid.core.errors import CapabilityError, ConfigError, DataError
from blipvid.core.types import CaptionSet, DialogSet, EvaluationSet, PairSet, RetrievalSet
from blipvid.data.annotations import columns_of, sha256_of
from blipvid.data.answers import read_answer_list
from blipvid.data.caption_set import caption_set
from blipvid.data.dialog_set import dialog_set
from blipvid.data.entries import Entry, read_entries
from blipvid.data.files import check_media, root_from_environment
from blipvid.data.joining import joined, needs_join
from blipvid.data.pair_set import pair_set
from blipvid.data.question_sets import choice_set, question_set
from blipvid.data.retrieval_set import retrieval_set
from blipvid.data.schema import (
    BenchmarkSpec,
    CaptionBenchmark,
    ChoiceBenchmark,
    DialogBenchmark,
    PairsBenchmark,
    QaBenchmark,
    RetrievalBenchmark,
)
from blipvid.data.sources import BUILDERS, read_source

S = TypeVar("S", bound=EvaluationSet)

KEEP_THE_ANNOTATIONS = ("dataset.media", "dataset.expect", "dataset.train", "dataset.answers", "dataset.relevance")
"""Keys whose change leaves clips and questions as they are."""

OF_CLIPS, SHARED = ("clips", "captions"), ("answer_list", "listed_answers")
"""Parts of sets that count clips, and parts that belong to all of a set; the others count what is asked."""


@dataclass(frozen=True, slots=True)
class LoadedSet:
    """A set ready to be evaluated, and where it came from.

    Attributes:
        items: Clips, and texts or questions about them.
        notes: What a reader of the result must know, one sentence each.
        annotations: The annotation file that was read; the data root where an announced reader gave the rows.
        sha256: Of that file; with a reader, of its rows written as JSON lines.
        joined: The file that gave columns which the annotations lack, where one was read, and its SHA-256.
    """

    items: EvaluationSet
    notes: tuple[str, ...]
    annotations: Path
    sha256: str
    joined: Mapping[Path, str] = field(default_factory=dict)


def load_set(spec: BenchmarkSpec, data_root: Path | None, limit: int | None = None) -> LoadedSet:
    """Reads annotations, keeps the clips asked for, and checks that each media file is there.

    Args:
        spec: The checked benchmark; its class decides which set is made.
        data_root: Folder below which annotations and media lie; None takes $BLIPVID_DATA.
        limit: Keep the first so many clips, with everything asked about them.

    Returns:
        The set: clips and texts or questions in the order of their first row.

    Raises:
        ConfigError: No data root is known, or no such reader or builder.
        DataError: The annotations are absent, unreadable or not those the benchmark expects; or media are missing,
            unless the benchmark's settings say `on_error: skip`.
    """
    if limit is not None and limit < 1:
        raise ConfigError(f"a limit of {limit} clips leaves nothing to evaluate; give 1 or more.")
    dataset = spec.dataset
    root = data_root if data_root is not None else root_from_environment()
    if dataset.builder is not None:
        root = BUILDERS.get(dataset.builder)(dataset, root)
    source = read_source(dataset, root)
    rows, also_read = source.rows, {}
    if dataset.join is not None and needs_join(spec, columns_of(rows)):
        rows, other = joined(rows, dataset.join, source.path, root, dataset.obtain)
        also_read = {other: sha256_of(other)}
    items = _items(spec, read_entries(spec, rows, source.path, root), source.path, root)
    notes = _compare_with_expected(spec, items, source.path)
    if limit is not None and limit < len(items.clips):
        notes.append(f"only the first {limit} of {len(items.clips):,} clips are evaluated")
        items = _first(items, limit)
    notes += check_media(spec, items.clips)
    return LoadedSet(items, tuple(notes), source.path, source.sha256, also_read)


def _items(spec: BenchmarkSpec, entries: Sequence[Entry], source: Path, root: Path | None) -> EvaluationSet:
    match spec:
        case RetrievalBenchmark():
            return retrieval_set(entries, paragraph=spec.dataset.paragraph)
        case QaBenchmark():
            return question_set(entries, spec.dataset.kinds, read_answer_list(spec, root))
        case ChoiceBenchmark():
            return choice_set(entries, spec.dataset.kinds, spec.dataset.options, source)
        case CaptionBenchmark():
            return caption_set(entries, spec.dataset.kinds, ids_in_names=spec.dataset.ids_in_names)
        case PairsBenchmark():
            return pair_set(entries)
        case DialogBenchmark():
            return dialog_set(entries)
    raise CapabilityError(f"{spec.name}: task '{spec.task}' makes no set that could be evaluated; use a newer version.")


def _first(items: S, limit: int) -> S:
    """Keeps the first clips, and of everything that is counted by text, question or clip what belongs to them."""
    kept = np.flatnonzero(_owners(items) < limit)
    names = [one.name for one in fields(items) if one.name not in (*OF_CLIPS, *SHARED)]
    of_clips = {one.name: getattr(items, one.name)[:limit] for one in fields(items) if one.name in OF_CLIPS}
    return replace(items, **of_clips, **{name: _pick(getattr(items, name), kept) for name in names})


def _owners(items: EvaluationSet) -> npt.NDArray[np.int64]:
    """Returns for each thing that is asked about a clip the position of that clip."""
    match items:
        case RetrievalSet():
            return items.text_clip
        case CaptionSet():
            return np.arange(len(items.clips))
        case PairSet():
            return items.pairs.max(axis=1)
        case DialogSet():
            return items.round_clip
        case _:
            return items.question_clip


def _pick(values: Any, kept: Any) -> Any:
    return tuple(values[i] for i in kept) if isinstance(values, tuple) else values[kept]


def _compare_with_expected(spec: BenchmarkSpec, items: EvaluationSet, source: Path) -> list[str]:
    found = {"clips": len(items.clips)} | _asked(items)
    wanted = spec.dataset.expect.model_dump(exclude_none=True)
    wrong = [
        f"{found[what]:,} {what} instead of {number:,}" for what, number in wanted.items() if found[what] != number
    ]
    if not wrong:
        return []
    sentence = f"{source} holds {' and '.join(wrong)}"
    if _other_annotations(spec):
        return [f"{sentence}; these are not the benchmark's own annotations, so published numbers may not compare"]
    raise DataError(
        f"{sentence} (key 'dataset.expect' of {spec.name}); it is another version or cut short. "
        "To evaluate it all the same, give it by --annotations."
    )


def _asked(items: EvaluationSet) -> dict[str, int]:
    match items:
        case RetrievalSet():
            return {"texts": len(items.texts)}
        case CaptionSet():
            return {"captions": sum(map(len, items.references))}
        case PairSet():
            return {"pairs": len(items.sentences)}
        case DialogSet():
            return {"rounds": len(items.questions)}
        case _:
            return {"questions": len(items.questions)}


def _other_annotations(spec: BenchmarkSpec) -> bool:
    keys = [change.partition("=")[0] for change in spec.overrides]
    return any(key.startswith("dataset.") and not key.startswith(KEEP_THE_ANNOTATIONS) for key in keys)
