"""Reading annotation files: csv, tsv, txt, json, jsonl and parquet, into rows whose ids stay what they are.

Nothing here knows what the columns mean; `entries.py` does.
"""

import hashlib
import io
import json
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, TypeAlias

from blipvid.core.config import did_you_mean
from blipvid.core.errors import DataError
from blipvid.data.files import how_to_obtain

Row: TypeAlias = dict[str, Any]

KEY, VALUE = "$key", "$value"
"""Columns of a JSON object that holds one entry an id: the id, and what stands at it."""

SUFFIXES = (".csv", ".tsv", ".txt", ".json", ".jsonl", ".parquet")


ZIPPED_SUFFIXES = tuple(suffix for suffix in SUFFIXES if suffix != ".txt")
"""What counts as annotations inside an archive, where a txt file is most often the licence."""


def find_annotations(path: Path, obtain: str = "", key: str = "dataset.annotations") -> Path:
    """Returns an annotation file, or its zip archive where only that exists.

    Args:
        path: Where it should be.
        obtain: Where a person gets it, for the message.
        key: What names it in a benchmark file, for the message.

    Raises:
        DataError: Neither exists.
    """
    zipped = path.with_name(path.name + ".zip")
    for candidate in (path, zipped):
        if candidate.is_file():
            return candidate
    option = "--annotations" if key == "dataset.annotations" else f"--set {key}=FILE"
    if path.is_dir():
        raise DataError(f"{path} is a folder; name the annotation file in it, by '{key}' or {option}.")
    raise DataError(
        f"annotation file {path} does not exist; check --data-root, or name the file by {option}."
        f"{how_to_obtain(obtain)}"
    )


def sha256_of(path: Path) -> str:
    """Returns the SHA-256 of a file in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_rows(path: Path, records: str | None = None, key: str = "dataset.records") -> list[Row]:
    """Reads all rows of an annotation file.

    In csv and tsv every value is text, exactly as written: `00123`, `NA`, `null` and the empty string stay; a csv file
    whose first line is separated by tabs is a tsv file. A txt file has no first line of names: its cells, separated by
    blanks, are the columns `$1`, `$2` and so on. A JSON list gives one row an element. A JSON object gives one row an
    entry, with the columns `$key` and `$value`, and where the value is an object its own keys besides. A json file may
    also hold one object a line, as jsonl does.

    Args:
        path: A file ending in csv, tsv, txt, json, jsonl or parquet, or a zip archive with exactly one such file.
        records: Dotted key of the rows inside a nested JSON file.
        key: What says `records` in a benchmark file, for messages.

    Returns:
        The rows in file order, at least one.

    Raises:
        DataError: The file cannot be read, holds no rows, or `records` leads nowhere.
    """
    try:
        name, content = _content(path)
    except (OSError, zipfile.BadZipFile) as error:
        raise DataError(f"{path}: cannot be read ({error}); fetch it again.") from error
    suffix = PurePosixPath(name).suffix.lower()
    if records is not None and suffix != ".json":
        raise DataError(f"{path}: '{key}' is for nested JSON files; remove it for a {suffix} file.")
    if suffix in (".csv", ".tsv"):
        rows = _read_table(_text(content, path), path, suffix)
    elif suffix == ".txt":
        rows = _read_cells(_text(content, path), path)
    elif suffix == ".jsonl":
        rows = _read_lines(_text(content, path), path)
    elif suffix == ".json":
        rows = _read_json(_text(content, path), path, records, key)
    elif suffix == ".parquet":
        rows = _read_parquet(content, path)
    else:
        raise DataError(f"{path}: '{suffix}' is not an annotation format; known: {', '.join(SUFFIXES)}.")
    if not rows:
        raise DataError(f"{path}: holds no rows; a benchmark needs at least one.")
    return rows


def columns_of(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """Returns every column that occurs in any row, in order of first appearance."""
    return list(dict.fromkeys(column for row in rows for column in row))


def choose_column(wanted: str | list[str], columns: Sequence[str], path: Path, key: str) -> str:
    """Finds a column, for instance the one behind a field.

    Args:
        wanted: A column, or several of which the first that exists is taken.
        columns: What the file has.
        path: The file, for the message.
        key: What asks for it in a benchmark file, for the message.

    Raises:
        DataError: None of them exists; names the columns that do.
    """
    names = [wanted] if isinstance(wanted, str) else wanted
    for name in names:
        if name in columns:
            return name
    hint = did_you_mean(names[0], columns)
    raise DataError(
        f"{path}: no column {' or '.join(map(repr, names))} (key '{key}'). The file has: {', '.join(columns)}.{hint}"
    )


def _content(path: Path) -> tuple[str, bytes]:
    if path.suffix.lower() != ".zip":
        return path.name, path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        names = [
            name
            for name in archive.namelist()
            if PurePosixPath(name).suffix.lower() in ZIPPED_SUFFIXES and not name.startswith("__MACOSX/")
        ]
        if len(names) != 1:
            raise DataError(f"{path}: holds {len(names)} annotation files, not one; unpack it and name the file.")
        return names[0], archive.read(names[0])


def _text(content: bytes, path: Path) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: is not UTF-8 text ({error}); convert it.") from error


def _read_table(text: str, path: Path, suffix: str) -> list[Row]:
    import pandas as pd

    names = text.partition("\n")[0]
    delimiter = "\t" if suffix == ".tsv" or ("\t" in names and "," not in names) else ","
    try:
        table = pd.read_csv(io.StringIO(text), sep=delimiter, dtype=str, keep_default_na=False)
    except pd.errors.EmptyDataError as error:
        raise DataError(f"{path}: is empty.") from error
    except pd.errors.ParserError as error:
        raise DataError(f"{path}: cannot be read as a table ({' '.join(str(error).split())}).") from error
    if not isinstance(table.index, pd.RangeIndex):  # pandas takes surplus cells at the left for row names
        raise DataError(f"{path}: the rows have more cells than the header; put text with {delimiter!r} in quotes.")
    return [{str(column): cell for column, cell in row.items()} for row in table.to_dict("records")]


def _read_cells(text: str, path: Path) -> list[Row]:
    rows: list[Row] = []
    for number, line in enumerate(text.split("\n"), start=1):
        cells = line.split()
        if not cells:
            continue
        if rows and len(cells) != len(rows[0]):
            raise DataError(f"{path}: line {number} has {len(cells)} cells, the first one {len(rows[0])}.")
        rows.append({f"${k}": cell for k, cell in enumerate(cells, start=1)})
    return rows


def _read_lines(text: str, path: Path) -> list[Row]:
    rows = []
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise DataError(f"{path}: line {number} is not JSON ({error.msg} at column {error.colno}).") from error
        if not isinstance(row, dict):
            raise DataError(f'{path}: line {number} holds {type(row).__name__}, not an object like {{"clip": ...}}.')
        rows.append(row)
    return rows


def _read_json(text: str, path: Path, records: str | None, named_by: str) -> list[Row]:
    try:
        found = json.loads(text)
    except json.JSONDecodeError as error:
        if error.msg == "Extra data" and records is None:  # as in NLVR2, whose files of one object a line end in .json
            return _read_lines(text, path)
        raise DataError(f"{path}: is not JSON ({error.msg} at line {error.lineno}, column {error.colno}).") from error
    for key in records.split(".") if records else ():
        if not isinstance(found, dict) or key not in found:
            here = ", ".join(list(found)[:20]) if isinstance(found, dict) else f"a {type(found).__name__}"
            raise DataError(f"{path}: '{named_by}: {records}' leads nowhere at '{key}'; the file has {here} there.")
        found = found[key]
    if isinstance(found, dict):
        return [{KEY: k, VALUE: v} | (v if isinstance(v, dict) else {}) for k, v in found.items()]
    if isinstance(found, list):
        odd = next((row for row in found if not isinstance(row, dict)), None)
        if odd is not None:
            raise DataError(f"{path}: a list of {type(odd).__name__} where a list of objects is expected.")
        return found
    raise DataError(f"{path}: holds {type(found).__name__} where a list or an object is expected.")


def _read_parquet(content: bytes, path: Path) -> list[Row]:
    import pyarrow
    import pyarrow.parquet

    try:
        # Not through pandas: a column of integer ids with one gap would come back as 9770.0.
        return pyarrow.parquet.read_table(io.BytesIO(content)).to_pylist()
    except pyarrow.ArrowException as error:
        raise DataError(f"{path}: is not a readable parquet file ({error}).") from error
