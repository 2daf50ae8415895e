"""Fetches what SPICE needs and pycocoevalcap does not ship: the language models of Stanford CoreNLP 3.6.0."""

import tempfile
from pathlib import Path
from urllib.request import urlopen
from zipfile import BadZipFile, ZipFile

from rich.console import Console

from blipvid.bench.progress import progress_on
from blipvid.core.errors import BlipvidError
from blipvid.core.files import prove_writable, replacing
from blipvid.core.protocols import Progress
from blipvid.evaluate.captions import java

ARCHIVE = "https://nlp.stanford.edu/software/stanford-corenlp-full-2015-12-09.zip"
"""384 MB, two files of which are kept. Source: pycocoevalcap 1.2, spice/get_stanford_models.py."""
PATIENCE_S = 60.0
_PIECE = 2**20


def fetch_models(console: Console) -> None:
    """Fetches the models of SPICE to where pycocoevalcap looks for them; those that are there are left alone.

    Args:
        console: Takes progress and what was done.

    Raises:
        BlipvidError: pycocoevalcap is absent, its folder cannot be written, or the archive cannot be had.
    """
    package = java.package_folder()
    if package is None:
        raise BlipvidError("pycocoevalcap is not installed; `pip install blipvid[caption]`, then try again.")
    models = java.spice_models(package)
    if all(path.is_file() for path in models):
        said = f"the models of SPICE are there: {models[0].parent}"
    else:
        with progress_on(console) as progress:
            _fetch(models, progress)
        said = f"the models of SPICE are in {models[0].parent}"
    advice = "" if java.find_java() else "; METEOR and SPICE need Java as well, which is not on the path"
    console.print(f"{said}{advice}", markup=False, highlight=False, soft_wrap=True)


def _fetch(models: list[Path], progress: Progress) -> None:
    folder = models[0].parent
    try:
        prove_writable(folder)
    except OSError as error:
        raise BlipvidError(f"{folder}: cannot be written ({error}); put pycocoevalcap where you may write.") from error
    try:
        with tempfile.TemporaryFile() as archive:
            with urlopen(ARCHIVE, timeout=PATIENCE_S) as source:
                total = int(source.headers.get("Content-Length") or 0)
                while piece := source.read(_PIECE):
                    archive.write(piece)
                    progress("fetching MB", archive.tell() // _PIECE, total // _PIECE)
            _unpack(ZipFile(archive), models)
    except (OSError, BadZipFile, KeyError) as error:
        inside = " and ".join(path.name for path in models)
        raise BlipvidError(
            f"{ARCHIVE}: cannot be fetched ({error}); connect and try again, or put {inside} out of it into {folder}."
        ) from error


def _unpack(archive: ZipFile, models: list[Path]) -> None:
    root = ARCHIVE.rpartition("/")[2].removesuffix(".zip")
    for path in models:
        with (
            replacing(path) as temporary,
            archive.open(f"{root}/{path.name}") as source,
            temporary.open("wb") as target,
        ):
            while piece := source.read(_PIECE):
                target.write(piece)
