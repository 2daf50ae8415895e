"""Files that are there whole or not at all, and folders that can be written."""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Gives a temporary path beside `path`, which takes its place when the block ends well.

    A reader, or a run that is killed half-way, never sees half a file. Folders are made where absent.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # drawn, because processes of two machines, or of two containers, may have one number and share a disk
    temporary = path.with_name(f".{path.name}.{os.urandom(4).hex()}")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def file_sha256(path: Path) -> str:
    """Returns the sha256 of a file as 64 hex digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def prove_writable(folder: Path) -> None:
    """Makes a folder where it is absent and writes a file into it, which is gone again afterwards.

    Raises:
        OSError: One of the two is not possible.
    """
    probe = folder / ".probe"
    folder.mkdir(parents=True, exist_ok=True)
    probe.touch()
    probe.unlink(missing_ok=True)  # another process may prove the same
