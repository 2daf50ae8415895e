"""The commands about one file: `frames` and `ask`."""

from pathlib import Path
from typing import Annotated

import typer

from blipvid.bench import consoles
from blipvid.bench.choices import Resize

File = Annotated[Path, typer.Argument(help="A video or picture.")]
Start = Annotated[float | None, typer.Option(min=0, help="Begin of the window in seconds.")]
End = Annotated[float | None, typer.Option(min=0, help="End of the window in seconds.")]


def frames(
    file: File,
    sampler: Annotated[str, typer.Option(help="Which frames, see docs/protocols.md.")] = "blip-compat",
    count: Annotated[int, typer.Option(min=1, help="Frames asked for.")] = 8,
    size: Annotated[int, typer.Option(min=16, help="Side of the square pictures in pixels.")] = 384,
    resize: Annotated[Resize, typer.Option(help="How frames are brought to size.")] = Resize.DECODER,
    backend: Annotated[str, typer.Option(help="auto, decord, pyav or an announced reader.")] = "auto",
    start: Start = None,
    end: End = None,
    seed: Annotated[int, typer.Option(help="For --sampler random.")] = 42,
    fps: Annotated[float | None, typer.Option(help="Frames a second, for --sampler fps.")] = None,
    sheet: Annotated[Path | None, typer.Option(help="Save the frames as one PNG.")] = None,
) -> None:
    """Shows which frames of a file are taken, and what the model sees."""
    from blipvid.bench.frames import show_frames
    from blipvid.core.config import validate
    from blipvid.core.settings import FrameSettings
    from blipvid.core.types import Clip

    asked = {"sampler": sampler, "count": count, "size": size, "resize": resize.value, "backend": backend}
    settings = validate(FrameSettings, {**asked, "seed": seed, "rate_fps": fps}, "blipvid frames")
    show_frames(Clip(file.stem, file, start, end), settings, sheet, consoles.out())


def ask(
    file: File,
    questions: Annotated[list[str], typer.Argument(metavar="QUESTION...", help="One or more, each in quotes.")],
    model: Annotated[str, typer.Option(help="Name or YAML file.")] = "blip-vqa-capfilt-large",
    answers: Annotated[
        Path | None, typer.Option(help="Answers to choose from, one a line; else the model's own words.")
    ] = None,
    count: Annotated[int, typer.Option("--frames", min=1, help="Frames asked for.")] = 16,
    top: Annotated[int, typer.Option(min=1, help="Answers shown; of the model's own words at most 3.")] = 3,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, mps.")] = "auto",
    sampler: Annotated[
        str | None,
        typer.Option(help="Which frames; else blip-compat, in a window uniform.", show_default=False),
    ] = None,
    start: Start = None,
    end: End = None,
) -> None:
    """Answers questions about one file."""
    from blipvid.bench.ask import Asking, show_answers

    asked = Asking(file, questions, model, answers, count, top, device, sampler, start, end)
    show_answers(asked, consoles.out())
