"""Where the rows of a dataset come from: its annotation file or an announced reader, and the columns joined to them."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from blipvid.core.errors import ConfigError, DataError
from blipvid.core.protocols import AnnotationReader
from blipvid.core.registry import Registry
from blipvid.data import nlvr2, visdial
from blipvid.data.annotations import Row, find_annotations, read_rows, sha256_of
from blipvid.data.dataset_schema import DatasetSpec
from blipvid.data.files import DATA_ROOT_VARIABLE, below, how_to_obtain

READERS: Registry[AnnotationReader] = Registry(
    "blipvid.annotations", "annotation reader", {"nlvr2": nlvr2.read_pairs, "visdial": visdial.read_rounds}
)
"""Functions `read(dataset, root) -> rows`, each row a mapping of columns; without `fields`, of field names."""

BUILDERS: Registry[Any] = Registry("blipvid.builders", "dataset builder")
"""Functions `build(dataset, root or None) -> root` that make the media and say below which folder they lie."""


@dataclass(frozen=True, slots=True)
class Source:
    """The rows of a dataset.

    Attributes:
        rows: In file order, at least one.
        path: The file; with a reader, `dataset.annotations` or else the data root.
        sha256: Of the file; with a reader, of the rows written as JSON lines.
    """

    rows: list[Row]
    path: Path
    sha256: str


def read_source(dataset: DatasetSpec, root: Path | None) -> Source:
    """Reads all rows of a dataset.

    Raises:
        ConfigError: No data root is known, or no such reader.
        DataError: The file is absent or unreadable, or the reader gave no rows or something else than rows.
    """
    if dataset.reader is not None:
        return _from_reader(dataset, dataset.reader, root)
    assert dataset.annotations is not None  # the schema asks for one of the two
    path = find_annotations(below(root, dataset.annotations, dataset.obtain), dataset.obtain)
    return Source(read_rows(path, dataset.records), path, sha256_of(path))


def _from_reader(dataset: DatasetSpec, reader: str, root: Path | None) -> Source:
    if root is None and dataset.annotations is None:
        raise ConfigError(
            f"no data folder is known for annotation reader '{reader}'; give --data-root DIR or set "
            f"${DATA_ROOT_VARIABLE}.{how_to_obtain(dataset.obtain)}"
        )
    path = below(root, dataset.annotations or ".", dataset.obtain)
    base = root or Path()  # of no account where the annotations are named in full
    digest = hashlib.sha256()
    rows = []
    for number, row in enumerate(READERS.get(reader)(dataset, base), start=1):
        if not isinstance(row, Mapping):
            raise DataError(f"annotation reader '{reader}': row {number} is {type(row).__name__}, not a mapping.")
        rows.append(dict(row))
        digest.update(json.dumps(rows[-1], sort_keys=True, default=str).encode() + b"\n")
    if not rows:
        raise DataError(f"annotation reader '{reader}' gave no rows for {path}.")
    return Source(rows, path, digest.hexdigest())
