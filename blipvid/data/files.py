"""Where files lie: below which folder, and whether the media files are there before anything is decoded."""

import os
from collections.abc import Sequence
from pathlib import Path

from blipvid.core.errors import ConfigError, DataError
from blipvid.core.types import Clip
from blipvid.data.schema import BenchmarkSpec

DATA_ROOT_VARIABLE = "BLIPVID_DATA"
NAMES_SHOWN = 20


def root_from_environment() -> Path | None:
    """Returns the data root that $BLIPVID_DATA names, or None where it is not set."""
    folder = os.environ.get(DATA_ROOT_VARIABLE)
    return Path(folder) if folder else None


def below(root: Path | None, path: str, obtain: str = "") -> Path:
    """Returns a path of a benchmark file below the data root; an absolute one stays as it is.

    Raises:
        ConfigError: The path is relative and no data root is known.
    """
    if root is not None:
        return root / path
    if Path(path).is_absolute():
        return Path(path)
    raise ConfigError(
        f"no data folder is known for {path}; give --data-root DIR or set ${DATA_ROOT_VARIABLE}.{how_to_obtain(obtain)}"
    )


def how_to_obtain(obtain: str) -> str:
    """Returns the benchmark's advice as one more sentence of a message, or nothing."""
    return f" To obtain: {' '.join(obtain.split())}" if obtain else ""


def some(names: Sequence[str]) -> str:
    """Returns the first names, and how many more there are."""
    rest = len(names) - NAMES_SHOWN
    return ", ".join(names[:NAMES_SHOWN]) + (f" and {rest:,} more" if rest > 0 else "")


def check_media(spec: BenchmarkSpec, clips: Sequence[Clip]) -> list[str]:
    """Looks for the media file of every clip; the path decides, nothing is opened.

    Args:
        spec: The benchmark; `settings.on_error: skip` lets missing files pass.
        clips: The clips that will be decoded.

    Returns:
        Notes for the record: none, or one that says how many files are missing.

    Raises:
        DataError: Files are missing; says how many and names the first of them.
    """
    # One listing a folder: asking for each file by itself takes minutes on network disks.
    present = {folder: _files_in(folder) for folder in {clip.path.parent for clip in clips}}
    paths = dict.fromkeys(clip.path for clip in clips)
    missing = [path for path in paths if path.name not in present[path.parent]]
    if not missing:
        return []
    count = f"{len(missing):,} of {len(paths):,} media files are missing"
    if spec.settings.on_error == "skip" and len(missing) < len(paths):
        return [f"{count}; their clips are skipped and everything asked about them counts as a miss"]
    raise DataError(
        f"{spec.name}: {count}: {some([str(path) for path in missing])}. Files laid out differently are named by "
        f"--media PATTERN; --set on_error=skip goes on without missing ones.{how_to_obtain(spec.dataset.obtain)}"
    )


def _files_in(folder: Path) -> set[str]:
    try:
        with os.scandir(folder) as entries:
            return {entry.name for entry in entries if entry.is_file()}
    except (FileNotFoundError, NotADirectoryError):
        return set()
    except OSError as error:
        raise DataError(f"{folder}: the media folder cannot be listed ({error.strerror}).") from error
