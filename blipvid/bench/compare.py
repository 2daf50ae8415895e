"""Two runs side by side: what was set differently, what came out differently, and whether that is more than chance."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from blipvid.bench.choices import Format
from blipvid.bench.record import Run, read_predictions, read_run
from blipvid.bench.tables import figure, metric_label, rows_of, tabulated
from blipvid.core.errors import ConfigError

if TYPE_CHECKING:
    from rich.console import Console

RECALLS = {"r1": 1, "r5": 5, "r10": 10}
HEADERS = ("metric", "first", "second", "difference", "won", "lost", "p")
NOT_PROTOCOL = ("published", "compare", "about", "name", "model")
"""Keys of a benchmark file that change no number of ours."""


@dataclass(frozen=True, slots=True)
class Line:
    """One metric of both runs; `won` and `lost` count queries that only the second or only the first got right."""

    metric: str
    first: float
    second: float
    won: int | None = None
    lost: int | None = None
    p: float | None = None


@dataclass(frozen=True, slots=True)
class Move:
    """A query whose rank differs; an infinite rank is a miss."""

    direction: str
    query: str
    first: float
    second: float


@dataclass(frozen=True, slots=True)
class RunComparison:
    """What `compare_runs` found.

    Attributes:
        first, second: The records.
        settings: Dotted key -> its two values, where they differ.
        lines: One a metric that both have.
        moves: Every query whose rank differs, the greatest change first.
        notes: What to know before reading the figures.
    """

    first: Run
    second: Run
    settings: Mapping[str, tuple[Any, Any]]
    lines: Sequence[Line]
    moves: Sequence[Move]
    notes: Sequence[str]


def compare_runs(first: Path, second: Path) -> RunComparison:
    """Compares two run folders, query by query where both ran the same queries.

    Recalls are compared by McNemar's exact test, ranks by Wilcoxon's signed-rank test, both two-sided.

    Args:
        first: One run folder.
        second: The other; differences are second minus first.

    Raises:
        ConfigError: A folder holds no run, or the two have no metric in common.
    """
    one, other = read_run(first), read_run(second)
    common = [row.metric for row in rows_of(one) if row.metric in other.metrics]
    if not common:
        raise ConfigError(f"{first} and {second} have no metric in common ({one.name}; {other.name}).")
    ranks = [_ranks(read_predictions(folder)) for folder in (first, second)]
    pairs = {
        direction: np.array([[ranks[0][direction][query], ranks[1][direction][query]] for query in queries])
        for direction in ranks[0].keys() & ranks[1].keys()
        if (queries := [query for query in ranks[0][direction] if query in ranks[1][direction]])
    }
    moves = [
        Move(direction, query, rank, ranks[1][direction][query])
        for direction in sorted(pairs)
        for query, rank in ranks[0][direction].items()
        if query in ranks[1][direction] and rank != ranks[1][direction][query]
    ]
    return RunComparison(
        first=one,
        second=other,
        settings=_differences(_settings(one), _settings(other)),
        lines=[_line(metric, one.metrics[metric], other.metrics[metric], pairs) for metric in common],
        moves=sorted(moves, key=_size_of_move, reverse=True),
        notes=_notes(one, other, ranks, pairs),
    )


def show_comparison(
    found: RunComparison, changes: int, form: Format, console: "Console", notes_console: "Console"
) -> None:
    """Prints a comparison; in formats other than `rich` only the table goes to `console`.

    Args:
        found: From `compare_runs`.
        changes: Queries to name.
        form: Format of the table.
        console: Where the table goes.
        notes_console: Where everything else goes, unless the format is `rich`.
    """
    from rich.table import Table

    cells = [_cells(line) for line in found.lines]
    if form is not Format.RICH:
        rows = [
            {key: getattr(line, key) for key in ("metric", "first", "second", "won", "lost", "p")}
            for line in found.lines
        ]
        console.print(tabulated(HEADERS, cells, rows, form), markup=False, highlight=False, soft_wrap=True)
        console = notes_console
    console.print(f"first:  {found.first.name}\nsecond: {found.second.name}", markup=False, highlight=False)
    if found.settings:
        table = Table("set differently", "first", "second")
        for key, (one, other) in found.settings.items():
            table.add_row(key, str(one), str(other))
        console.print(table)
    if form is Format.RICH:
        table = Table()
        for header in HEADERS:
            table.add_column(header, justify="left" if header == "metric" else "right")
        for line in cells:
            table.add_row(*line)
        console.print(table)
    better = sum(move.second < move.first for move in found.moves)
    console.print(f"{better:,} queries rank better in the second run, {len(found.moves) - better:,} worse.")
    if found.moves and changes:
        table = Table("moved most", "direction", "first rank", "second rank")
        for move in found.moves[:changes]:
            table.add_row(move.query, move.direction, _rank_word(move.first), _rank_word(move.second))
        console.print(table)
    for note in found.notes:
        console.print(note, style="dim", markup=False, highlight=False, soft_wrap=True)


def _ranks(predictions: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, float]]:
    """Returns direction -> query -> rank; a task without ranks gives nothing."""
    found: dict[str, dict[str, float]] = {}
    for row in predictions:
        if "rank" in row:
            rank = math.inf if row["rank"] is None else float(row["rank"])
            found.setdefault(row["direction"], {})[row["query"]] = rank
    return found


def _line(metric: str, one: float, other: float, pairs: Mapping[str, npt.NDArray[np.float64]]) -> Line:
    from scipy import stats

    from blipvid.evaluate.statistics import mcnemar

    direction, _, measure = metric.partition("_")
    if direction not in pairs:
        return Line(metric, one, other)
    before, after = pairs[direction].T
    if measure in RECALLS:
        test = mcnemar(after <= RECALLS[measure], before <= RECALLS[measure])
        return Line(metric, one, other, int(test["gained"]), int(test["lost"]), test["p"])
    if measure == "mnr":
        # A miss ranks behind everything that was found; the test looks at order only.
        last = np.max(pairs[direction], initial=1.0, where=np.isfinite(pairs[direction])) + 1
        change = np.minimum(after, last) - np.minimum(before, last)
        p = float(stats.wilcoxon(change).pvalue) if change.any() else 1.0
        return Line(metric, one, other, int(np.sum(change < 0)), int(np.sum(change > 0)), p)
    return Line(metric, one, other)


def _cells(line: Line) -> list[str]:
    return [
        metric_label(line.metric),
        figure(line.metric, line.first),
        figure(line.metric, line.second),
        figure(line.metric, line.second - line.first, "+"),
        "" if line.won is None else f"{line.won:,}",
        "" if line.lost is None else f"{line.lost:,}",
        "" if line.p is None else f"{line.p:.2g}",
    ]


def _notes(
    one: Run,
    other: Run,
    ranks: Sequence[Mapping[str, Mapping[str, float]]],
    pairs: Mapping[str, npt.NDArray[np.float64]],
) -> list[str]:
    notes = []
    for direction in sorted(ranks[0].keys() | ranks[1].keys()):
        asked = [len(run.get(direction, {})) for run in ranks]
        common = len(pairs.get(direction, ()))
        if asked != [common, common]:
            notes.append(
                f"{direction}: {common:,} queries in common of {asked[0]:,} and {asked[1]:,}; the tests, not the "
                "figures, are over these."
            )
    if one.data.sha256 != other.data.sha256:
        notes.append("The annotation files differ.")
    if max(run.coverage.items / run.coverage.clips for run in (one, other)) > 1:
        notes.append("Texts of one clip are not independent of each other, so p is too small where a clip has several.")
    notes.append("p: McNemar's exact test on recalls, Wilcoxon's signed-rank test on ranks, two-sided, not corrected.")
    return notes


def _settings(run: Run) -> dict[str, Any]:
    protocol = {key: value for key, value in run.benchmark.items() if key not in NOT_PROTOCOL}
    protocol["dataset"] = {key: value for key, value in protocol["dataset"].items() if key not in ("obtain", "expect")}
    return _flat(
        {
            "benchmark": run.benchmark["name"],
            **protocol,
            "annotations": run.data.sha256[:12],
            "limit": run.data.limit,
            "model": {"name": run.model.name, "sha256": run.model.sha256[:12], "image_size": run.model.image_size},
            "precision": run.runtime["precision"],
            "device": run.environment.device,
            "tf32": run.environment.tf32,
            "blipvid": run.blipvid,
            "packages": run.environment.packages,
        }
    )


def _flat(value: Any, key: str = "") -> dict[str, Any]:
    if not isinstance(value, Mapping):
        return {key: value}
    found: dict[str, Any] = {}
    for name, inner in value.items():
        found |= _flat(inner, f"{key}.{name}" if key else str(name))
    return found


def _differences(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    keys = dict.fromkeys([*one, *other])
    return {key: (one.get(key), other.get(key)) for key in keys if one.get(key) != other.get(key)}


def _size_of_move(move: Move) -> float:
    """Returns how many times the rank grew or shrank: from 1 to 50 is more than from 100 to 300."""
    if math.isinf(move.first) or math.isinf(move.second):
        return math.inf
    return abs(math.log(move.second / move.first))


def _rank_word(rank: float) -> str:
    return "miss" if math.isinf(rank) else f"{rank:g}"
