"""Patterns of file names and of ids: text with names in braces, such as `msrvtt/videos/{clip}.mp4`."""

import string
from collections.abc import Iterator, Mapping

STEM = "stem"
"""The one format that a pattern knows: `{clip:stem}` is the value without its last extension."""


def names_in(pattern: str) -> Iterator[str]:
    """Yields the names in a pattern.

    Args:
        pattern: A pattern such as `msrvtt/videos/{clip}.mp4`.

    Yields:
        Each name between braces, in order.

    Raises:
        ValueError: Unbalanced braces, an empty name, or a format other than `{name}` and `{name:stem}`.
    """
    for _, name, how, conversion in string.Formatter().parse(pattern):
        if name is None:
            continue
        if not name or set(name) & set(".[]") or conversion or how not in ("", STEM):
            raise ValueError("only {field} and {field:stem} can stand in braces; write {{ for a brace")
        yield name


def filled(pattern: str, values: Mapping[str, str]) -> str:
    """Fills a pattern in.

    Args:
        pattern: A pattern such as `didemo/videos/{clip:stem}.mp4`.
        values: A value for every name in it.

    Returns:
        The text with each name replaced by its value.
    """
    parts = []
    for before, name, how, _ in string.Formatter().parse(pattern):
        parts.append(before)
        if name is not None:
            value = values[name]
            parts.append(value.rpartition(".")[0] or value if how == STEM else value)
    return "".join(parts)
