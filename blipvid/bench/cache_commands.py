"""The command `cache`: features that runs have kept on disk."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from blipvid.bench import consoles
from blipvid.core.errors import BlipvidError
from blipvid.core.places import features_folder

if TYPE_CHECKING:
    from rich.console import Console

    from blipvid.evaluate.cache.upkeep import Shelf

cache = typer.Typer(
    help="Features kept between runs (bench --cache): ls, verify, gc.", no_args_is_help=True, rich_markup_mode=None
)

HEADERS = ("model", "benchmarks", "frames", "arithmetic", "kept as", "clips", "GB", "last used")
FIGURES = ("clips", "GB")
DAY_S = 86400


@cache.command("ls")
def list_cache() -> None:
    """Lists the features that are kept, those that were made in one way together."""
    from blipvid.bench.layout import print_table
    from blipvid.evaluate.cache.upkeep import leftovers, shelves

    folder, now = features_folder(), time.time()
    found = [shelf for shelf in shelves(folder) if shelf.entries]
    if found:
        words = [header for header in HEADERS if header not in FIGURES]
        print_table(HEADERS, [_row(shelf, now) for shelf in found], consoles.out(), words=words)
    clips, size = sum(len(shelf.entries) for shelf in found), sum(shelf.size for shelf in found)
    _say(f"{folder}: features of {clips:,} clips, {size / 1e9:,.2f} GB.", consoles.out())
    if old := leftovers(folder):
        _say(f"Killed runs left {len(old):,} unfinished files; 'blipvid cache gc' removes them.", consoles.out())


@cache.command("verify")
def verify_cache(
    remove: Annotated[
        bool, typer.Option("--remove", help="Remove what is damaged; the next run makes it anew.")
    ] = False,
) -> None:
    """Reads everything that is kept, and the media files it was made from, and names what is wrong."""
    from blipvid.evaluate.cache.upkeep import check, check_media, forget

    folder, out = features_folder(), consoles.out()
    files, media = list(check(folder)), list(check_media(folder))
    damaged = [(path, why) for path, why in files if why]
    changed = [(state, why) for state, why in media if why]
    for name, why in [*damaged, *((state[0], why) for state, why in changed)]:
        _say(f"{name}: {why}", out)
    _say(f"{folder}: read {len(files):,} files and {len(media):,} media files.", out)
    if not damaged and not changed:
        _say("Nothing is wrong.", out)
        return
    if not remove:
        raise BlipvidError(
            f"{len(damaged) + len(changed):,} of them are wrong; 'blipvid cache verify --remove' removes what is "
            "damaged, and the next run makes it anew."
        )
    try:
        for path, _ in damaged:
            path.unlink(missing_ok=True)
        forget(folder, {state for state, _ in changed})
    except OSError as error:
        raise _not_removed(folder, error) from error
    _say(f"{len(damaged):,} files removed, {len(changed):,} media files forgotten.", out)


@cache.command("gc")
def collect_cache(
    max_gb: Annotated[
        float | None, typer.Option(min=0, help="Remove what was unused for longest, down to this.")
    ] = None,
    unused_days: Annotated[float | None, typer.Option(min=0, help="Remove what no run used for so long.")] = None,
) -> None:
    """Removes what killed runs left unfinished and, if asked to, features by size and age."""
    from blipvid.evaluate.cache.upkeep import collect

    folder = features_folder()
    try:
        gone = collect(folder, None if max_gb is None else max_gb * 1e9, unused_days)
    except OSError as error:
        raise _not_removed(folder, error) from error
    _say(
        f"{folder}: removed the features of {gone.entries:,} clips ({gone.size / 1e9:,.2f} GB) and {gone.leftovers:,} "
        "unfinished files.",
        consoles.out(),
    )


def _row(shelf: "Shelf", now: float) -> list[str]:
    made: Any = {"frames": {}, **shelf.made_by}
    frames = made["frames"]
    return [
        ", ".join(shelf.used_for.get("model", [])),
        ", ".join(shelf.used_for.get("benchmark", [])),
        f"{frames.get('count', '?')} {frames.get('sampler', '?')}, {frames.get('size', '?')} px",
        f"{made.get('precision', '?')} on {made.get('device', '?')}",
        str(made.get("kept_as", "?")),
        f"{len(shelf.entries):,}",
        f"{shelf.size / 1e9:,.2f}",
        _ago(now - max(entry.used for entry in shelf.entries)),
    ]


def _ago(seconds: float) -> str:
    days = int(seconds // DAY_S)
    return "today" if days < 1 else f"{days:,} day{'s' if days > 1 else ''} ago"


def _not_removed(folder: Path, error: OSError) -> BlipvidError:
    return BlipvidError(f"{error.filename or folder}: cannot be removed ({error.strerror}); mend its permissions.")


def _say(sentence: str, console: "Console") -> None:
    console.print(sentence, markup=False, highlight=False, soft_wrap=True)
