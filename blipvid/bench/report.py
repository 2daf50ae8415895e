"""One self-contained HTML page of one or several runs; nothing is loaded from elsewhere when it is opened."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from blipvid.bench.bars import accuracy_picture
from blipvid.bench.compare_answers import is_right
from blipvid.bench.curves import pictures
from blipvid.bench.labels import DIRECTIONS, task_of
from blipvid.bench.notes import notes, title
from blipvid.bench.progress import format_seconds
from blipvid.bench.record import Run, find_runs, read_predictions, read_run
from blipvid.bench.tables import Cells, compare_cells, metric_cells, run_cells
from blipvid.core.errors import ConfigError
from blipvid.core.files import replacing

WORST = 15
LISTED = 5

WRONG_OF_A_KIND = 4
"""Wrong answers shown of each kind of question and each protocol."""


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
    runs = {folder: read_run(folder) for folder in find_runs(folders)}
    page = template.render(
        together=_together(runs) if len(runs) > 1 else [],
        runs=[_section(run, read_predictions(folder)) for folder, run in runs.items()],
    )
    try:
        with replacing(out) as temporary:
            temporary.write_text(page, encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"--out {out}: cannot be written ({error.strerror}).") from error


def _together(runs: Mapping[Path, Run]) -> list[Cells]:
    found = []
    for task in dict.fromkeys(map(task_of, runs.values())):
        own = {folder: run for folder, run in runs.items() if task_of(run) == task}
        found.append(run_cells(list(own.values()), [folder.name for folder in own]))
    return found


def _section(run: Run, predictions: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    ranks = task_of(run) == "retrieval"
    return {
        "title": title(run),
        "table": metric_cells(run),
        "others": compare_cells(run) if run.compare else None,
        "pictures": pictures(predictions) if ranks else [accuracy_picture(run)],
        "notes": notes(run),
        "skipped": run.coverage.skipped,
        "worst": worst_queries(predictions) if ranks else [],
        "wrong": [] if ranks else wrong_answers(predictions),
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


def wrong_answers(predictions: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Returns some wrong answers of each kind and protocol, the commonest kinds and the surest answers first.

    Of questions in the same words only the surest answer is shown. Scores are comparable inside a protocol only.
    """
    kinds = Counter(row["kind"] for row in predictions)
    wrong: dict[tuple[str, str], dict[str, Mapping[str, Any]]] = {}
    answered = [row for row in predictions if row["prediction"] is not None]  # not those about clips without frames
    for row in sorted(answered, key=lambda row: -row["score"]):
        if not is_right(row):
            of_kind = wrong.setdefault((row["kind"], row.get("protocol", "choice")), {})
            of_kind.setdefault(_question_words(row), row)
    found = []
    for (_, protocol), rows in sorted(wrong.items(), key=lambda item: (-kinds[item[0][0]], item[0])):
        for question, row in list(rows.items())[:WRONG_OF_A_KIND]:
            found.append(
                {
                    "clip": row["clip"],
                    "kind": row["kind"],
                    "protocol": protocol,
                    "question": question,
                    "answer": row["answer"],
                    "prediction": row["prediction"],
                    "score": f"{row['score']:.2f}",
                }
            )
    return found


def _question_words(row: Mapping[str, Any]) -> str:
    options = f"({' / '.join(row['options'])})" if "options" in row else ""
    return f"{row['question']} {options}".strip()


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
