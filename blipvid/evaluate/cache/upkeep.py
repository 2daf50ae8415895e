"""Looks after a folder of cached features: what is in it, whether it is whole, and how it gets smaller.

A shelf is the folder of all features that were made in one way; it is named after that way.
"""

import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from blipvid.core.files import file_sha256, replacing
from blipvid.evaluate.cache.entries import SUFFIX, check_entry, fingerprint
from blipvid.evaluate.cache.hashes import MEMORY, State, as_lines, remembered, state_of
from blipvid.evaluate.cache.keeping import RECIPE, read_recipe

LEFT_OVER_S = 600.0
"""Age at which an unfinished file belongs to no run any more: writing one takes less than a second."""

DAY_S = 86400.0


@dataclass(frozen=True, slots=True)
class Entry:
    """The features of one clip on disk; `used` is the Unix time at which a run last made or read them."""

    path: Path
    size: int
    used: float


@dataclass(frozen=True, slots=True)
class Shelf:
    """Features that were made in one way.

    Attributes:
        folder: Where they lie.
        made_by: What they were made by; empty where that cannot be read.
        used_for: Kind of thing -> names, for instance of models and benchmarks.
        entries: One for each clip.
    """

    folder: Path
    made_by: Mapping[str, Any]
    used_for: Mapping[str, list[str]]
    entries: tuple[Entry, ...]

    @property
    def size(self) -> int:
        """Bytes on disk."""
        return sum(entry.size for entry in self.entries)


@dataclass(frozen=True, slots=True)
class Removed:
    """What was removed: features of clips, their bytes, and unfinished files of runs that were killed."""

    entries: int
    size: int
    leftovers: int


def shelves(folder: Path) -> list[Shelf]:
    """Returns what a folder of cached features holds, the largest first."""
    found = []
    for path in sorted(path for path in folder.glob("*") if path.is_dir()):
        recipe, entries = read_recipe(path / RECIPE), tuple(_entries(path))
        found.append(Shelf(path, recipe.get("made_by", {}), recipe.get("used_for", {}), entries))
    return sorted(found, key=lambda shelf: -shelf.size)


def leftovers(folder: Path, now: float | None = None) -> list[Path]:
    """Returns unfinished files of runs that were killed."""
    before = (time.time() if now is None else now) - LEFT_OVER_S
    hidden = [*folder.glob(f"*/*/.*{SUFFIX}.*"), *folder.glob(f"*/.{RECIPE}.*"), *folder.glob(f".{MEMORY}.*")]
    return [path for path in hidden if (state := state_of(path)) and state[2] / 1e9 < before]


def check(folder: Path) -> Iterator[tuple[Path, str | None]]:
    """Reads every file and yields it with what is wrong with it, or None."""
    for shelf in shelves(folder):
        fits = fingerprint(dict(shelf.made_by)) == shelf.folder.name
        yield shelf.folder / RECIPE, None if fits else "does not say what the features beside it were made by"
        for entry in shelf.entries:
            yield entry.path, check_entry(entry.path)


def check_media(folder: Path) -> Iterator[tuple[State, str | None]]:
    """Reads every media file that is remembered and still there, and yields it with what is wrong, or None."""
    for state, digest in remembered(folder).items():
        path = Path(state[0])
        if state_of(path) == state:
            same = file_sha256(path) == digest
            yield state, None if same else "holds other bytes than remembered, but has the same size and times"


def collect(folder: Path, most_bytes: float | None, unused_days: float | None, now: float | None = None) -> Removed:
    """Makes a folder smaller; what was not used for longest goes first.

    Args:
        folder: Of cached features.
        most_bytes: Bytes that features may have afterwards.
        unused_days: Features that no run used for so long go in any case.
        now: Unix time.

    Raises:
        OSError: A file cannot be removed.
    """
    now = time.time() if now is None else now
    gone = leftovers(folder, now)
    for path in gone:
        path.unlink(missing_ok=True)
    entries = sorted((entry for shelf in shelves(folder) for entry in shelf.entries), key=lambda entry: entry.used)
    size, removed = sum(entry.size for entry in entries), []
    for entry in entries:
        old = unused_days is not None and now - entry.used >= unused_days * DAY_S
        if not old and (most_bytes is None or size <= most_bytes):
            break
        entry.path.unlink(missing_ok=True)
        size -= entry.size
        removed.append(entry)
    _remove_empty(folder, now)
    forget(folder, {state for state in remembered(folder) if state_of(Path(state[0])) != state})
    return Removed(len(removed), sum(entry.size for entry in removed), len(gone))


def forget(folder: Path, states: set[State]) -> None:
    """Forgets the hashes of media files.

    Raises:
        OSError: The memory cannot be written.
    """
    known = remembered(folder)
    if states & known.keys():
        with replacing(folder / MEMORY) as temporary:
            temporary.write_bytes(as_lines((state, digest) for state, digest in known.items() if state not in states))


def _entries(shelf: Path) -> Iterator[Entry]:
    for path in sorted(shelf.glob(f"??/*{SUFFIX}")):
        try:
            state = path.stat()
        except FileNotFoundError:  # another process removes things too
            continue
        yield Entry(path, state.st_size, state.st_mtime)


def _remove_empty(folder: Path, now: float) -> None:
    """Removes shelves without entries, unless a run may just have begun to fill one."""
    for shelf in shelves(folder):
        if not shelf.entries and now - shelf.folder.stat().st_mtime >= LEFT_OVER_S:
            with suppress(OSError):  # not empty: a run is filling it again
                for inner in sorted(shelf.folder.glob("??")):
                    inner.rmdir()
                (shelf.folder / RECIPE).unlink(missing_ok=True)
                shelf.folder.rmdir()
