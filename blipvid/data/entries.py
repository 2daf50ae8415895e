"""From rows to entries: one annotated row each, its clip found and its values named by field instead of by column."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from blipvid.core.errors import DataError
from blipvid.core.types import Clip
from blipvid.data.annotations import Row, choose_column, columns_of
from blipvid.data.dataset_schema import IMAGE, DatasetSpec
from blipvid.data.files import below, some
from blipvid.data.patterns import filled, names_in
from blipvid.data.schema import BenchmarkSpec

WINDOW = ("start_s", "end_s")


@dataclass(frozen=True, slots=True)
class Entry:
    """One row of the annotations.

    Attributes:
        where: File and number of the row, for messages.
        clips: The clip it speaks of; or two pictures, in tasks that ask about pairs.
        row: All its columns.
        columns: Field -> column, for the fields that the benchmark maps and uses.
    """

    where: str
    clips: tuple[Clip, ...]
    row: Row
    columns: Mapping[str, str]

    @property
    def clip(self) -> Clip:
        """The clip, or the first of two."""
        return self.clips[0]

    def value(self, field: str) -> Any:
        """Returns the value of a mapped field as annotated."""
        return self.row[self.columns[field]]

    def word(self, field: str) -> str:
        """Returns a value that may be text or a whole number, as text.

        Raises:
            DataError: It is neither, or empty.
        """
        return _word(self.value(field), self.columns[field], self.where)

    def id(self) -> str | None:
        """Returns the id of what the row holds, or None where none is mapped."""
        return self.word("id") if "id" in self.columns else None

    def checked_text(self, value: Any, field: str) -> str:
        """Returns a value, of the field or from a list in it, that must be text.

        Raises:
            DataError: It is something else, or empty.
        """
        if not isinstance(value, str):
            raise DataError(
                f"{self.where}: '{self.columns[field]}' of clip '{self.clip.id}' is {type(value).__name__}, not text."
            )
        if not value.strip():
            raise DataError(f"{self.where}: clip '{self.clip.id}' has an empty {field}; fill it in or remove it.")
        return value


def read_entries(spec: BenchmarkSpec, rows: Sequence[Row], source: Path, root: Path | None) -> list[Entry]:
    """Names the values of every row by field and finds its clip; keeps the rows of the listed clips.

    Args:
        spec: The checked benchmark.
        rows: Rows with all columns, joined ones too.
        source: Their file, for messages.
        root: The data root.

    Raises:
        ConfigError: No data root is known.
        DataError: A needed column is missing, or a row lacks a value or holds an impossible one; or a listed clip has
            no row.
    """
    columns = chosen_columns(spec, columns_of(rows), source)
    entries = (_entry(spec, row, columns, f"{source}: row {number}", root) for number, row in enumerate(rows, start=1))
    kept = _of_listed_clips(entries, spec, root)
    if not kept:
        raise DataError(f"{source}: nothing is left to evaluate; the list of clips names none.")
    return kept


def chosen_columns(spec: BenchmarkSpec, columns: list[str], source: Path) -> dict[str, str]:
    """Returns field -> column for the fields that are mapped and used.

    Raises:
        DataError: The file has none of the columns that a field may stand for, or rows lack a needed field.
    """
    # A reader may already speak of fields, and then nothing needs mapping.
    mapped = spec.dataset.fields or {column: column for column in columns}
    used = spec.used_fields()
    chosen = {
        field: choose_column(wanted, columns, source, f"dataset.fields.{field}")
        for field, wanted in mapped.items()
        if field in used
    }
    for field in spec.needed_fields():
        if field not in chosen:
            raise DataError(f"{source}: rows have no '{field}'; they have: {', '.join(columns)}.")
    return chosen


def clips_of(entries: Iterable[Entry]) -> dict[str, Clip]:
    """Returns id -> clip, in the order of their first row.

    Raises:
        DataError: Two rows give one id to different files or windows.
    """
    clips: dict[str, Clip] = {}
    for entry in entries:
        for clip in entry.clips:
            known = clips.setdefault(clip.id, clip)
            if known != clip:
                raise DataError(
                    f"{entry.where}: clip '{known.id}' is already another file or window ({known.path}, "
                    f"{known.start_s} to {known.end_s} s). Map 'clip' to a column that differs for each window, and "
                    "'media' to the file's."
                )
    return clips


def positions(clips: Iterable[str], ids: Iterable[str]) -> npt.NDArray[np.int64]:
    """Returns, for each of Q clip ids, its position (Q,) int64 among the clips."""
    at = {clip_id: v for v, clip_id in enumerate(clips)}
    return np.array([at[clip_id] for clip_id in ids], dtype=np.int64)


def unique_ids(items: Iterable[tuple[Entry, str | None]], what: str) -> tuple[str, ...]:
    """Returns an id for each item: its own, or `CLIP#k` for the k-th of a clip.

    Args:
        items: The row of each item and its annotated id, None where there is none.
        what: What the items are, for the message.

    Raises:
        DataError: An id occurs twice.
    """
    found: dict[str, None] = {}
    counted: dict[str, int] = {}
    for entry, own in items:
        k = counted[entry.clip.id] = counted.get(entry.clip.id, -1) + 1
        id_ = own if own is not None else f"{entry.clip.id}#{k}"
        if id_ in found:
            raise DataError(
                f"{entry.where}: {what} id '{id_}' occurs twice; map 'id' to a column of unique ids, or not."
            )
        found[id_] = None
    return tuple(found)


def _entry(spec: BenchmarkSpec, row: Row, columns: Mapping[str, str], where: str, root: Path | None) -> Entry:
    missing = [name for name in columns.values() if name not in row]
    if missing:
        raise DataError(f"{where}: lacks '{missing[0]}'; every row needs it.")
    dataset = spec.dataset
    start_s, end_s = (_seconds(row[columns[f]], columns[f], where) if f in columns else None for f in WINDOW)
    if start_s is not None and end_s is not None and start_s >= end_s:
        clip_id = _word(row[columns["clip"]], columns["clip"], where)
        raise DataError(f"{where}: the window of clip '{clip_id}' ends at {end_s} s, not after its start {start_s} s.")
    clips = tuple(
        Clip(clip_id, below(root, filled(dataset.media, values), dataset.obtain), start_s, end_s)
        for clip_id, values in _media_of(dataset, row, columns, where)
    )
    return Entry(where, clips, row, columns)


def _media_of(
    dataset: DatasetSpec, row: Row, columns: Mapping[str, str], where: str
) -> Iterator[tuple[str, dict[str, str]]]:
    """Yields the id of each clip of a row, and what its media pattern is filled with."""
    given = [name for name in names_in(dataset.media) if name not in dataset.GIVEN]
    values = {field: _word(row[columns[field]], columns[field], where) for field in given}
    if IMAGE not in dataset.GIVEN:
        yield _word(row[columns["clip"]], columns["clip"], where), values
        return
    for name in _two_images(row, columns, where):
        yield name, values | {IMAGE: name}


def _two_images(row: Row, columns: Mapping[str, str], where: str) -> list[str]:
    if "images" not in columns:
        return [_word(row[columns[side]], columns[side], where) for side in ("first", "second")]
    images = row[columns["images"]]
    if not isinstance(images, list) or len(images) != 2:
        found = f"names {len(images)} pictures" if isinstance(images, list) else f"is {type(images).__name__}"
        raise DataError(f"{where}: '{columns['images']}' {found}; a list of two is expected.")
    return [_word(image, columns["images"], where) for image in images]


def _word(value: Any, column: str, where: str) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if isinstance(value, str) and value.strip():
        return value
    empty = value is None or isinstance(value, str)
    shown = "is empty" if empty else f"is {type(value).__name__} {value!r}"
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


def _of_listed_clips(entries: Iterable[Entry], spec: BenchmarkSpec, root: Path | None) -> list[Entry]:
    if spec.dataset.clips is None:
        return list(entries)
    path = below(root, spec.dataset.clips, spec.dataset.obtain)
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: the list of clips cannot be read ({error}); see key 'dataset.clips'.") from error
    wanted = dict.fromkeys(line.strip() for line in lines if line.strip())
    kept = [entry for entry in entries if all(clip.id in wanted for clip in entry.clips)]
    absent = list(wanted.keys() - {clip.id for entry in kept for clip in entry.clips})
    if absent:
        raise DataError(
            f"{path}: {len(absent):,} of {len(wanted):,} listed clips have no annotation: {some(sorted(absent))}. "
            "List and annotations must be of the same release."
        )
    return kept
