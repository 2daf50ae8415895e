"""Parts of nested annotation files: what each must be, every mistake named with where it stands."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from blipvid.core.errors import DataError
from blipvid.data.annotations import KEY, VALUE, read_rows

S = TypeVar("S")


def object_in(file: Path, key: str) -> dict[str, Any]:
    """Returns the JSON object in a file.

    Args:
        file: The file.
        key: What chose it, for the message.

    Raises:
        DataError: It cannot be read, or holds a list.
    """
    rows = read_rows(file)
    if KEY not in rows[0]:
        raise DataError(f"{file}: holds a list where an object is expected; check {key}.")
    return {row[KEY]: row[VALUE] for row in rows}


def member(row: Any, key: str, kind: type[S], where: str) -> S:
    """Returns a part of a JSON object, of the kind that it must be of and not empty.

    Raises:
        DataError: It is missing, empty or of another kind.
    """
    value = row.get(key) if isinstance(row, Mapping) else None
    if not isinstance(value, kind) or not value:
        found = f"is {type(value).__name__}" if value else "is missing or empty"
        raise DataError(f"{where}: '{key}' {found}; a {kind.__name__} is expected there.")
    return value


def word(row: Any, key: str, where: str) -> str:
    """Returns a text in a JSON object.

    Raises:
        DataError: It is missing, blank or no text.
    """
    value = row.get(key) if isinstance(row, Mapping) else None
    if not isinstance(value, str) or not value.strip():
        found = f"is {value!r}" if value else "is missing"
        raise DataError(f"{where}: '{key}' {found}; text is expected there.")
    return value
