"""Two runs side by side: what was set differently, what came out differently, and whether that is more than chance."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from blipvid.bench.choices import Format
from blipvid.bench.compare_answers import compare_answers, set_against
from blipvid.bench.compare_captions import compare_captions
from blipvid.bench.compare_judgements import compare_judgements
from blipvid.bench.compare_ranks import compare_ranks
from blipvid.bench.compare_rounds import compare_rounds
from blipvid.bench.compared import Compared, Line
from blipvid.bench.labels import figure, metric_label, protocol_of, task_of, terms_of, words_of
from blipvid.bench.layout import print_table, tabulated
from blipvid.bench.record import Run, read_predictions, read_run
from blipvid.bench.tables import rows_of
from blipvid.core.errors import ConfigError

if TYPE_CHECKING:
    from rich.console import Console

HEADERS = ("metric", "first", "second", "difference", "won", "lost", "p")
NOT_PROTOCOL = ("published", "compare", "about", "name", "model")
"""Keys of a benchmark file that change no number of ours."""

NEITHER_SCORED = "Neither run is scored, so there are no figures to compare"
WRITTEN = {"qa": "answers", "caption": "captions"}
"""Task -> what differs between runs that nobody scored."""

_COMPARISONS: Mapping[str, Callable[..., Compared]] = {
    "retrieval": compare_ranks,
    "qa": compare_answers,
    "choice": compare_answers,
    "caption": compare_captions,
    "pairs": compare_judgements,
    "dialog": compare_rounds,
}


@dataclass(frozen=True, slots=True)
class RunComparison(Compared):
    """What `compare_runs` found.

    Attributes:
        first, second: The records.
        settings: Dotted key -> its two values, where they differ.
    """

    first: Run
    second: Run
    settings: Mapping[str, tuple[Any, Any]]


def compare_runs(first: Path, second: Path) -> RunComparison:
    """Compares two run folders, query by query where both ran the same queries.

    Args:
        first: One run folder.
        second: The other; differences are second minus first.

    Raises:
        ConfigError: A folder holds no run, or the two have no metric in common, unless each answered the same questions
            in one way: then the ways are compared; or neither is scored: then what they say.
    """
    one, other = read_run(first), read_run(second)
    unscored = task_of(one) == task_of(other) and not (one.metrics or other.metrics)
    figures = {row.metric: (row.ours, other.metrics[row.metric]) for row in rows_of(one) if row.metric in other.metrics}
    predictions = [read_predictions(first), read_predictions(second)]
    if not figures and task_of(one) == task_of(other) == "qa":
        apart = set_against((one.metrics, other.metrics), predictions)
        if apart is None and not unscored:
            raise ConfigError(
                f"{first} and {second} were answered in different ways and not about the same questions; answer in "
                'both ways in one run, by --set "answer_by=[generate, rank]".'
            )
        figures, predictions = apart or (figures, predictions)
    if not figures and not unscored:
        raise ConfigError(f"{first} and {second} have no metric in common ({one.name}; {other.name}).")
    found = _COMPARISONS[task_of(one)](figures, *predictions)
    return RunComparison(
        first=one,
        second=other,
        settings=_differences(_settings(one), _settings(other)),
        lines=found.lines,
        changes=found.changes,
        heads=found.heads,
        summary=_unscored_summary(one, found) if unscored else found.summary,
        notes=_notes(one, other, found),
        tests=found.tests,
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
    cells = [_cells(found, line) for line in found.lines]
    headers = HEADERS if cells else ()
    if form is not Format.RICH:
        rows = [
            {key: getattr(line, key) for key in ("metric", "first", "second", "won", "lost", "p")}
            for line in found.lines
        ]
        console.print(tabulated(headers, cells, rows, form), markup=False, highlight=False, soft_wrap=True)
        console = notes_console
    console.print(f"first:  {found.first.name}\nsecond: {found.second.name}", markup=False, highlight=False)
    if found.settings:
        settings = [[key, str(one), str(other)] for key, (one, other) in found.settings.items()]
        print_table(heads := ("set differently", "first", "second"), settings, console, words=heads)
    if form is Format.RICH:
        print_table(headers, cells, console)
    console.print(found.summary, markup=False, highlight=False, soft_wrap=True)
    if named := found.changes[:changes]:
        print_table(found.heads, [change.cells() for change in named], console, words=found.heads)
    for note in found.notes:
        console.print(note, style="dim", markup=False, highlight=False, soft_wrap=True)


def _cells(found: RunComparison, line: Line) -> list[str]:
    protocols = {protocol_of(run, line.metric) for run in (found.first, found.second)}
    return [
        metric_label(line.metric, protocols.pop() if len(protocols) == 1 else None, terms_of(found.first)),
        figure(line.metric, line.first),
        figure(line.metric, line.second),
        figure(line.metric, line.second - line.first, "+"),
        "" if line.won is None else f"{line.won:,}",
        "" if line.lost is None else f"{line.lost:,}",
        "" if line.p is None else f"{line.p:.2g}",
    ]


def _unscored_summary(run: Run, found: Compared) -> str:
    differ = f"; {len(found.changes):,} {written} differ" if (written := WRITTEN.get(task_of(run))) else ""
    return f"{NEITHER_SCORED}{differ}."


def _notes(one: Run, other: Run, found: Compared) -> list[str]:
    notes = list(found.notes)
    if one.data.sha256 != other.data.sha256:
        notes.append("The annotation files differ.")
    if not found.lines:
        return notes
    notes.append(found.tests)
    if max(run.coverage.items / run.coverage.clips for run in (one, other)) > 1:
        asked = words_of(one).asked.capitalize()
        notes.append(f"{asked} of one clip are not independent, so p is too small where a clip has several.")
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
            "answer list": run.details.get("answer_list", {}).get("sha256", "")[:12],
            "model": {"name": run.model.name, "sha256": run.model.sha256[:12], "image_size": run.model.image_size},
            "precision": run.runtime["precision"],
            "features kept as": run.details.get("cache", {}).get("kept_as", "fp32"),
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
