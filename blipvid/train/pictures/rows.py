"""Rows of annotation files, and what each must hold: every mistake is named with its file and row.

Knows no kinds of sets; `sets.py` does.
"""

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from blipvid.core.errors import DataError
from blipvid.core.text import clean_caption
from blipvid.data.annotations import Row, read_rows
from blipvid.data.files import some
from blipvid.train.pictures.settings import Paths


def files_of(paths: Paths) -> Iterator[Path]:
    """Yields annotation files.

    Raises:
        DataError: One does not exist.
    """
    for path in [paths] if isinstance(paths, str) else paths:
        file = Path(path)
        if not file.is_file():
            raise DataError(f"annotation file {file} does not exist; check key 'annotations' of the set.")
        yield file


def rows_of(paths: Paths) -> Iterator[tuple[str, Row]]:
    """Yields where each row of annotation files stands, and the row."""
    for file in files_of(paths):
        for number, row in enumerate(read_rows(file), start=1):
            yield f"{file}: row {number}", row


def caption_of(text: str, words: int, where: str) -> str:
    """Returns a caption or sentence as models read it.

    Raises:
        DataError: Nothing is left of it.
    """
    cleaned = clean_caption(text, words)
    if not cleaned:
        raise DataError(f"{where}: nothing is left of {text!r} once it is cleaned; remove it.")
    return cleaned


def listed(names: Iterable[Any]) -> str:
    """Returns names in quotes, sorted."""
    return ", ".join(sorted(map(repr, names)))


def check_files(paths: Sequence[str]) -> None:
    """Looks for files, each named once; nothing is opened.

    Raises:
        DataError: Files are missing; says how many and names the first of them.
    """
    wanted = [Path(path) for path in paths]
    # One listing a folder: asking for each file by itself takes minutes on network disks.
    present = {folder: _names_in(folder) for folder in {path.parent for path in wanted}}
    missing = [str(path) for path in wanted if path.name not in present[path.parent]]
    if missing:
        raise DataError(
            f"{len(missing):,} of {len(wanted):,} pictures are missing: {some(missing)}; "
            "check key 'images' of the set, or fetch them."
        )


def _names_in(folder: Path) -> set[str]:
    try:
        return set(os.listdir(folder))  # noqa: PTH208 (a million names, of which no paths are made)
    except OSError:
        return set()
