"""The commands `models` and `datasets`: what there is to choose from, and how to add to it."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from blipvid.bench import consoles
from blipvid.bench.choices import Layout
from blipvid.core.errors import ConfigError
from blipvid.core.files import replacing
from blipvid.core.places import definitions

if TYPE_CHECKING:
    from rich.table import Table

models = typer.Typer(help="Models: list, show, fetch, convert.", no_args_is_help=True, rich_markup_mode=None)
datasets = typer.Typer(help="Benchmarks and their data: list, show, new.", no_args_is_help=True, rich_markup_mode=None)

Name = Annotated[str, typer.Argument(help="Name or YAML file.")]


@models.command("list")
def list_models() -> None:
    """Lists the model files that ship with blipvid."""
    from blipvid.core.config import read_yaml, validate
    from blipvid.models.spec import ModelSpec

    table = _table("model", "task", "px", "about")
    for path in sorted(definitions("configs/models").glob("*.yaml")):
        spec = validate(ModelSpec, read_yaml(path), path)
        table.add_row(spec.name, spec.task, str(spec.image_size), spec.about or spec.checkpoint)
    consoles.out().print(table)


@models.command("show")
def show_model(name: Name) -> None:
    """Prints a model file as resolved."""
    import yaml

    from blipvid.models.zoo import load_spec

    typer.echo(yaml.safe_dump(load_spec(name).model_dump(exclude_none=True), sort_keys=False, allow_unicode=True))


@models.command("fetch")
def fetch_model(name: Name) -> None:
    """Downloads the weights of a model once, and checks them."""
    from blipvid.models.zoo import fetch_weights, load_spec

    path, digest = fetch_weights(load_spec(name))
    typer.echo(f"{path}\nsha256 {digest}")


@models.command("convert")
def convert_model(
    name: Name,
    out: Annotated[Path, typer.Argument(help="Folder to write into.")],
    layout: Annotated[Layout, typer.Option("--to", help="Layout to write.")] = Layout.BLIPVID,
    half: Annotated[bool, typer.Option("--half", help="Store weights in 16 bits: half the size, rounded.")] = False,
) -> None:
    """Writes a model in another layout: blipvid's own, the official .pth, or Hugging Face's."""
    from blipvid.models.convert import convert
    from blipvid.models.zoo import load_model

    loaded = load_model(name)
    typer.echo(str(convert(loaded.model, loaded.spec, layout.value, out, loaded.image_size, half)))


@datasets.command("list")
def list_datasets() -> None:
    """Lists the benchmarks that ship with blipvid, those of one task together."""
    from blipvid.data.schema import TASKS
    from blipvid.data.spec import list_benchmarks, load_benchmark

    table = _table("benchmark", "task", "about", "model")
    for spec in sorted(map(load_benchmark, list_benchmarks()), key=lambda spec: list(TASKS).index(spec.task)):
        table.add_row(spec.name, spec.task, spec.about, spec.model or "")
    consoles.out().print(table)


@datasets.command("show")
def show_dataset(name: Name) -> None:
    """Prints a benchmark as resolved: clips, frames, settings, published numbers, and where to obtain the data.

    What frames and settings are by default stands below, as comments.
    """
    import yaml

    from blipvid.data.spec import load_benchmark

    spec = load_benchmark(name)
    shown = spec.model_dump(mode="json", exclude_none=True, exclude_defaults=True)
    typer.echo(yaml.safe_dump(shown, sort_keys=False, allow_unicode=True, width=120))
    for section in ("frames", "settings"):
        whole = getattr(spec, section).model_dump(mode="json")
        defaults = {key: value for key, value in whole.items() if key not in shown.get(section, {})}
        words = yaml.safe_dump(defaults, sort_keys=False, allow_unicode=True, default_flow_style=True, width=10**6)
        typer.echo(f"# {section}, by default: {words}", nl=False)


@datasets.command("new")
def new_dataset(
    name: Annotated[str, typer.Argument(help="Name of the benchmark; NAME.yaml is written here.")],
    annotations: Annotated[Path | None, typer.Option(help="Annotation file: csv, tsv, json, jsonl, parquet.")] = None,
    media: Annotated[
        str | None, typer.Option(metavar="PATTERN", help="Media files, for instance 'clips/{clip}.mp4'.")
    ] = None,
    data_root: Annotated[Path | None, typer.Option(help="Folder below which both lie.")] = None,
) -> None:
    """Writes a commented benchmark file for an own dataset and runs the doctor on it."""
    from blipvid.bench.doctor import Question, examine, show_checks
    from blipvid.bench.new_dataset import benchmark_text

    path = Path(f"{name}.yaml")
    if path.exists():
        raise ConfigError(f"{path} exists already; choose another name or remove it.")
    text = benchmark_text(name, annotations, media, data_root)
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    typer.echo(f"written: {path}")
    show_checks(examine(Question(benchmark=str(path), data_root=data_root)), consoles.out())


def _table(*columns: str) -> "Table":
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold", no_wrap=column in ("benchmark", "model", "task"))
    return table
