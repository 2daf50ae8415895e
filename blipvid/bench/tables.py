"""From records to tables: rows of figures first, then one of five formats. Reads records only, computes no metric."""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from blipvid.bench.choices import Format
from blipvid.bench.record import Run

if TYPE_CHECKING:
    from rich.console import Console

ITC = "itc_"
"""Prefix of the figures by cosine alone, kept beside the re-ranked ones."""

DIRECTIONS = {"t2v": "text-to-video", "v2t": "video-to-text"}
MEASURES = {"r1": "R@1", "r5": "R@5", "r10": "R@10", "mdr": "MdR", "mnr": "MnR"}

COLUMNS = ("metric", "ours", "95% interval", "ITC only", "published", "difference")


@dataclass(frozen=True, slots=True)
class Row:
    """One metric of one run; None where there is no such figure."""

    metric: str
    ours: float
    interval: tuple[float, float] | None = None
    itc: float | None = None
    published: float | None = None
    difference: float | None = None


def rows_of(run: Run) -> list[Row]:
    """Returns one row a metric; figures by cosine alone stand beside, and published ones where a row has them."""
    rows = []
    by_cosine = run.details.get("score") == "cosine"  # then the figures by cosine alone are ours
    for name, ours in run.metrics.items():
        if name.startswith(ITC) and name.removeprefix(ITC) in run.metrics:
            continue
        beside = next((row for row in run.published if name in row.metrics), None)
        rows.append(
            Row(
                metric=name,
                ours=ours,
                interval=run.intervals.get(name),
                itc=None if by_cosine else run.metrics.get(ITC + name),
                published=beside.metrics[name] if beside else None,
                difference=beside.differences.get(name) if beside else None,
            )
        )
    return rows


def metric_label(name: str) -> str:
    """Returns `text-to-video R@1` for `t2v_r1`; a name of another make stays."""
    prefix = "ITC only " if name.startswith(ITC) else ""
    direction, _, measure = name.removeprefix(ITC).partition("_")
    if direction in DIRECTIONS and measure in MEASURES:
        return f"{prefix}{DIRECTIONS[direction]} {MEASURES[measure]}"
    return name


def figure(name: str, value: float | None, sign: str = "") -> str:
    """Returns a figure as a table shows it: percentages and mean ranks with one digit, median ranks as they are."""
    if value is None:
        return ""
    if name.endswith("_mdr"):
        return f"{value:{sign}g}"
    return f"{value:{sign}.1f}"


def title(run: Run) -> str:
    """Returns benchmark, model and what the figures stand on."""
    coverage = run.coverage
    return f"{run.name} · {coverage.clips_used:,} of {coverage.clips:,} clips, {coverage.items:,} texts"


def notes(run: Run) -> list[str]:
    """Returns what must stand below the table, one sentence each."""
    found = [f"Protocol: {run.protocol}"]
    for row in run.published:
        about = "; ".join(part for part in (row.source, row.checkpoint, row.protocol, row.note) if part)
        found.append(f"Published: {row.label} ({about}).")
    found += [f"No difference is shown: {reason}." for reason in run.not_comparable if run.published]
    found += [f"Beware: {caveat}." for caveat in run.caveats]
    found += [_sentence(note) for note in (*run.data.notes, *run.details.get("notes", ()))]
    if readers := run.details.get("backends"):
        found.append(f"Read by: {', '.join(f'{name} ({clips:,} clips)' for name, clips in readers.items())}.")
    for note in run.details.get("frame_notes", ()):
        found.append(f"{note['clips']:,} clips: {_sentence(note['note'])} First: {', '.join(note['first'])}.")
    if tied := sum(counts["tied"] for counts in run.details.get("ties", {}).values() if isinstance(counts, dict)):
        found.append(f"Queries with a tied rank: {tied:,}.")
    if paired := run.details.get("paired"):
        found.append(
            f"{metric_label(paired['metric'])}, {paired['ours']} against {paired['theirs']}: "
            f"queries won {paired['gained']:,}, lost {paired['lost']:,}, p = {paired['p']:.2g} ({paired['test']})."
        )
    found += [f"Skipped: {_sentence(clip.reason)}" for clip in run.coverage.skipped[:10]]
    if (more := len(run.coverage.skipped) - 10) > 0:
        found.append(f"Skipped besides: {more:,} clips, all named in run.json.")
    return found


def _sentence(note: str) -> str:
    first = note.partition(" ")[0]
    begin = note[:1].upper() if first.isalpha() else note[:1]  # a key such as rerank_top_k stays as it is
    return f"{begin}{note[1:].rstrip('.')}."


def render(runs: Sequence[Run], form: Format) -> str:
    """Writes the one table of a run, or of several runs, in a format for files and pipes.

    Args:
        runs: At least one.
        form: Anything but `rich`.

    Returns:
        One table. With one run a row is a metric; with several a row is a run, except in csv and json, which always
        hold one row for each run and metric.
    """
    if form is Format.JSON:
        return json.dumps([_as_json(run) for run in runs], indent=2, ensure_ascii=False)
    headers, cells = metric_cells(runs[0]) if len(runs) == 1 else run_cells(runs)
    return tabulated(headers, cells, [line for run in runs for line in _long_rows(run)], form)


def tabulated(
    headers: Sequence[str], cells: Sequence[Sequence[str]], rows: Sequence[Mapping[str, Any]], form: Format
) -> str:
    """Writes one table.

    Args:
        headers: Of the columns of `cells`.
        cells: As people read them; for markdown and latex.
        rows: As programs read them, unrounded; for csv and json.
        form: Anything but `rich`.
    """
    if form is Format.JSON:
        return json.dumps(rows, indent=2, ensure_ascii=False)
    if form is Format.CSV:
        text = io.StringIO()
        writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        return text.getvalue().rstrip("\n")
    from tabulate import tabulate

    layout = {Format.MARKDOWN: "pipe", Format.LATEX: "latex_booktabs"}[form]
    aligned = ("left", *["right"] * (len(headers) - 1))
    return tabulate(cells, headers, tablefmt=layout, colalign=aligned, disable_numparse=True)


def markdown_page(run: Run) -> str:
    """Returns `table.md`: heading, table, rows of other methods, notes."""
    parts = [f"# {title(run)}", render([run], Format.MARKDOWN)]
    if run.compare:
        from tabulate import tabulate

        headers, cells = compare_cells(run)
        parts += ["## Other methods", tabulate(cells, headers, tablefmt="pipe", disable_numparse=True)]
    parts.append("\n".join(f"- {note}" for note in notes(run)))
    return "\n\n".join(parts) + "\n"


def show(run: Run, console: "Console") -> None:
    """Prints the rows of other methods, which can be many, then the table of the run and the notes."""
    if run.compare:
        _print_table(f"{run.benchmark['name']}: other methods", *compare_cells(run), console)
    _print_table(title(run), *metric_cells(run), console)
    _print_notes(run, console)


def show_notes(run: Run, console: "Console") -> None:
    """Prints what stands around the table, for formats that print nothing but the table."""
    console.print(title(run), style="bold", markup=False, highlight=False, soft_wrap=True)
    _print_notes(run, console)


def show_together(runs: Sequence[Run], console: "Console") -> None:
    """Prints one row a run."""
    _print_table("All runs", *run_cells(runs), console)


def compare_cells(run: Run) -> tuple[list[str], list[list[str]]]:
    """Returns the table of other methods, ours and the published row first."""
    names = [n for n in run.metrics if any(n in row.metrics for row in (*run.compare, *run.published))]
    headers = ["method", *(_short_label(name) for name in names), "ranked by", "seen in"]
    ranked_by = "cosine" if run.details.get("score") == "cosine" else "re-ranked"
    ours = [f"ours: {run.model.name}", *(figure(n, run.metrics[n]) for n in names), ranked_by, "this run"]
    cells = [ours]
    for row in (*run.published, *run.compare):
        seen_in = f"{row.source} ({row.note})" if row.note else row.source
        cells.append([row.label, *(figure(n, row.metrics.get(n)) for n in names), row.protocol, seen_in])
    return headers, cells


def metric_cells(run: Run) -> tuple[list[str], list[list[str]]]:
    """Returns headers and lines of the table of one run, a line a metric; columns without any figure are left out."""
    cells = []
    for row in rows_of(run):
        low_high = [figure(row.metric, bound) for bound in row.interval] if row.interval else []
        cells.append(
            [
                metric_label(row.metric),
                figure(row.metric, row.ours),
                f"[{', '.join(low_high)}]" if low_high else "",
                figure(row.metric, row.itc),
                figure(row.metric, row.published),
                figure(row.metric, row.difference, "+"),
            ]
        )
    used = [k for k in range(len(COLUMNS)) if k < 2 or any(line[k] for line in cells)]
    return [COLUMNS[k] for k in used], [[line[k] for k in used] for line in cells]


def run_cells(runs: Sequence[Run]) -> tuple[list[str], list[list[str]]]:
    """Returns headers and lines of the table of several runs, a line a run."""
    names = list(dict.fromkeys(row.metric for run in runs for row in rows_of(run)))
    headers = ["benchmark", "model", "clips", *(_short_label(name) for name in names)]
    cells = [
        [
            str(run.benchmark["name"]),
            run.model.name,
            f"{run.coverage.clips_used:,}/{run.coverage.clips:,}",
            *(figure(name, run.metrics.get(name)) for name in names),
        ]
        for run in runs
    ]
    return headers, cells


def _short_label(name: str) -> str:
    direction, _, measure = name.partition("_")
    return f"{direction} {MEASURES[measure]}" if measure in MEASURES else name


def _print_notes(run: Run, console: "Console") -> None:
    for note in notes(run):
        console.print(note, style="dim", markup=False, highlight=False, soft_wrap=True)


def _print_table(heading: str, headers: list[str], cells: list[list[str]], console: "Console") -> None:
    from rich.table import Table

    table = Table()
    for header in headers:
        numeric = header in COLUMNS[1:] or any(measure in header for measure in MEASURES.values())
        table.add_column(header, justify="right" if numeric else "left", overflow="fold")
    for line in cells:
        table.add_row(*line)
    # The heading stands by itself, for a title would be broken to the width of the table.
    console.print(heading, style="bold", markup=False, highlight=False, soft_wrap=True)
    console.print(table)


def _long_rows(run: Run) -> list[dict[str, Any]]:
    begin = {
        "benchmark": run.benchmark["name"],
        "model": run.model.name,
        "clips_used": run.coverage.clips_used,
        "clips": run.coverage.clips,
    }
    found = []
    for row in rows_of(run):
        low, high = row.interval or (None, None)
        found.append(
            {
                **begin,
                "metric": row.metric,
                "ours": row.ours,
                "low": low,
                "high": high,
                "itc": row.itc,
                "published": row.published,
                "difference": row.difference,
            }
        )
    return found


def _as_json(run: Run) -> dict[str, Any]:
    return {
        "benchmark": run.benchmark["name"],
        "model": run.model.name,
        "protocol": run.protocol,
        "coverage": run.coverage.model_dump(mode="json"),
        "rows": [
            {key: row[key] for key in ("metric", "ours", "low", "high", "itc", "published", "difference")}
            for row in _long_rows(run)
        ],
        "compare": [row.model_dump(mode="json", exclude={"differences"}) for row in run.compare],
        "notes": notes(run),
    }
