"""Patterns of file names and of ids: text with names in braces, such as `msrvtt/videos/{clip}.mp4`."""

import re
import string
from collections.abc import Iterator, Mapping

STEM = "stem"
"""The format of `{clip:stem}`, the value without its last extension."""

_PADDED = re.compile("0([1-9][0-9]?)")
"""The format of `{image:012}`, the value with zeros in front up to so many characters."""


def names_in(pattern: str) -> Iterator[str]:
    """Yields the names in a pattern.

    Args:
        pattern: A pattern such as `msrvtt/videos/{clip}.mp4`.

    Yields:
        Each name between braces, in order.

    Raises:
        ValueError: Unbalanced braces, an empty name, or a format other than `{name}`, `{name:stem}` and `{name:012}`.
    """
    for _, name, how, conversion in string.Formatter().parse(pattern):
        if name is None:
            continue
        if not name or set(name) & set(".[]") or conversion or not _is_known(how or ""):
            raise ValueError("only {field}, {field:stem} and {field:012} can stand in braces; write {{ for a brace")
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
            parts.append(_formatted(values[name], how or ""))
    return "".join(parts)


def _is_known(how: str) -> bool:
    return how in ("", STEM) or _PADDED.fullmatch(how) is not None


def _formatted(value: str, how: str) -> str:
    if how == STEM:
        return value.rpartition(".")[0] or value
    padded = _PADDED.fullmatch(how)
    return value.zfill(int(padded[1])) if padded else value
