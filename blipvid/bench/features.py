"""The features of one file, or of all pictures and videos below a folder, written into one file."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

import blipvid
from blipvid.bench.feature_file import FeatureParts
from blipvid.core.config import validate
from blipvid.core.errors import BlipvidError, ConfigError, DataError, DecodeError
from blipvid.core.files import prove_writable
from blipvid.core.protocols import Progress
from blipvid.core.settings import FrameSettings, TaskSettings
from blipvid.core.types import Clip, Runtime
from blipvid.evaluate.features import ClipStream
from blipvid.library import Model, load_model
from blipvid.media.folder import find_media
from blipvid.media.loader import load_clips
from blipvid.media.sampling import SAMPLERS

if TYPE_CHECKING:
    from rich.console import Console

SETTINGS = TaskSettings(on_error="skip")


@dataclass(frozen=True, slots=True)
class Extraction:
    """What the command line asked for.

    Attributes:
        source: A video or picture, or a folder of them.
        out: The file to write.
        model: Name or path of the model file.
        tokens: Whether the tokens of each clip are kept besides its embedding.
        texts: File of texts to embed, one a line, or None.
        count: Frames asked for of each video.
        sampler: Which frames.
        size: Side of the pictures in pixels; None takes that of the model.
        runtime: Where and how fast.
    """

    source: Path
    out: Path
    model: str
    tokens: bool
    texts: Path | None
    count: int
    sampler: str
    size: int | None
    runtime: Runtime


def extract(asked: Extraction, console: "Console", progress: Progress) -> None:
    """Writes the features of clips, and of texts where some are given.

    A run that was interrupted goes on where it was. A file that gives no frames is one line, and the others go on.

    Args:
        asked: The files and how to go about them.
        console: Where to warn and say what was written.
        progress: Told how far the work is.

    Raises:
        ConfigError: No such file, folder, model, sampler or size, or an `out` that is there or cannot be written.
        DataError: The texts cannot be read.
        CapabilityError: The model embeds no clips and texts in one space.
        DecodeError: Files gave no frames; the features of the others are written.
        BlipvidError: The disk is full, or the model's numbers are not finite; the parts written so far stay.
    """
    clips = find_media(asked.source)
    texts = _read_texts(asked.texts) if asked.texts else []
    SAMPLERS.get(asked.sampler)
    _check_out(asked.out)
    model = load_model(asked.model, asked.runtime.device, asked.runtime.precision, asked.size)
    model.ask_for_embedder()
    words = {"sampler": asked.sampler, "count": asked.count, "size": model.image_size}
    frames = validate(FrameSettings, words, "blipvid features")
    how = {
        "model": model.name,
        "sha256": model.sha256,
        "precision": asked.runtime.precision,
        "tokens": asked.tokens,
        "frames": frames.model_dump(),
    }
    with _disk_errors_explained(asked.out):
        parts = FeatureParts(asked.out.with_name(f"{asked.out.name}.parts"), how)
        pending = _pending(clips, parts, console)
        broken = _encode(pending, parts, model, frames, asked, console, progress) if pending else {}
        if not parts.ids:
            raise DecodeError(f"none of the {len(clips):,} files gives frames, so nothing was written.")
        besides = {"text_embeds": model.text_features(texts).numpy()} if texts else {}
        told = {**how, "texts": texts, "broken": broken, "blipvid": blipvid.__version__}
        parts.join(asked.out, besides, {key: _in_words(value) for key, value in told.items()})
    found = f"{len(parts.ids):,} clips" + (f", {len(texts):,} texts" if texts else "")
    _say(f"written to {asked.out}: {found}", console)
    if broken:
        raise DecodeError(
            f"{len(broken):,} of {len(clips):,} files give no frames; {asked.out} names them ('broken' in its "
            "metadata) and holds the features of the others."
        )


def _pending(clips: Sequence[Clip], parts: FeatureParts, console: "Console") -> list[Clip]:
    """Returns the clips that no part holds; broken ones are tried again."""
    done = set(parts.ids)
    if done:
        _say(f"going on: the features of {len(done):,} clips are there from before", console)
    return [clip for clip in clips if clip.id not in done]


def _encode(
    clips: Sequence[Clip],
    parts: FeatureParts,
    model: Model,
    frames: FrameSettings,
    asked: Extraction,
    console: "Console",
    progress: Progress,
) -> dict[str, str]:
    """Adds the features of clips to the parts; returns clip id -> why it has none."""
    kept = None if not asked.tokens else "float32" if asked.runtime.precision == "fp32" else "float16"
    load = partial(load_clips, settings=frames, workers=asked.runtime.workers)
    broken: dict[str, str] = {}
    embedder = model.ask_for_embedder()
    with torch.inference_mode(), ClipStream(clips, load, embedder, SETTINGS, asked.runtime, progress) as stream:
        # the stream's own error where no clip gives frames; each is named by then, and earlier parts may hold others
        with suppress(DecodeError):
            for position, features in stream:
                parts.add(clips[position].id, features, tokens=kept)
                _warn_of_new(stream, broken, console)
        parts.end_part()
        _warn_of_new(stream, broken, console)
    return broken


def _warn_of_new(stream: ClipStream, broken: dict[str, str], console: "Console") -> None:
    for one in stream.skipped[len(broken) :]:
        broken[one.clip_id] = one.reason.removeprefix(f"clip '{one.clip_id}': ")
        _say(f"warning: {broken[one.clip_id]}", console, style="yellow")


def _say(sentence: str, console: "Console", style: str | None = None) -> None:
    console.print(sentence, style=style, markup=False, highlight=False, soft_wrap=True)


def _in_words(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)  # ASCII: a file's name may be no valid Unicode


def _read_texts(path: Path) -> list[str]:
    """Returns the lines of a file, of which none may be blank: a row of the result is a line of the file."""
    try:
        lines = path.read_text(encoding="utf-8-sig").rstrip().split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(
            f"{path}: the texts cannot be read ({error}); give a UTF-8 file with one text a line."
        ) from error
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            raise DataError(f"{path}: line {number} is blank; write one text a line.")
    return lines


def _check_out(out: Path) -> None:
    if out.exists():
        raise ConfigError(f"--out {out}: exists already; give another, or remove it.")
    try:
        prove_writable(out.parent)
    except OSError as error:
        raise ConfigError(f"--out {out}: cannot be written ({error.strerror}); give another.") from error


@contextmanager
def _disk_errors_explained(out: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise BlipvidError(
            f"{out}: cannot be written ({error.strerror or error}); mend that, and the same command goes on "
            "where it was."
        ) from error
