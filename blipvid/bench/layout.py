"""From the lines of tables to one of five formats: for a terminal, a page, a paper, or another program."""

import csv
import io
import json
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from blipvid.bench.choices import Format
from blipvid.bench.notes import notes, title
from blipvid.bench.record import Run
from blipvid.bench.tables import Row, by_task, compare_cells, metric_cells, published_figure, rows_of, run_cells

if TYPE_CHECKING:
    from rich.console import Console

WORDS = (
    "metric",
    "method",
    "benchmark",
    "model",
    "changed",
    "folder",
    "ranked by",
    "answered by",
    "chosen by",
    "captioned by",
    "judged by",
    "seen in",
)
"""Heads of columns that hold words; all others hold figures."""


def render(runs: Sequence[Run], form: Format) -> str:
    """Writes the table of a run, or of several runs, in a format for files and pipes.

    Args:
        runs: At least one.
        form: Anything but `rich`.

    Returns:
        With one run a row is a metric. With several a row is a run, in one table a task; except in csv and json, which
        always hold one row for each run and metric. Metrics that were not computed stand below the others with the
        reason; in json apart from the rows.
    """
    if form is Format.JSON:
        return json.dumps([_as_json(run) for run in runs], indent=2, ensure_ascii=False)
    tables = [metric_cells(runs[0])] if len(runs) == 1 else [run_cells(own) for own in by_task(runs)]
    rows = [line for run in runs for line in _long_rows(run)]
    if form is Format.CSV:
        return tabulated(*tables[0], rows, form)
    return "\n\n".join(tabulated(headers, cells, rows, form) for headers, cells in tables)


def tabulated(
    headers: Sequence[str], cells: Sequence[Sequence[str]], rows: Sequence[Mapping[str, Any]], form: Format
) -> str:
    """Writes one table.

    Args:
        headers: Of the columns of `cells`.
        cells: As people read them; for markdown and latex.
        rows: As programs read them, unrounded; for csv and json.
        form: Anything but `rich`.

    Returns:
        Nothing where there are no figures, except in json.
    """
    if form is Format.JSON:
        return json.dumps(rows, indent=2, ensure_ascii=False)
    if form is Format.CSV:
        if not rows:
            return ""
        text = io.StringIO()
        writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        return text.getvalue().rstrip("\n")
    if not headers:
        return ""
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
    return "\n\n".join(filter(None, parts)) + "\n"


def show(run: Run, console: "Console") -> None:
    """Prints the rows of other methods, which can be many, then the table of the run and the notes."""
    if run.compare:
        _heading(f"{run.benchmark['name']}: other methods", console)
        print_table(*compare_cells(run), console)
    _heading(title(run), console)
    print_table(*metric_cells(run), console)
    _print_notes(run, console)


def show_notes(run: Run, console: "Console") -> None:
    """Prints what stands around the table, for formats that print nothing but the table."""
    _heading(title(run), console)
    _print_notes(run, console)


def show_together(runs: Sequence[Run], console: "Console") -> None:
    """Prints one row a run; runs of one task share a table, and a run that is alone in its task needs none."""
    for own in by_task(runs):
        if len(own) > 1:
            _heading("All runs", console)
            print_table(*run_cells(own), console)


def print_table(
    headers: Sequence[str], cells: Sequence[Sequence[str]], console: "Console", words: Collection[str] = WORDS
) -> None:
    """Prints one table; columns whose head is among `words` stand to the left, all others hold figures."""
    from rich.table import Table
    from rich.text import Text

    if not headers:
        return
    table = Table()
    for header in headers:
        table.add_column(header, justify="left" if header in words else "right", overflow="fold")
    for line in cells:
        table.add_row(*map(Text, line))  # names and answers are not markup
    console.print(table)


def _heading(text: str, console: "Console") -> None:
    # A heading stands by itself, for a table's title would be broken to the width of the table.
    console.print(text, style="bold", markup=False, highlight=False, soft_wrap=True)


def _print_notes(run: Run, console: "Console") -> None:
    for note in notes(run):
        console.print(note, style="dim", markup=False, highlight=False, soft_wrap=True)


def _figures(row: Row) -> dict[str, Any]:
    low, high = row.interval or (None, None)
    return {
        "metric": row.metric,
        "ours": row.ours,
        "low": low,
        "high": high,
        "itc": row.itc,
        "published": row.published,
        "difference": row.difference,
        "vqa": row.vqa,
        "questions": row.questions,
        "commonest": row.commonest,
        "chance": row.chance,
        "protocol": row.protocol,
    }


def _long_rows(run: Run) -> list[dict[str, Any]]:
    begin = {
        "benchmark": run.benchmark["name"],
        "model": run.model.name,
        "clips_used": run.coverage.clips_used,
        "clips": run.coverage.clips,
    }
    rows = [{**_figures(row), "not_computed": None} for row in rows_of(run)]
    rows += [
        {"metric": name, "published": published_figure(run, name)[0], "not_computed": why}
        for name, why in run.details.get("not_computed", {}).items()
    ]
    return [{**begin, **row} for row in rows]


def _as_json(run: Run) -> dict[str, Any]:
    return {
        "benchmark": run.benchmark["name"],
        "model": run.model.name,
        "protocol": run.protocol,
        "coverage": run.coverage.model_dump(mode="json"),
        "rows": [_figures(row) for row in rows_of(run)],
        "compare": [row.model_dump(mode="json", exclude={"differences"}) for row in run.compare],
        "not_computed": run.details.get("not_computed", {}),
        "notes": notes(run),
    }
