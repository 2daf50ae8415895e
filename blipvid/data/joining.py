"""Joining: columns that the annotations lack are taken from the row of a second file that belongs to theirs."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from blipvid.core.errors import DataError
from blipvid.data.annotations import Row, choose_column, columns_of, find_annotations, read_rows
from blipvid.data.dataset_schema import ChoiceDataset, Join
from blipvid.data.files import below, some
from blipvid.data.patterns import filled, names_in
from blipvid.data.schema import BenchmarkSpec


def needs_join(spec: BenchmarkSpec, columns: Sequence[str]) -> bool:
    """Says whether a field that is used, or an option, stands in none of the columns of the annotations."""
    dataset = spec.dataset
    wanted = [
        [names] if isinstance(names, str) else names for names in map(dataset.fields.get, spec.used_fields()) if names
    ]
    if isinstance(dataset, ChoiceDataset):
        wanted += [[option] for option in dataset.options]
    return dataset.join is not None and any(not set(names) & set(columns) for names in wanted)


def joined(rows: Sequence[Row], join: Join, source: Path, root: Path | None, obtain: str) -> tuple[list[Row], Path]:
    """Adds to each row the columns of its partner in another file; a column that both have keeps the row's own value.

    Args:
        rows: Rows of the annotations.
        join: Which file, and how partners are found.
        source: File of the annotations, for messages.
        root: The data root.
        obtain: Where a person gets the file, for the message if it is missing.

    Returns:
        The rows with more columns, and the file that was read.

    Raises:
        ConfigError: No data root is known.
        DataError: The file is absent or unreadable, a column is missing, a value occurs twice in its column, or a row
            has no partner.
    """
    path = find_annotations(below(root, join.file, obtain), obtain, "dataset.join.file")
    partners = _by_key(read_rows(path, join.records, "dataset.join.records"), join.column, path)
    columns = columns_of(rows)
    for name in names_in(join.equals):
        choose_column(name, columns, source, "dataset.join.equals")
    keys = [_key(row, join.equals, f"{source}: row {number}") for number, row in enumerate(rows, start=1)]
    alone = [key for key in keys if key not in partners]
    if alone:
        raise DataError(
            f"{path}: {len(alone):,} of {len(rows):,} rows of {source} find no row by '{join.column}' (key "
            f"'dataset.join'): {some(list(dict.fromkeys(alone)))}. Both files must be of the same release."
        )
    return [{**partners[key], **row} for key, row in zip(keys, rows, strict=True)], path


def _by_key(rows: Sequence[Row], column: str, path: Path) -> dict[str, Row]:
    choose_column(column, columns_of(rows), path, "dataset.join.column")
    found: dict[str, Row] = {}
    for number, row in enumerate(rows, start=1):
        key = _as_text(row, column, f"{path}: row {number}")
        if key in found:
            raise DataError(
                f"{path}: row {number}: '{key}' stands twice in '{column}'; joining needs one row for each."
            )
        found[key] = row
    return found


def _key(row: Row, pattern: str, where: str) -> str:
    return filled(pattern, {name: _as_text(row, name, where) for name in names_in(pattern)})


def _as_text(row: Mapping[str, Any], column: str, where: str) -> str:
    value = row.get(column)
    if isinstance(value, str) or (isinstance(value, int) and not isinstance(value, bool)):
        return str(value)
    raise DataError(f"{where}: '{column}' is {value!r}; rows are joined by text or whole numbers.")
