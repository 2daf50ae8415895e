"""From records to the lines of tables: one run, several runs, other methods. Reads records only, computes no metric."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from blipvid.bench.labels import (
    ALL,
    BESIDE,
    CAPTION_MEASURES,
    FigureName,
    Terms,
    figure,
    measure_label,
    metric_label,
    protocol_of,
    task_of,
    terms_of,
    words_of,
)
from blipvid.bench.record import Comparison, Run

Cells = tuple[list[str], list[list[str]]]
"""Heads of the columns, and the lines below them."""


@dataclass(frozen=True, slots=True)
class Row:
    """One metric of one run; None where there is no such figure.

    Attributes:
        metric: Its flat name.
        ours: The figure.
        interval: Its 95% interval.
        questions: Questions it is about.
        clips: Clips that it is about, where captions are measured.
        itc: The same by cosine alone.
        vqa: The same by VQA-normalised match.
        commonest: Percent right if every such question got the commonest answer of its kind.
        chance: Percent right by guessing.
        published: The figure of the row that the run reproduces.
        difference: Ours minus published, where the two may be compared.
        protocol: In a word, how the figure came about.
        terms: What figures are called in its run.
    """

    metric: str
    ours: float
    interval: tuple[float, float] | None
    questions: int | None
    clips: int | None
    itc: float | None
    vqa: float | None
    commonest: float | None
    chance: float | None
    published: float | None
    difference: float | None
    protocol: str
    terms: Terms

    @property
    def label(self) -> str:
        """What the figure is called."""
        return metric_label(self.metric, self.protocol, self.terms)


def rows_of(run: Run) -> list[Row]:
    """Returns one row a metric; figures of another measure and published ones stand beside."""
    rows, terms = [], terms_of(run)
    by_cosine = run.details.get("score") == "cosine"  # then the figures by cosine alone are ours
    for name, ours in run.metrics.items():
        parts = FigureName.of(name)
        if parts.beside and parts.plain in run.metrics:
            continue
        beside = {prefix: run.metrics.get(f"{prefix}_{name}") for prefix in BESIDE}
        of_kind = {
            key: run.details.get(key, {}).get(parts.kind) if parts.kind else None
            for key in ("counts", "commonest", "chance")
        }
        published, difference = published_figure(run, name)
        rows.append(
            Row(
                metric=name,
                ours=ours,
                interval=run.intervals.get(name),
                questions=None if parts.owner in CAPTION_MEASURES else of_kind["counts"],
                clips=of_kind["counts"] if parts.owner in CAPTION_MEASURES else None,
                itc=None if by_cosine else beside["itc"],
                vqa=beside["vqa"],
                commonest=of_kind["commonest"],
                chance=of_kind["chance"],
                published=published,
                difference=difference,
                protocol=protocol_of(run, name),
                terms=terms,
            )
        )
    return rows


def published_figure(run: Run, metric: str) -> tuple[float | None, float | None]:
    """Returns the published figure of a metric, and ours minus that; None where there is none."""
    row = next((row for row in run.published if metric in row.metrics), None)
    return (row.metrics[metric], row.differences.get(metric)) if row else (None, None)


def _interval(row: Row) -> str:
    return f"[{', '.join(figure(row.metric, bound) for bound in row.interval)}]" if row.interval else ""


COLUMNS: Mapping[str, Callable[[Row], str]] = {
    "metric": lambda row: row.label,
    "questions": lambda row: "" if row.questions is None else f"{row.questions:,}",
    "clips": lambda row: "" if row.clips is None else f"{row.clips:,}",
    "ours": lambda row: figure(row.metric, row.ours),
    "95% interval": _interval,
    BESIDE["itc"]: lambda row: figure(row.metric, row.itc),
    BESIDE["vqa"]: lambda row: figure(row.metric, row.vqa),
    "commonest answer": lambda row: figure(row.metric, row.commonest),
    "chance": lambda row: figure(row.metric, row.chance),
    "published": lambda row: figure(row.metric, row.published),
    "difference": lambda row: figure(row.metric, row.difference, "+"),
}
"""Head of each column of the table of one run -> what stands in it."""


def metric_cells(run: Run) -> Cells:
    """Returns the table of one run, a line a metric; columns without any figure are left out."""
    lines = [{head: write(row) for head, write in COLUMNS.items()} for row in rows_of(run)]
    lines += _not_computed(run)
    heads = [head for head in COLUMNS if any(line.get(head) for line in lines)]
    return heads, [[line.get(head, "") for head in heads] for line in lines]


def _not_computed(run: Run) -> list[dict[str, str]]:
    """Returns a line for each metric that could not be computed, which says why, with the published figure beside."""
    return [
        {
            "metric": metric_label(name),
            "ours": f"not computed: {why}",
            "published": figure(name, published_figure(run, name)[0]),
        }
        for name, why in run.details.get("not_computed", {}).items()
    ]


def run_cells(runs: Sequence[Run], folders: Sequence[str] = ()) -> Cells:
    """Returns the table of several runs of one task, a line a run; figures of single kinds of question are left out.

    Args:
        runs: The runs.
        folders: Their names, where they are known: shown where nothing else tells the runs apart.
    """
    apart = _apart(runs, folders)
    figures = [_overall(run) for run in runs]
    heads = list(dict.fromkeys(head for of_run in figures for head in of_run))
    cells = [
        [
            str(run.benchmark["name"]),
            run.model.name,
            *(words[place] for words in apart.values()),
            f"{run.coverage.clips_used:,}/{run.coverage.clips:,}",
            *(of_run.get(head, "") for head in heads),
        ]
        for place, (run, of_run) in enumerate(zip(runs, figures, strict=True))
    ]
    return ["benchmark", "model", *apart, "clips", *heads], cells


def _apart(runs: Sequence[Run], folders: Sequence[str]) -> dict[str, Sequence[str]]:
    """Returns head -> cells of the column that tells runs of one benchmark and model apart, where it takes one."""
    if len({run.name for run in runs}) == len(runs):
        return {}
    changed = [", ".join(run.overrides) or "nothing" for run in runs]
    if len({(run.name, words) for run, words in zip(runs, changed, strict=True)}) == len(runs):
        return {"changed": changed}
    return {"folder": folders} if folders else {}


def _overall(run: Run) -> dict[str, str]:
    found = {}
    for row in rows_of(run):
        kind = FigureName.of(row.metric).kind
        if kind in (None, ALL):
            head = measure_label(row.metric, row.terms) if kind is None else row.label
            found[head] = figure(row.metric, row.ours)
    return found


def by_task(runs: Sequence[Run]) -> list[list[Run]]:
    """Returns the runs of each task together, for their figures share no column."""
    found: dict[str, list[Run]] = {}
    for run in runs:
        found.setdefault(task_of(run), []).append(run)
    return list(found.values())


def compare_cells(run: Run) -> Cells:
    """Returns the table of other methods, ours and the published rows first; a line for each way of answering."""
    rows = (*run.published, *run.compare)
    called = partial(measure_label, terms=terms_of(run))
    measured = dict.fromkeys(called(name) for row in rows for name in row.metrics)
    measures = [m for m in dict.fromkeys(map(called, run.metrics)) if m in measured] if run.metrics else list(measured)
    ours = {name: value for name, value in run.metrics.items() if called(name) in measured}
    lines = partial(_method_lines, called=called, measures=measures)
    cells = lines(f"ours: {run.model.name}", ours, partial(_plain_protocol, run), "this run")
    for row in rows:
        seen_in = f"{row.source} ({row.note})" if row.note else row.source
        cells += lines(row.label, row.metrics, _stated_protocol(row), seen_in)
    return ["method", *measures, words_of(run).chosen, "seen in"], cells


def _method_lines(
    label: str,
    metrics: Mapping[str, float],
    protocol: Callable[[str], str],
    seen_in: str,
    *,
    called: Callable[[str], str],
    measures: Sequence[str],
) -> list[list[str]]:
    lines: dict[str, dict[str, str]] = {}
    for name, value in metrics.items():
        lines.setdefault(protocol(name), {})[called(name)] = figure(name, value)
    return [
        [label, *(cells.get(measure, "") for measure in measures), how, seen_in]
        for how, cells in lines.items()
        if any(measure in cells for measure in measures)
    ]


def _plain_protocol(run: Run, name: str) -> str:
    """Figures by another measure stand in the line of the figures they belong to."""
    return protocol_of(run, FigureName.of(name).plain)


def _stated_protocol(row: Comparison) -> Callable[[str], str]:
    """Takes the word of the row, unless the row has one measure twice with different figures."""
    figures: dict[str, set[float]] = {}
    for name, value in row.metrics.items():
        figures.setdefault(measure_label(name), set()).add(value)
    if any(len(values) > 1 for values in figures.values()):
        return lambda name: FigureName.of(name).owner
    return lambda name: row.protocol
