"""One self-contained HTML page of one or several runs; nothing is loaded from elsewhere when it is opened."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from blipvid.bench.curves import pictures
from blipvid.bench.progress import format_seconds
from blipvid.bench.record import Run, find_runs, read_predictions, read_run
from blipvid.bench.tables import DIRECTIONS, compare_cells, metric_cells, notes, run_cells, title
from blipvid.core.errors import ConfigError
from blipvid.core.files import replacing

WORST = 15
LISTED = 5


def write_report(folders: Sequence[Path], out: Path) -> None:
    """Writes the report.

    Args:
        folders: Run folders, or folders that hold some.
        out: The HTML file.

    Raises:
        ConfigError: A folder holds no run, or the file cannot be written.
    """
    from jinja2 import Environment, PackageLoader

    template = Environment(
        loader=PackageLoader("blipvid.bench", "."), autoescape=True, trim_blocks=True, lstrip_blocks=True
    ).get_template("report.html.j2")
    found = [(read_run(folder), read_predictions(folder)) for folder in find_runs(folders)]
    runs = [run for run, _ in found]
    page = template.render(
        together=run_cells(runs) if len(runs) > 1 else None,
        runs=[_section(run, predictions) for run, predictions in found],
    )
    try:
        with replacing(out) as temporary:
            temporary.write_text(page, encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"--out {out}: cannot be written ({error.strerror}).") from error


def _section(run: Run, predictions: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return {
        "title": title(run),
        "table": metric_cells(run),
        "others": compare_cells(run) if run.compare else None,
        "pictures": pictures(predictions),
        "notes": notes(run),
        "skipped": run.coverage.skipped,
        "worst": worst_queries(predictions),
        "facts": _facts(run),
        "settings": {
            section: run.benchmark[section] for section in ("dataset", "frames", "settings") if section in run.benchmark
        },
    }


def worst_queries(predictions: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Returns the queries of each direction whose right item ranks last, and what was ranked before it."""
    found = []
    for direction, words in DIRECTIONS.items():
        own = [row for row in predictions if row.get("direction") == direction and row["rank"] != 1]
        own.sort(key=lambda row: -math.inf if row["rank"] is None else -row["rank"])
        for row in own[:WORST]:
            target = row["target"] if isinstance(row["target"], str) else ", ".join(row["target"][:3])
            found.append(
                {
                    "direction": words,
                    "query": row["query"],
                    "target": target,
                    "rank": "miss" if row["rank"] is None else f"{row['rank']:g}",
                    "top": row["top"][:LISTED],
                }
            )
    return found


def _facts(run: Run) -> dict[str, str]:
    environment = run.environment
    packages = ", ".join(f"{name} {version}" for name, version in environment.packages.items() if version)
    return {
        "command": run.command,
        "model": f"{run.model.name}, checkpoint sha256 {run.model.sha256}",
        "keys of the checkpoint": ", ".join(f"{count} {what}" for what, count in run.model.keys.items()),
        "annotations": f"{run.data.annotations}, sha256 {run.data.sha256}",
        "changed": ", ".join(run.overrides) or "nothing",
        "device": f"{environment.device}, {run.runtime['precision']}, {environment.cpu_threads} threads",
        "time": f"{format_seconds((run.ended - run.started).total_seconds())}, begun {run.started:%Y-%m-%d %H:%M} UTC",
        "software": f"blipvid {run.blipvid}, Python {environment.python}, {environment.platform}, {packages}",
    }
