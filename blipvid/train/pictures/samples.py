"""What all sets of pictures have in common: samples by number, and how a picture file is opened."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, ClassVar

import numpy as np
from PIL import Image

from blipvid.core.errors import DataError
from blipvid.data.files import some
from blipvid.train.pictures.batches import Feed
from blipvid.train.pictures.order import Order

LOOKED_AT = 20_000
"""Pictures of which the begin is read before a training; a few seconds' work on a disk of one's own."""

OPENED_AT_ONCE = 16
"""Files opened at a time: on network disks it is waiting that takes long."""


class BrokenSampleError(DataError):
    """One sample of many cannot be used; the message is its name and what is wrong, and another takes its place."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One sample.

    Attributes:
        pictures: One picture, or two of a pair; RGB.
        said: What is said of them, as the feed's `gather` takes it.
        id: Equal ids of one set are the same picture, where it matters; less than the length of the set.
    """

    pictures: tuple[Image.Image, ...]
    said: Any
    id: int


class PictureSet(ABC):
    """Samples by number.

    Args:
        settings: Its part of the recipe, with whole paths.

    Attributes:
        feed: Which objectives it suits.
    """

    feed: ClassVar[Feed[Any]]

    @abstractmethod
    def __init__(self, settings: Any) -> None: ...

    @abstractmethod
    def __len__(self) -> int:
        """Returns the number of samples, at least 1."""

    @abstractmethod
    def read(self, number: int, rng: np.random.Generator) -> Sample:
        """Reads one sample.

        Args:
            number: Counted from 0.
            rng: For what is left to chance in the sample.

        Raises:
            BrokenSampleError: It cannot be used, and the set is of a kind in which that is to be expected.
            DataError: It cannot be used.
        """

    def shuffle(self, rng: np.random.Generator) -> Order:
        """Draws the order of one epoch."""
        return rng.permutation(len(self))


def open_picture(file: Path | IO[bytes], name: str) -> Image.Image:
    """Decodes a picture, as RGB and as it is stored: a turning noted in its EXIF data is not applied.

    Args:
        file: The file.
        name: For the message.

    Raises:
        DataError: It is no picture, or a damaged one.

    Source of the conversion: salesforce/BLIP data/coco_karpathy_dataset.py.
    """
    with _opened(file, name) as picture:
        return picture.convert("RGB")


@contextmanager
def _opened(file: str | Path | IO[bytes], name: str) -> Iterator[Image.Image]:
    try:
        with Image.open(file) as picture:
            yield picture
    except Exception as error:  # PIL raises whatever a damaged file has its decoders stumble over
        raise DataError(f"{name}: the picture cannot be read ({error}); fetch it again.") from error


def check_pictures(paths: Sequence[str]) -> None:
    """Reads the begin of picture files, evenly spread over all where there are more than `LOOKED_AT`; decodes none.

    Raises:
        DataError: Some are no pictures; says how many and names the first of them.
    """
    spread = [paths[place] for place in np.linspace(0, len(paths) - 1, min(len(paths), LOOKED_AT)).astype(int)]
    with ThreadPoolExecutor(OPENED_AT_ONCE) as threads:
        unreadable = [path for path, good in zip(spread, threads.map(_is_picture, spread), strict=True) if not good]
    if unreadable:
        raise DataError(
            f"{len(unreadable):,} of {len(spread):,} pictures looked at cannot be read: {some(unreadable)}; "
            "fetch them again."
        )


def _is_picture(path: str) -> bool:
    try:
        with _opened(path, path):
            return True
    except DataError:
        return False
