"""Shows which frames of a file are taken, as a table and as a contact sheet."""

from pathlib import Path
from typing import TYPE_CHECKING

from blipvid.core.errors import ConfigError, DecodeError
from blipvid.core.files import replacing
from blipvid.core.settings import FrameSettings
from blipvid.core.types import Clip

if TYPE_CHECKING:
    from PIL.Image import Image
    from rich.console import Console


def show_frames(clip: Clip, settings: FrameSettings, sheet: Path | None, console: "Console") -> None:
    """Decodes the sampled frames of one file and prints their numbers and times.

    Args:
        clip: The file and its window.
        settings: Which frames, and their size.
        sheet: Where to save the frames as one PNG, or None.
        console: Where to print.

    Raises:
        DecodeError: The file gives no trustworthy frames.
        ConfigError: No such file, sampler or reader, or the sheet cannot be written.
    """
    from rich.table import Table

    from blipvid.media.loader import load_clips
    from blipvid.media.sheet import contact_sheet

    if not clip.path.is_file():
        raise ConfigError(f"{clip.path}: no such file.")
    ((_, frames),) = load_clips([clip], settings, workers=1)  # a worker, for a hostile file may take its process down
    if isinstance(frames, DecodeError):
        raise frames
    console.print(f"{clip.path.name}, read by {frames.backend}", markup=False, highlight=False, soft_wrap=True)
    table = Table("frame", "time (s)")
    for index, time_s in zip(frames.indices, frames.times_s, strict=True):
        table.add_row(str(index), f"{time_s:.3f}")
    console.print(table)
    for note in frames.notes:
        console.print(note, markup=False, highlight=False, soft_wrap=True)
    if sheet is not None:
        _save(contact_sheet(frames), sheet)
        console.print(f"contact sheet: {sheet}", markup=False, highlight=False, soft_wrap=True)


def _save(picture: "Image", path: Path) -> None:
    try:
        with replacing(path) as temporary:
            picture.save(temporary, format="PNG")
    except OSError as error:
        raise ConfigError(f"--sheet {path}: cannot be written ({error.strerror}).") from error
