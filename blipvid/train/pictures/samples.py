"""What all sets of pictures have in common: samples by number, and how a picture file is opened."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, ClassVar

import numpy as np
from PIL import Image

from blipvid.core.errors import DataError
from blipvid.train.pictures.batches import Feed
from blipvid.train.pictures.order import Order


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
    try:
        with Image.open(file) as picture:
            return picture.convert("RGB")
    except Exception as error:  # PIL raises whatever a damaged file has its decoders stumble over
        raise DataError(f"{name}: the picture cannot be read ({error}); fetch it again.") from error
