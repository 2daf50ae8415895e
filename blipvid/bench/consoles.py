"""Where a person reads: tables on standard output, everything else on standard error.

Of several processes that share a job the first alone speaks; the others say no more than how they failed.
"""

from typing import TYPE_CHECKING

from blipvid.core.processes import this_process

if TYPE_CHECKING:
    from rich.console import Console

PIPE_WIDTH = 160
"""Columns of a table that goes to a file or a pipe, which has no width of its own."""


def out() -> "Console":
    """Returns the console of standard output."""
    from rich.console import Console

    quiet = not this_process().first
    console = Console(quiet=quiet)
    return console if console.is_terminal else Console(width=PIPE_WIDTH, quiet=quiet)


def err() -> "Console":
    """Returns the console of standard error."""
    from rich.console import Console

    return Console(stderr=True, quiet=not this_process().first)


def failure() -> "Console":
    """Returns the console of standard error for what ends this process; it is never quiet."""
    from rich.console import Console

    return Console(stderr=True)
