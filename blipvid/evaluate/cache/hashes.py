"""Which bytes a media file holds: its sha256, worked out once and remembered by path, size and times of change.

The memory is a file of JSON lines to which every run appends, so that two runs can do so at once; of a line that a
killed run left unfinished nothing is believed.
"""

import json
import os
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from blipvid.core.files import file_sha256

MEMORY = "media.jsonl"
THREADS = 4
SETTLED_S = 2.0
"""A file that changed less than this ago may change again without a new time of change, and is not remembered."""

State = tuple[str, int, int, int]
"""Absolute path, bytes, nanoseconds of the last change of the content and of the last change of any kind.

The second time is new after a renaming too: two files may change names and share all the rest.
"""


def media_hashes(folder: Path, paths: Sequence[Path]) -> dict[Path, str]:
    """Returns the sha256 of each file that can be read.

    Args:
        folder: Holds the memory.
        paths: Media files; several may be one.
    """
    settled = (time.time() - SETTLED_S) * 1e9
    states = {path: state for path in dict.fromkeys(paths) if (state := state_of(path))}
    known = remembered(folder)
    new = [path for path, state in states.items() if state not in known]
    with ThreadPoolExecutor(THREADS) as pool:
        found = dict(zip(new, pool.map(_hash, new), strict=True))
    fresh = {states[path]: digest for path, digest in found.items() if digest}
    _append(folder, [(state, digest) for state, digest in fresh.items() if max(state[2:]) < settled])
    known |= fresh
    return {path: known[state] for path, state in states.items() if state in known}


def state_of(path: Path) -> State | None:
    """Returns what tells a file from what it was before, or None where there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return str(path.absolute()), found.st_size, found.st_mtime_ns, found.st_ctime_ns


def remembered(folder: Path) -> dict[State, str]:
    """Returns all hashes that are remembered."""
    try:
        lines = (folder / MEMORY).read_text(encoding="utf-8", errors="surrogateescape").split("\n")
    except OSError:
        return {}
    return dict(pair for line in lines if (pair := _read(line)))


def as_lines(known: Iterable[tuple[State, str]]) -> bytes:
    """Returns the memory of some files as it is written."""
    return "".join(f"{json.dumps([*state, digest])}\n" for state, digest in known).encode()


def _read(line: str) -> tuple[State, str] | None:
    try:
        *state, digest = json.loads(line)
    except (ValueError, TypeError):
        return None
    kinds = [type(value) for value in (*state, digest)]
    return ((*state,), digest) if kinds == [str, int, int, int, str] and len(digest) == 64 else None


def _append(folder: Path, new: Sequence[tuple[State, str]]) -> None:
    if not new:
        return
    with suppress(OSError):  # what is not remembered is worked out again
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / MEMORY).open("ab", buffering=0) as file:
            # the line break ends what a killed run may have left unfinished
            os.write(file.fileno(), b"\n" + as_lines(new))


def _hash(path: Path) -> str | None:
    try:
        return file_sha256(path)
    except OSError:
        return None
