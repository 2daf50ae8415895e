"""How pictures are changed each time they are shown: torchvision's crop and flip, then two of BLIP's ten operations.

The operations are timm's, on PIL pictures; the released code has its own, on cv2. Measured at the level of the recipes
on the recorded picture of 24 x 30 pixels (`tests/train/pictures/test_augment.py`):

- Identity, Brightness, Sharpness, Equalize, TranslateX, TranslateY: the same bytes. Brightness and Sharpness have
  factor 1 at level 5 and change nothing.
- ShearX, ShearY, Rotate: PIL puts the origin and the centre at the corner of a pixel, cv2 in its middle, a shift of
  0.08 pixels (shear) and 0.19 pixels (rotation); and at the edge of the picture cv2 blends with the grey around it,
  PIL does not. Mean difference 1.6 to 1.9 (shear) and 3.3 (rotation) of 255, at most 64 at the edge.
- AutoContrast: the released one negates an unsigned number, by which each channel whose darkest value is above 0 comes
  out white all over (mean difference 129 of 255). timm's stretches it; this defect is left out.
"""

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import torch
from PIL import Image
from timm.data.auto_augment import RandAugment, rand_augment_ops
from torchvision.transforms import Compose, InterpolationMode, RandomHorizontalFlip, RandomResizedCrop
from torchvision.transforms.functional import pil_to_tensor

from blipvid.train.pictures.settings import Augment

OPERATIONS = (
    "AutoContrast",
    "Brightness",
    "Sharpness",
    "Equalize",
    "ShearX",
    "ShearY",
    "TranslateX",
    "TranslateY",
    "Rotate",
)
"""All but the tenth, which leaves the picture as it is. Source: salesforce/BLIP data/__init__.py."""

LAYERS, LEVEL, PROBABILITY = 2, 5, 0.5
"""Operations drawn for a picture, their strength of 10, and how often a drawn one is applied.

Source: salesforce/BLIP data/__init__.py, transform/randaugment.py.
"""

TRANSLATE_MOST_PX, GREY = 10, (128, 128, 128)
"""Translation at level 10, and what comes in at the edges. Source: salesforce/BLIP transform/randaugment.py."""


class Augmentation:
    """Changes pictures by chance.

    Args:
        settings: The part of the recipe.
        size_px: Side of what comes out (S).

    Source: salesforce/BLIP data/__init__.py, `transform_train`.
    """

    def __init__(self, settings: Augment, size_px: int) -> None:
        scale = (settings.min_scale, 1.0)
        steps: list[Callable[[Image.Image], Image.Image]] = [
            RandomResizedCrop(size_px, scale=scale, interpolation=InterpolationMode.BICUBIC)
        ]
        if settings.flip:
            steps.append(RandomHorizontalFlip())
        if settings.randaugment:
            how = {"translate_const": TRANSLATE_MOST_PX, "img_mean": GREY, "interpolation": Image.Resampling.BILINEAR}
            drawn = rand_augment_ops(LEVEL, PROBABILITY, how, list(OPERATIONS))
            steps.append(RandAugment([*drawn, leave], LAYERS))
        self.change = Compose(steps)

    def __call__(self, picture: Image.Image, rng: np.random.Generator) -> torch.Tensor:
        """Changes one picture.

        Args:
            picture: RGB.
            rng: All chance comes from it.

        Returns:
            (3, S, S) uint8 RGB.
        """
        with chance_of(rng):
            return pil_to_tensor(self.change(picture))


def leave(picture: Image.Image) -> Image.Image:
    """Returns the picture as it is; one of the ten operations."""
    return picture


@contextmanager
def chance_of(rng: np.random.Generator) -> Iterator[None]:
    """Has the global generators of Python, numpy and torch (CPU), which the libraries draw from, follow `rng`.

    All three are afterwards as they were: the training's own chance is none of the pictures' business.
    """
    python, numpy, torch_ = random.getstate(), np.random.get_state(), torch.get_rng_state()
    random.seed(int(rng.integers(2**63)))
    np.random.seed(int(rng.integers(2**32)))
    torch.default_generator.manual_seed(int(rng.integers(2**63)))  # torch.manual_seed would touch accelerators as well
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)
        torch.set_rng_state(torch_)
