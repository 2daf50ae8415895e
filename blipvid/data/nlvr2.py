"""The annotation files of NLVR2: the official ones, and those that BLIP's code reads."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from blipvid.core.errors import DataError
from blipvid.data.annotations import Row, find_annotations, read_rows
from blipvid.data.dataset_schema import DatasetSpec
from blipvid.data.files import below

_IDENTIFIER = re.compile(r"([a-z0-9]+)-(\d+)-(\d+)-(\d+)")
"""Split, set of eight pictures, pair in the set, sentence. Source: lil-lab/nlvr nlvr2/README.md."""

_PICTURE = re.compile(r"(?:.*/)?([a-z0-9]+-\d+)-\d+-img[01]\.png")
"""A picture's name: split and set, then its pair, then left or right."""


def read_pairs(dataset: DatasetSpec, root: Path) -> Iterator[dict[str, Any]]:
    """Gives one row a sentence, in field names (annotation reader `nlvr2`).

    The official files name no pictures: their names follow from the identifier, `dev/dev-850-0-img0.png`.

    Args:
        dataset: The benchmark's dataset section.
        root: The data root.

    Yields:
        `images`, the two names, `text`, `label`, `group`, which is the set of eight pictures that its sentences share,
        and, from official files, `id`.
    """
    assert dataset.annotations is not None  # the benchmark names the file
    file = find_annotations(below(root, dataset.annotations, dataset.obtain), dataset.obtain)
    for number, row in enumerate(read_rows(file), start=1):
        where = f"{file}: row {number}"
        named = _official(row, where) if "identifier" in row else _listed(row, where)
        yield {**named, "text": row.get("sentence"), "label": row.get("label")}


def _official(row: Row, where: str) -> dict[str, Any]:
    parts = _IDENTIFIER.fullmatch(str(row["identifier"]))
    if parts is None:
        raise DataError(f"{where}: 'identifier' is {row['identifier']!r}; split-set-pair-sentence is expected.")
    split, group, pair, _ = parts.groups()
    images = [f"{split}/{split}-{group}-{pair}-img{side}.png" for side in (0, 1)]
    return {"images": images, "group": f"{split}-{group}", "id": parts[0]}


def _listed(row: Row, where: str) -> dict[str, Any]:
    images = row.get("images")
    found = [_PICTURE.fullmatch(str(image)) for image in images] if isinstance(images, list) else []
    groups = {match[1] for match in found if match is not None}
    if len(groups) != 1 or None in found:
        raise DataError(
            f"{where}: 'images' is {images!r}; two names of NLVR2 are expected there, such as dev/dev-850-0-img0.png. "
            "Pairs of other pictures are read by 'dataset.fields' instead of 'dataset.reader'."
        )
    return {"images": images, "group": groups.pop()}
