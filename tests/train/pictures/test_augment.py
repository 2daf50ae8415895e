import random
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from timm.data.auto_augment import NAME_TO_OP

from blipvid.train.pictures.augment import GREY, LEVEL, OPERATIONS, Augmentation, chance_of
from blipvid.train.pictures.settings import Augment
from tests.load_goldens import Case, Goldens
from tests.train.files import PLAIN

# Mean and greatest difference of grey levels, as the docstring of augment.py states them.
SAME = (0.0, 0)
DIFFERENCES = {operation: SAME for operation in OPERATIONS} | {
    "ShearX": (1.85, 61),
    "ShearY": (1.95, 61),
    "Rotate": (3.35, 64),
}


@pytest.fixture
def case(goldens: Goldens) -> Case:
    return goldens["randaug_ops"]


def recorded(case: Case, operation: str) -> list[dict[str, Any]]:
    return [row for row in case.meta["values"]["rows"] if row["op"] == operation and row["M"] == LEVEL]


@pytest.mark.parametrize("operation", [name for name in OPERATIONS if name != "AutoContrast"])
def test_operations_against_the_recorded_ones(case: Case, operation: str) -> None:
    picture = Image.fromarray(case.tensors("inputs")["image"].numpy())
    rows = recorded(case, operation)
    assert len(rows) == 2
    for row in rows:
        # cv2 is told where a pixel goes, PIL where it comes from: the same draw of a sign shears to the other side.
        arguments = [-value if operation.startswith("Shear") else value for value in row["args"][:1]]
        changed = NAME_TO_OP[operation](picture, *arguments, fillcolor=GREY, resample=Image.Resampling.BILINEAR)
        difference = np.abs(np.asarray(changed).astype(int) - case.tensors("outputs")[row["key"]].numpy())
        mean, most = DIFFERENCES[operation]
        assert difference.mean() <= mean
        assert difference.max() <= most


def test_the_recorded_autocontrast_is_the_defect_that_is_left_out(case: Case) -> None:
    picture = case.tensors("inputs")["image"].numpy()
    darkest, brightest = picture.min((0, 1)).astype(int), picture.max((0, 1)).astype(int)
    assert darkest.min() > 0
    for row in recorded(case, "AutoContrast"):
        assert (case.tensors("outputs")[row["key"]] == 255).all()
    stretched = np.asarray(NAME_TO_OP["AutoContrast"](Image.fromarray(picture))).astype(float)
    wanted = (picture - darkest) * (255 / (brightest - darkest))
    assert np.abs(stretched - wanted).max() <= 1


def test_levels_are_those_recorded(case: Case) -> None:
    operations = {op.name: op for op in Augmentation(Augment(), 8).change.transforms[-1].ops[:-1]}
    assert set(operations) == set(OPERATIONS)
    for name, operation in operations.items():
        told = {row["args"][0] for row in recorded(case, name) if row["args"]}
        if operation.level_fn is not None:
            assert {operation.level_fn(LEVEL, operation.hparams)[0] for _ in range(50)} == told
        assert operation.prob == case.config["prob"]


def photo() -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (60, 90, 3), np.uint8))


def test_the_same_chance_gives_the_same_picture_and_other_chance_another() -> None:
    augment = Augmentation(Augment(), 32)
    first, again, other = (augment(photo(), np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert first.shape == (3, 32, 32)
    assert first.dtype == torch.uint8
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_nothing_else_sees_the_chance_of_pictures() -> None:
    def state() -> tuple[float, float, float]:
        return random.random(), float(np.random.rand()), float(torch.rand(()))

    outer = random.getstate(), np.random.get_state(), torch.get_rng_state()
    wanted = state()
    random.setstate(outer[0])
    np.random.set_state(outer[1])
    torch.set_rng_state(outer[2])
    Augmentation(Augment(), 16)(photo(), np.random.default_rng(0))
    assert state() == wanted
    with pytest.raises(ZeroDivisionError), chance_of(np.random.default_rng(0)):
        raise ZeroDivisionError
    assert state() != wanted


def test_pictures_are_mirrored_half_the_time_and_never_where_the_recipe_says_no() -> None:
    half = np.zeros((16, 16, 3), np.uint8)
    half[:, 8:] = 255
    for flip, wanted in ((True, range(35, 66)), (False, range(1))):
        augment = Augmentation(Augment(**PLAIN | {"flip": flip}), 16)
        rngs = map(np.random.default_rng, range(100))
        mirrored = sum(int(augment(Image.fromarray(half), rng)[0, 8, 0] > 127) for rng in rngs)
        assert mirrored in wanted


def test_no_less_is_cut_out_than_the_recipe_says() -> None:
    ramp = np.repeat(np.arange(100, dtype=np.uint8)[None, :, None], 100, 0).repeat(3, 2)
    for least, seen_least in ((0.9, False), (0.2, True)):
        augment = Augmentation(Augment(**PLAIN | {"min_scale": least}), 32)
        shown = [augment(Image.fromarray(ramp), np.random.default_rng(seed))[0].numpy() for seed in range(60)]
        width = min(int(one.max()) - int(one.min()) for one in shown)
        assert (width < 75) is seen_least
