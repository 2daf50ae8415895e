"""One self-contained HTML page of one or several runs; nothing is loaded from elsewhere when it is opened."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from blipvid.bench.bars import accuracy_picture
from blipvid.bench.compare_answers import how_right
from blipvid.bench.compare_judgements import truth_word
from blipvid.bench.curves import pictures
from blipvid.bench.labels import OF_VIDEOS, Terms, task_of, terms_of
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
    task = task_of(run)
    return {
        "title": title(run),
        "table": metric_cells(run),
        "others": compare_cells(run) if run.compare else None,
        "pictures": _pictures(run, predictions),
        "notes": notes(run),
        "skipped": run.coverage.skipped,
        "worst": _worst(run, predictions),
        "wrong": _wrong(task, predictions),
        "captions": worst_captions(predictions) if task == "caption" else [],
        "facts": _facts(run),
        "settings": {
            section: run.benchmark[section] for section in ("dataset", "frames", "settings") if section in run.benchmark
        },
    }


def _pictures(run: Run, predictions: Sequence[Mapping[str, Any]]) -> list[str]:
    task = task_of(run)
    if task == "retrieval":
        return pictures(predictions, terms_of(run))
    return [accuracy_picture(run)] if task in ("qa", "choice") and run.metrics else []


def _worst(run: Run, predictions: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    if task_of(run) == "dialog":
        return worst_rounds(predictions)
    return worst_queries(predictions, terms_of(run)) if task_of(run) == "retrieval" else []


def _wrong(task: str, predictions: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    if task == "pairs":
        return wrong_judgements(predictions)
    return wrong_answers(predictions) if task in ("qa", "choice") else []


def worst_rounds(predictions: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Returns the rounds of dialogs whose right answer ranks last, and what was ranked before it."""
    own = [row for row in predictions if row["answer"] is not None and row["rank"] != 1]
    own.sort(key=lambda row: -math.inf if row["rank"] is None else -row["rank"])
    return [
        {
            "direction": f"{row['clip']}, round {row['round']}",
            "query": row["question"],
            "target": row["answer"],
            "rank": "miss" if row["rank"] is None else f"{row['rank']:g}",
            "top": row["top"][:LISTED],
        }
        for row in own[:WORST]
    ]


def wrong_judgements(predictions: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Returns the sentences that were judged wrongly, the surest first."""
    own = [row for row in predictions if row["prediction"] is not None and not row["right"]]
    own.sort(key=lambda row: -abs(row["score"] - 0.5))
    return [
        {
            "clip": " + ".join(row["clips"]),
            "kind": "",
            "protocol": "judge",
            "question": row["sentence"],
            "answer": truth_word(row["label"]),
            "prediction": truth_word(row["prediction"]),
            "score": f"{row['score']:.2f}",
        }
        for row in own[:WORST]
    ]


def worst_captions(predictions: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Returns the captions with the lowest CIDEr; where nothing was scored, the first ones."""
    rows = sorted(predictions, key=lambda row: row["metrics"].get("cider", 0.0))
    return [
        {
            "clip": row["clip"],
            "prediction": "no frames" if row["prediction"] is None else row["prediction"],
            "references": row["references"][:LISTED],
            "cider": f"{row['metrics']['cider']:.1f}" if "cider" in row["metrics"] else "",
        }
        for row in rows[:WORST]
    ]


def worst_queries(predictions: Sequence[Mapping[str, Any]], terms: Terms = OF_VIDEOS) -> list[dict[str, Any]]:
    """Returns the queries of each direction whose right item ranks last, and what was ranked before it."""
    found = []
    for direction, words in terms.directions.items():
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
        if how_right(row) == 0:
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
