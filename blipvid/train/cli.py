"""The command line of training: `python -m blipvid.train RECIPE`."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from blipvid.core.errors import BlipvidError
from blipvid.core.threads import wait_passively

if TYPE_CHECKING:
    from blipvid.train.loop import Step

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def train(
    recipe: Annotated[str, typer.Argument(help="A shipped recipe by name, or the path of a .yaml file.")],
    out: Annotated[
        Path | None, typer.Option(help="Folder for checkpoints, metrics and the model; default runs/NAME.")
    ] = None,
    device: Annotated[str, typer.Option(help="auto or cpu.")] = "auto",
    every: Annotated[int, typer.Option(help="Steps between two lines of progress.")] = 50,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """Train a model by a recipe; the same command again goes on with a run that was interrupted."""
    try:
        written = _train(recipe, out, device, every)
    except BlipvidError as error:
        if debug:
            raise
        typer.secho(f"error: {error}", fg=typer.colors.RED, err=True)
        raise typer.Exit(error.exit_code) from error
    typer.echo(f"model written; evaluate it with --model {written}")


def _train(recipe: str, out: Path | None, device: str, every: int) -> Path:
    from blipvid.train.recipe import load_recipe  # heavy imports only once the arguments are known to be right
    from blipvid.train.run import run

    said = load_recipe(recipe)
    return run(said, out or Path("runs") / said.name, device, ProgressLines(every))


class ProgressLines:
    """Prints one line of progress every so many steps, losses as means since the last line.

    Args:
        every: Steps between two lines.
    """

    def __init__(self, every: int) -> None:
        self.every = every
        self._sums: dict[str, float] = {}
        self._count = 0

    def __call__(self, step: "Step") -> None:
        """Notes one step."""
        self._count += 1
        for name, loss in step.losses.items():
            self._sums[name] = self._sums.get(name, 0.0) + loss
        if step.number % self.every and step.number != step.steps:
            return
        losses = "  ".join(f"{name} {total / self._count:.3f}" for name, total in self._sums.items())
        left_s = round(step.remaining_s)
        print(
            f"step {step.number}/{step.steps}  {losses}  lr {step.lr:.2e}  {step.pictures_per_s:.0f} pictures/s  "
            f"{left_s // 60}:{left_s % 60:02d} left",
            flush=True,
        )
        self._sums, self._count = {}, 0


def main() -> None:
    """Runs the command line."""
    wait_passively()
    app(prog_name="python -m blipvid.train", args=sys.argv[1:])
