"""What the comparison of two runs says of one task: figures with their tests, and the queries that changed."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Line:
    """One metric of both runs; `won` and `lost` count queries that only the second or only the first got right."""

    metric: str
    first: float
    second: float
    won: int | None = None
    lost: int | None = None
    p: float | None = None


class Change(Protocol):
    """A query that came out differently."""

    def cells(self) -> list[str]:
        """Returns its line in a table."""
        ...


@dataclass(frozen=True, slots=True)
class Compared:
    """What the predictions of two runs say.

    Attributes:
        lines: One a metric that both have.
        changes: Every query that came out differently, the most telling first.
        heads: Of the table of changes.
        summary: How many changed and how, one sentence.
        notes: What to know before reading the figures.
        tests: How they were tested, one sentence.
    """

    lines: Sequence[Line]
    changes: Sequence[Change]
    heads: Sequence[str]
    summary: str
    notes: Sequence[str]
    tests: str


def in_common(name: str, asked: Sequence[int], common: int, word: str) -> list[str]:
    """Returns the note that two runs did not ask the same, or nothing.

    Args:
        name: A direction or a protocol.
        asked: How many queries each of the two runs asked.
        common: How many both asked.
        word: What a query is called, in the plural.
    """
    if list(asked) == [common, common]:
        return []
    of = f"{common:,} {word} in common of {asked[0]:,} and {asked[1]:,}"
    return [f"{name}: {of}; the tests, not the figures, are over these."]
