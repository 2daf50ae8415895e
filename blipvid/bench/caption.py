"""Captions one file, or all pictures and videos below a folder: one line each, as soon as it is written."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import torch

from blipvid.bench.environment import choose_workers
from blipvid.core.config import validate
from blipvid.core.errors import ConfigError, DecodeError
from blipvid.core.features import Answer
from blipvid.core.protocols import no_progress
from blipvid.core.settings import CaptionSettings, FrameSettings
from blipvid.core.types import Clip, Runtime
from blipvid.evaluate.captioning import Captions
from blipvid.evaluate.features import ClipStream
from blipvid.library import Model, load_model
from blipvid.media.folder import find_media
from blipvid.media.loader import load_clips
from blipvid.media.sampling import SAMPLERS
from blipvid.models.devices import choose_device

if TYPE_CHECKING:
    from rich.console import Console


@dataclass(frozen=True, slots=True)
class Captioning:
    """What the command line asked for.

    Attributes:
        source: A video or picture, or a folder of them.
        model: Name or path of the model file.
        count: Frames asked for of each video.
        sampler: Which frames.
        writing: Keys of `Writing` -> values.
        out: File to write captions into as well, one JSON object a line, or None.
        device: A torch device, or `auto`.
    """

    source: Path
    model: str
    count: int
    sampler: str
    writing: dict[str, Any]
    out: Path | None
    device: str


def show_captions(asked: Captioning, console: "Console", warnings: "Console") -> None:
    """Captions files in the order of their names. A file that gives no frames is one warning, and the others go on.

    Args:
        asked: The files and how to go about them.
        console: Where captions are printed.
        warnings: Where warnings are printed.

    Raises:
        ConfigError: No such file, folder, model or sampler, settings that cannot be, or an `out` that is there already
            or cannot be written.
        CapabilityError: The model writes no captions.
        DecodeError: Files gave no frames; the others are captioned.
        BlipvidError: The model's numbers are not finite.
    """
    settings = validate(CaptionSettings, {**asked.writing, "on_error": "skip"}, "blipvid caption")
    clips = find_media(asked.source)
    SAMPLERS.get(asked.sampler)
    broken = 0
    with _writing_to(asked.out) as file, torch.inference_mode():
        model = load_model(asked.model, asked.device)
        for clip, outcome in _outcomes(clips, model, settings, asked):
            if isinstance(outcome, Answer):
                text = outcome.text.strip()
                row = {"file": clip.id, "caption": text, "score": round(outcome.score, 6)}
                console.print(f"{clip.id}: {text}", markup=False, highlight=False, soft_wrap=True)
            else:
                broken += 1
                row = {"file": clip.id, "caption": None, "error": outcome}
                warnings.print(f"warning: {outcome}", style="yellow", markup=False, highlight=False, soft_wrap=True)
            if file is not None:
                file.write(json.dumps(row, ensure_ascii=False) + "\n")
                file.flush()
    if broken:
        rest = "" if broken == len(clips) else "; the others are captioned"
        raise DecodeError(f"{broken:,} of {len(clips):,} files give no frames{rest}.")


def _outcomes(
    clips: Sequence[Clip], model: Model, settings: CaptionSettings, asked: Captioning
) -> Iterator[tuple[Clip, Answer | str]]:
    """Yields clips in order, each with its caption, or with the reason why it has none, as soon as that is known."""
    captioner = model.ask_for_captioner()
    words = {"sampler": asked.sampler, "count": asked.count, "size": model.image_size}
    frames = validate(FrameSettings, words, "blipvid caption")
    # in processes of their own, for a hostile file may take its process down
    load = partial(load_clips, settings=frames, workers=choose_workers(None))
    captions, runtime = Captions(clips, captioner, settings), Runtime(device=choose_device(asked.device))
    told = 0
    with ClipStream(clips, load, captioner, settings, runtime, no_progress) as stream:
        for _ in _steps(stream, captions):
            why = {one.clip_id: one.reason.removeprefix(f"clip '{one.clip_id}': ") for one in stream.skipped}
            while told < len(clips) and (outcome := captions.found[told] or why.get(clips[told].id)):
                yield clips[told], outcome
                told += 1


def _steps(stream: ClipStream, captions: Captions) -> Iterator[None]:
    """Captions what the stream gives, with a pause after each clip and one at the end."""
    with suppress(DecodeError):  # the stream's own where no clip gives frames; each is named anyway
        for position, features in stream:
            captions.add(position, features.tokens)
            yield
    captions.finish()
    yield


@contextmanager
def _writing_to(out: Path | None) -> Iterator[IO[str] | None]:
    if out is None:
        yield None
        return
    try:
        file = out.open("x", encoding="utf-8")
    except FileExistsError as error:
        raise ConfigError(f"--out {out}: exists already; give another, or remove it.") from error
    except OSError as error:
        raise ConfigError(f"--out {out}: cannot be written ({error.strerror}); give another.") from error
    with file:
        yield file
