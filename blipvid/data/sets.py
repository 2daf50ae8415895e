"""From a checked benchmark to the set that is evaluated: rows to clips and texts, every media file found beforehand."""

import hashlib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from blipvid.core.errors import ConfigError, DataError
from blipvid.core.protocols import AnnotationReader
from blipvid.core.registry import Registry
from blipvid.core.types import Clip, RetrievalSet
from blipvid.data.annotations import Row, choose_column, columns_of, find_annotations, read_rows, sha256_of
from blipvid.data.files import below, check_media, root_from_environment, some
from blipvid.data.schema import BenchmarkSpec, DatasetSpec, media_fields, media_path

READERS: Registry[AnnotationReader] = Registry("blipvid.annotations", "annotation reader")
"""Functions `read(dataset, root) -> rows`, each row a mapping of columns; without `fields`, of field names."""

BUILDERS: Registry[Any] = Registry("blipvid.builders", "dataset builder")
"""Functions `build(dataset, root or None) -> root` that make the media and say below which folder they lie."""


@dataclass(frozen=True, slots=True)
class LoadedSet:
    """A set ready to be evaluated, and where it came from.

    Attributes:
        items: Clips and texts.
        notes: What a reader of the result must know, one sentence each.
        annotations: The annotation file that was read; the data root where an announced reader gave the rows.
        sha256: Of that file; with a reader, of its rows written as JSON lines.
    """

    items: RetrievalSet
    notes: tuple[str, ...]
    annotations: Path
    sha256: str


@dataclass(frozen=True, slots=True)
class _Entry:
    """One annotated text."""

    where: str
    clip: Clip
    text: str
    id: str | None


def load_set(spec: BenchmarkSpec, data_root: Path | None, limit: int | None = None) -> LoadedSet:
    """Reads annotations, keeps the clips asked for, and checks that each media file is there.

    Args:
        spec: The checked benchmark.
        data_root: Folder below which annotations and media lie; None takes $BLIPVID_DATA.
        limit: Keep the first so many clips, with all their texts.

    Returns:
        The set: clips and texts in the order of their first row.

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
    rows, source, sha256 = _rows(dataset, root)
    entries = _kept(_entries(rows, dataset, source, root), dataset, root)
    items = _retrieval_set(entries, paragraph=dataset.paragraph, source=source)
    notes = _compare_with_expected(spec, items, source)
    if limit is not None and limit < len(items.clips):
        notes.append(f"only the first {limit} of {len(items.clips):,} clips are evaluated")
        items = _first(items, limit)
    notes += check_media(spec, items.clips)
    return LoadedSet(items, tuple(notes), source, sha256)


def _rows(dataset: DatasetSpec, root: Path | None) -> tuple[list[Row], Path, str]:
    if dataset.reader is None:
        assert dataset.annotations is not None  # the schema asks for one of the two
        source = find_annotations(below(root, dataset.annotations, dataset.obtain), dataset.obtain)
        return read_rows(source, dataset.records), source, sha256_of(source)
    source = below(root, dataset.annotations or ".", dataset.obtain)
    digest = hashlib.sha256()
    rows = []
    for number, row in enumerate(READERS.get(dataset.reader)(dataset, below(root, ".", dataset.obtain)), start=1):
        if not isinstance(row, Mapping):
            raise DataError(
                f"annotation reader '{dataset.reader}': row {number} is {type(row).__name__}, not a mapping."
            )
        rows.append(dict(row))
        digest.update(json.dumps(rows[-1], sort_keys=True, default=str).encode() + b"\n")
    if not rows:
        raise DataError(f"annotation reader '{dataset.reader}' gave no rows for {source}.")
    return rows, source, digest.hexdigest()


def _entries(rows: Sequence[Row], dataset: DatasetSpec, source: Path, root: Path | None) -> Iterable[_Entry]:
    columns = columns_of(rows)
    # A reader may already speak of fields, and then nothing needs mapping.
    mapped = dataset.fields or {column: column for column in columns}
    column = {field: choose_column(field, wanted, columns, source) for field, wanted in mapped.items()}
    for field in ("clip", "text", *media_fields(dataset.media)):
        if field not in column:
            raise DataError(f"{source}: rows have no '{field}'; they have: {', '.join(columns)}.")
    for number, row in enumerate(rows, start=1):
        where = f"{source}: row {number}"
        missing = [name for name in column.values() if name not in row]
        if missing:
            raise DataError(f"{where}: lacks '{missing[0]}'; every row needs it.")
        clip_id = _name(row[column["clip"]], column["clip"], where)
        values = {field: _name(row[column[field]], column[field], where) for field in media_fields(dataset.media)}
        start_s, end_s = (
            _seconds(row[column[f]], column[f], where) if f in column else None for f in ("start_s", "end_s")
        )
        if start_s is not None and end_s is not None and start_s >= end_s:
            raise DataError(
                f"{where}: the window of clip '{clip_id}' ends at {end_s} s, not after its start {start_s} s."
            )
        clip = Clip(clip_id, below(root, media_path(dataset.media, values), dataset.obtain), start_s, end_s)
        text = row[column["text"]]
        texts = text if isinstance(text, list) else [text]
        if not texts:
            raise DataError(f"{where}: clip '{clip_id}' has an empty list of texts; remove the row.")
        id_ = _name(row[column["id"]], column["id"], where) if "id" in column else None
        for k, one in enumerate(texts):
            if not isinstance(one, str):
                raise DataError(f"{where}: '{column['text']}' of clip '{clip_id}' is {type(one).__name__}, not text.")
            if not one.strip():
                raise DataError(f"{where}: clip '{clip_id}' has an empty text; fill it in or remove it.")
            yield _Entry(where, clip, one, f"{id_}#{k}" if id_ is not None and isinstance(text, list) else id_)


def _name(value: Any, column: str, where: str) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if isinstance(value, str) and value:
        return value
    shown = "is empty" if value in ("", None) else f"is {type(value).__name__} {value!r}"
    raise DataError(f"{where}: '{column}' {shown}; text or a whole number is expected.")


def _seconds(value: Any, column: str, where: str) -> float | None:
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    try:
        seconds = float(value)
    except (TypeError, ValueError):
        seconds = math.nan
    if not (math.isfinite(seconds) and seconds >= 0):
        raise DataError(f"{where}: '{column}' is {value!r}; seconds from the start of the file are expected.")
    return seconds


def _kept(entries: Iterable[_Entry], dataset: DatasetSpec, root: Path | None) -> list[_Entry]:
    if dataset.clips is None:
        return list(entries)
    path = below(root, dataset.clips, dataset.obtain)
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: the list of clips cannot be read ({error}); see key 'dataset.clips'.") from error
    wanted = dict.fromkeys(line.strip() for line in lines if line.strip())
    kept = [entry for entry in entries if entry.clip.id in wanted]
    absent = list(wanted.keys() - {entry.clip.id for entry in kept})
    if absent:
        raise DataError(
            f"{path}: {len(absent):,} of {len(wanted):,} listed clips have no annotation: {some(sorted(absent))}. "
            "List and annotations must be of the same release."
        )
    return kept


def _retrieval_set(entries: Sequence[_Entry], *, paragraph: bool, source: Path) -> RetrievalSet:
    clips: dict[str, Clip] = {}
    texts: dict[str, list[_Entry]] = {}
    for entry in entries:
        known = clips.setdefault(entry.clip.id, entry.clip)
        if known != entry.clip:
            raise DataError(
                f"{entry.where}: clip '{known.id}' is already another file or window ({known.path}, {known.start_s} to "
                f"{known.end_s} s). Map 'clip' to a column that differs for each window, and 'media' to the file's."
            )
        texts.setdefault(entry.clip.id, []).append(entry)
    if paragraph:
        entries = [replace(of[0], text=" ".join(entry.text.strip() for entry in of), id=None) for of in texts.values()]
    position = {clip_id: v for v, clip_id in enumerate(clips)}
    text_ids: dict[str, None] = {}
    counted: dict[str, int] = {}
    for entry in entries:
        k = counted[entry.clip.id] = counted.get(entry.clip.id, -1) + 1
        text_id = entry.id if entry.id is not None else f"{entry.clip.id}#{k}"
        if text_id in text_ids:
            raise DataError(
                f"{entry.where}: text id '{text_id}' occurs twice; map 'id' to a column of unique ids, or not."
            )
        text_ids[text_id] = None
    if not entries:
        raise DataError(f"{source}: no text is left to evaluate.")
    return RetrievalSet(
        clips=tuple(clips.values()),
        texts=tuple(entry.text for entry in entries),
        text_ids=tuple(text_ids),
        text_clip=np.array([position[entry.clip.id] for entry in entries], dtype=np.int64),
    )


def _first(items: RetrievalSet, limit: int) -> RetrievalSet:
    kept = [q for q, v in enumerate(items.text_clip) if v < limit]
    return RetrievalSet(
        clips=items.clips[:limit],
        texts=tuple(items.texts[q] for q in kept),
        text_ids=tuple(items.text_ids[q] for q in kept),
        text_clip=items.text_clip[kept],
    )


def _compare_with_expected(spec: BenchmarkSpec, items: RetrievalSet, source: Path) -> list[str]:
    found = {"clips": len(items.clips), "texts": len(items.texts)}
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


def _other_annotations(spec: BenchmarkSpec) -> bool:
    keys = [change.partition("=")[0] for change in spec.overrides]
    return any(key.startswith("dataset.") and not key.startswith(("dataset.media", "dataset.expect")) for key in keys)
