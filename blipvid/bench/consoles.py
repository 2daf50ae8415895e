"""Where a person reads: tables on standard output, everything else on standard error."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

PIPE_WIDTH = 160
"""Columns of a table that goes to a file or a pipe, which has no width of its own."""


def out() -> "Console":
    """Returns the console of standard output."""
    from rich.console import Console

    console = Console()
    return console if console.is_terminal else Console(width=PIPE_WIDTH)


def err() -> "Console":
    """Returns the console of standard error."""
    from rich.console import Console

    return Console(stderr=True)
