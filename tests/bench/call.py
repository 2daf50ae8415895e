"""Calls the real command line in this process and catches what it prints."""

import contextlib
import io
from dataclasses import dataclass

from blipvid.bench.cli import main


@dataclass(frozen=True)
class Called:
    """What a call left behind."""

    code: int
    out: str
    err: str


def call(*arguments: str) -> Called:
    """Runs `blipvid ARGUMENTS`."""
    out, err = io.StringIO(), io.StringIO()
    code = 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main(arguments)
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
    return Called(code, out.getvalue(), err.getvalue())
