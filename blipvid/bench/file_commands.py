"""The commands about files of one's own: `frames`, `ask`, `features` and `caption`; and `fetch_metrics`."""

from pathlib import Path
from typing import Annotated, Any

import typer

from blipvid.bench import consoles
from blipvid.bench.choices import Precision, Resize

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


def features(
    source: Annotated[Path, typer.Argument(metavar="FILE_OR_FOLDER", help="A video or picture, or a folder of them.")],
    out: Annotated[Path, typer.Option(help="The safetensors file to write.")] = Path("features.safetensors"),
    model: Annotated[str, typer.Option(help="Name or YAML file.")] = "blip-base-retrieval-coco",
    tokens: Annotated[bool, typer.Option("--tokens", help="Keep all tokens too; they are large.")] = False,
    texts: Annotated[Path | None, typer.Option(help="Texts to embed as well, one a line.")] = None,
    count: Annotated[int, typer.Option(min=1, help="Frames asked for of each video.")] = 8,
    sampler: Annotated[str, typer.Option(help="Which frames, see docs/protocols.md.")] = "blip-compat",
    size: Annotated[
        int | None, typer.Option(min=16, help="Side of the pictures in pixels; else the model's.", show_default=False)
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, mps.")] = "auto",
    precision: Annotated[Precision, typer.Option(help="Arithmetic of the encoders.")] = Precision.FP32,
    batch_size: Annotated[int, typer.Option(min=1, help="Frames encoded at once.")] = 32,
    workers: Annotated[
        int | None, typer.Option(min=0, help="Decoding processes; else one a core, at most 4.", show_default=False)
    ] = None,
) -> None:
    """Writes the embeddings of pictures and clips, and of texts; a run that was killed goes on where it was."""
    from blipvid.bench.environment import choose_workers
    from blipvid.bench.features import Extraction, extract
    from blipvid.bench.progress import progress_on
    from blipvid.core.types import Runtime
    from blipvid.models.devices import choose_device

    runtime = Runtime(choose_device(device), precision.value, batch_size, choose_workers(workers))
    asked = Extraction(source, out, model, tokens, texts, count, sampler, size, runtime)
    err = consoles.err()
    with progress_on(err) as progress:
        extract(asked, err, progress)


def caption(
    source: Annotated[Path, typer.Argument(metavar="FILE_OR_FOLDER", help="A video or picture, or a folder of them.")],
    model: Annotated[str, typer.Option(help="Name or YAML file.")] = "blip-base-caption-capfilt-large",
    count: Annotated[int, typer.Option(min=1, help="Frames asked for of each video.")] = 8,
    sampler: Annotated[str, typer.Option(help="Which frames, see docs/protocols.md.")] = "blip-compat",
    prompt: Annotated[
        str | None,
        typer.Option(help="What captions begin with, cut off again; else 'a picture of '.", show_default=False),
    ] = None,
    beams: Annotated[int, typer.Option(min=1, help="Beams of the search; 1 is greedy.")] = 3,
    nucleus: Annotated[bool, typer.Option("--nucleus", help="Draw captions by chance.")] = False,
    top_p: Annotated[float, typer.Option(help="For --nucleus: how much of the probability is drawn from.")] = 0.9,
    seed: Annotated[int, typer.Option(help="For --nucleus.")] = 42,
    max_tokens: Annotated[int, typer.Option(help="Longest caption in word pieces, with prompt and opening.")] = 20,
    min_tokens: Annotated[int, typer.Option(help="Shortest caption, counted likewise.")] = 5,
    out: Annotated[Path | None, typer.Option(help="A jsonl file to write captions into as well.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, mps.")] = "auto",
) -> None:
    """Says what can be seen in pictures and clips, a line each."""
    from blipvid.bench.caption import Captioning, show_captions

    writing: dict[str, Any] = {} if prompt is None else {"prompt": prompt}
    writing |= {
        "search": "nucleus" if nucleus else "beam",
        "beams": beams,
        "top_p": top_p,
        "seed": seed,
        "max_tokens": max_tokens,
        "min_tokens": min_tokens,
    }
    show_captions(Captioning(source, model, count, sampler, writing, out, device), consoles.out(), consoles.err())


def fetch_metrics() -> None:
    """Fetches the language models of the caption metric SPICE (384 MB), once."""
    from blipvid.bench.fetch_metrics import fetch_models

    fetch_models(consoles.err())
