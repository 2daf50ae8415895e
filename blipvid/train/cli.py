"""The command line of training: `blipvid train RECIPE`, or `python -m blipvid.train` as torchrun starts it."""

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from blipvid.core.errors import BlipvidError
from blipvid.core.threads import wait_passively


class Device(StrEnum):
    """What trains."""

    AUTO = "auto"
    CPU = "cpu"


def train(
    recipe: Annotated[str, typer.Argument(help="A shipped recipe by name, or the path of a .yaml file.")],
    out: Annotated[
        Path | None, typer.Option(help="Folder for states, metrics and the model; default runs/NAME.")
    ] = None,
    data_root: Annotated[
        Path | None, typer.Option(help="Folder below which pictures and annotations lie; default $BLIPVID_DATA.")
    ] = None,
    device: Annotated[
        Device, typer.Option(help="What trains: an accelerator where there is one, or the CPU.")
    ] = Device.AUTO,
    every: Annotated[int, typer.Option(min=1, help="Steps between two lines of progress.")] = 50,
    track: Annotated[
        list[str] | None, typer.Option(help="Tracker that is told as well: tensorboard, wandb; may be repeated.")
    ] = None,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """Train a model by a recipe; the same command again goes on with a run that was interrupted."""
    from accelerate import PartialState  # heavy imports only once the arguments are known to be right
    from rich.console import Console

    from blipvid.train.progress import progress_on
    from blipvid.train.recipe import load_recipe
    from blipvid.train.run import run
    from blipvid.train.states import last_whole, whole_states

    said = load_recipe(recipe)
    folder = out or Path("runs") / said.name
    if whole_states(folder):
        typer.echo(f"going on: {last_whole(folder)}")
    try:
        with progress_on(Console(), every) as progress:
            written = run(said, folder, device.value, progress, data_root, track or ())
    except KeyboardInterrupt:
        typer.echo(f"stopped: {last_whole(folder)}; the same command goes on from there", err=True)
        raise
    if PartialState().is_main_process:
        typer.echo(f"model written; evaluate it with --model {written}")


def main() -> None:
    """Runs the command line of training alone; a BlipvidError becomes one line and its exit code."""
    wait_passively()
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(train)
    try:
        app(prog_name="python -m blipvid.train", args=sys.argv[1:])
    except BlipvidError as error:
        if "--debug" in sys.argv:
            raise
        typer.secho(f"error: {error}", fg=typer.colors.RED, err=True)
        raise SystemExit(error.exit_code) from error
