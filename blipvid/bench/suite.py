"""The rows of BLIP's paper, each with its published figures, the checkpoint it takes and the command that gives ours.

Nothing is written down here: the rows are the `published` ones of the benchmark files, told by their source.
"""

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from blipvid.bench.choices import Format
from blipvid.bench.labels import Terms, measure_label
from blipvid.bench.layout import print_table, tabulated
from blipvid.core.config import read_yaml
from blipvid.core.places import definitions
from blipvid.data.schema import BenchmarkSpec, Published
from blipvid.data.spec import list_benchmarks, load_benchmark

if TYPE_CHECKING:
    from rich.console import Console

PAPER = re.compile(r"arXiv:2201\.12086, Table (\d+)$")

TABLES: Mapping[int, str] = {
    5: "Image-text retrieval, fine-tuned",
    6: "Image-text retrieval on Flickr30K, fine-tuned on COCO only",
    7: "Captioning, fine-tuned on COCO",
    8: "VQA v2 and NLVR2",
    9: "VisDial v1.0",
    10: "Text-to-video retrieval, zero-shot",
    11: "Video question answering, zero-shot",
}
"""Number of a table in the paper -> what it is about."""

HEADS = ("table", "benchmark", "row", "published", "checkpoint", "command")

NOTES = (
    "Where no checkpoint was released a row can be re-trained only (docs/training.md); the recipe leaves the model "
    "that the second command names.",
    "Ablations (Tables 1 to 4, 12 and 13) have no released checkpoints and no place here.",
)


@dataclass(frozen=True, slots=True)
class SuiteRow:
    """One row of the paper.

    Attributes:
        table: Its number in the paper.
        spec: The benchmark that reproduces it.
        row: Label, figures and checkpoint.
    """

    table: int
    spec: BenchmarkSpec
    row: Published

    @property
    def checkpoint(self) -> str:
        """The released model, or how to make one, or why it is not known which it was."""
        if self.row.model is not None:
            return self.row.model
        if self.row.recipe is None:
            return self.row.checkpoint or "not on record"
        other = f" with start_from: {self.row.start_from}" if self.row.start_from else ""
        return f"re-train only: {self.row.recipe}{other}"

    @property
    def model(self) -> str:
        """What `--model` takes: a name, or the file that the recipe leaves."""
        if self.row.recipe is None:
            return self.row.model or self.spec.model or "MODEL"
        trained = Path(read_yaml(definitions("configs/train") / f"{self.row.recipe}.yaml")["model"]).stem
        return f"runs/{self.row.recipe}/model/{trained}.yaml"

    def command(self, data_root: Path | None) -> str:
        """The command that gives our figures beside the published ones."""
        return f"python run_bench.py {self.spec.name} --model {self.model} --data-root {_quoted(data_root)}"

    def training(self, data_root: Path | None) -> str:
        """The command that makes the model first; nothing where it was released."""
        if self.row.recipe is None:
            return ""
        note = f"  # a copy of the recipe with start_from: {self.row.start_from}" if self.row.start_from else ""
        return f"blipvid train {self.row.recipe} --data-root {_quoted(data_root)}{note}"

    @property
    def figures(self) -> str:
        """The published figures, as the paper prints them."""
        terms = Terms("image" if self.spec.frames.of_pictures else "video", "accuracy")
        said = (f"{measure_label(name, terms)} {_printed(name, value)}" for name, value in self.row.metrics.items())
        return ", ".join(dict.fromkeys(said))  # of one figure under two protocols one


def _quoted(data_root: Path | None) -> str:
    return "DIR" if data_root is None else shlex.quote(str(data_root))


def _printed(name: str, value: float) -> str:
    return f"{value:g}" if name.endswith("_mdr") else str(value)


def paper_rows() -> list[SuiteRow]:
    """Returns the rows about BLIP itself, by table, benchmark, and order in the file."""
    found = []
    for name in list_benchmarks():
        spec = load_benchmark(name)
        for row in spec.published:
            if match := PAPER.match(row.source):
                found.append(SuiteRow(int(match[1]), spec, row))
    return sorted(found, key=lambda one: one.table)


def show_suite(form: Format, data_root: Path | None, console: "Console") -> None:
    """Prints the rows of the paper.

    Args:
        form: `rich` gives a table for each of the paper, the others give one for all; csv and json have a row a figure.
        data_root: Stands in the commands; None leaves DIR there.
        console: Where to print tables for people.
    """
    rows = paper_rows()
    cells = [
        [str(one.table), one.spec.name, one.row.label, one.figures, one.checkpoint, one.command(data_root)]
        for one in rows
    ]
    if form is not Format.RICH:
        long = [figure for one in rows for figure in _long_rows(one, data_root)]
        typer.echo(tabulated(HEADS, cells, long, form))
        return
    for table, about in TABLES.items():
        _say(f"Table {table}. {about}", console, style="bold")
        own = [line for line in cells if line[0] == str(table)]
        print_table(HEADS[1:-1], [line[1:-1] for line in own], console, words=HEADS)
        for row in (one for one in rows if one.table == table):  # whole lines, for a cell would break them
            _say(f"# {row.spec.name}, {row.row.label}", console, style="dim")
            for command in filter(None, (row.training(data_root), row.command(data_root))):
                _say(command, console)
    for note in NOTES:
        _say(note, console, style="dim")


def _long_rows(one: SuiteRow, data_root: Path | None) -> list[dict[str, Any]]:
    return [
        {
            "table": one.table,
            "benchmark": one.spec.name,
            "row": one.row.label,
            "metric": metric,
            "published": value,
            "checkpoint": one.row.checkpoint,
            "model": one.row.model,
            "recipe": one.row.recipe,
            "start_from": one.row.start_from,
            "command": one.command(data_root),
        }
        for metric, value in one.row.metrics.items()
    ]


def _say(sentence: str, console: "Console", style: str | None = None) -> None:
    console.print(sentence, style=style, markup=False, highlight=False, soft_wrap=True)
