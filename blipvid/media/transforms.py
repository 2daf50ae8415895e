"""Still pictures: read as clips of one frame, and resized as BLIP resizes pictures (PIL, bicubic). No torch here.

Not the scaling of video frames from YUV: that is `scaling.py`. Normalisation with mean and standard deviation belongs
to the model.
"""

from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from blipvid.core.errors import DecodeError

_PICTURES = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".ppm"}  # a .gif is a video


def is_picture(path: Path) -> bool:
    """Tells by its ending whether a file is a still picture."""
    return path.suffix.lower() in _PICTURES


def read_picture(path: Path, size: int | None = None) -> npt.NDArray[np.uint8]:
    """Reads a still picture as a clip of one frame.

    Args:
        path: The picture.
        size: Side of the square picture in pixels, or None for the picture as it is.

    Returns:
        (1, H, W, 3) uint8 RGB.

    Raises:
        DecodeError: The file is missing, damaged or no picture.
    """
    try:
        # parity: the orientation in EXIF is not applied, as in the official code; test_exif_orientation_is_not_applied
        with Image.open(path) as picture:
            pixels = np.asarray(picture.convert("RGB"))[None]
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        kind = error.strerror.lower() if isinstance(error, OSError) and error.strerror else "damaged, or no picture"
        raise DecodeError(f"{path}: cannot be read as a picture ({kind}); replace it or leave it out.") from error
    return pixels if size is None else resize_bicubic(pixels, size)


def resize_bicubic(pixels: npt.NDArray[np.uint8], size: int) -> npt.NDArray[np.uint8]:
    """Resizes pictures to a square, aspect ratio not kept, as the official evaluation treats still pictures.

    Args:
        pixels: (N, H, W, 3) uint8 RGB.
        size: Side of the square in pixels (S).

    Returns:
        (N, S, S, 3) uint8 RGB.

    Source: salesforce/BLIP data/__init__.py, transform_test: torchvision Resize with bicubic interpolation on PIL.
    """
    resized = [Image.fromarray(p).resize((size, size), Image.Resampling.BICUBIC) for p in pixels]
    return np.stack([np.asarray(p) for p in resized])
