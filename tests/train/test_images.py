import pytest
import torch

from blipvid.core.errors import ConfigError
from blipvid.train.batches import ASKED, CAPTIONED
from blipvid.train.images import DrawnBatches, batches
from blipvid.train.recipe import Pictures

SETTINGS = Pictures(source="demo", batch_size=6, workers=0)


def test_batches_depend_on_seed_rank_and_step_alone() -> None:
    straight = list(batches(CAPTIONED, SETTINGS, 32, seed=3, steps=range(4)))
    later = list(batches(CAPTIONED, SETTINGS, 32, seed=3, steps=range(2, 4)))
    ahead = list(batches(CAPTIONED, SETTINGS.model_copy(update={"workers": 1}), 32, seed=3, steps=range(4)))
    for wanted, *found in zip(straight[2:], later, ahead[2:], strict=True):
        for batch in found:
            assert batch.captions == wanted.captions
            assert torch.equal(batch.pixels, wanted.pixels)
    (other_rank,) = batches(CAPTIONED, SETTINGS, 32, seed=3, steps=range(1), rank=1)
    (other_seed,) = batches(CAPTIONED, SETTINGS, 32, seed=4, steps=range(1))
    assert len({tuple(batch.captions) for batch in (straight[0], straight[1], other_rank, other_seed)}) == 4


def test_pictures_are_channels_first_bytes() -> None:
    pixels = DrawnBatches(CAPTIONED, SETTINGS, 32, seed=0)[0].pixels
    assert pixels.shape == (6, 3, 32, 32)
    assert pixels.dtype == torch.uint8


def test_unknown_sources_and_options_are_named() -> None:
    with pytest.raises(ConfigError, match=r"source of pictures with captions 'demos'.*Did you mean 'demo'"):
        next(batches(CAPTIONED, SETTINGS.model_copy(update={"source": "demos"}), 32, 0, range(1)))
    with pytest.raises(ConfigError, match=r"with questions 'demo'.*twins.*pictures\.options"):
        next(batches(ASKED, SETTINGS.model_copy(update={"options": {"twins": 1}}), 32, 0, range(1)))


def test_the_first_steps_may_be_told_something_else() -> None:
    said = {"first_steps": 2, "first_options": {"twin_share": 1.0}, "options": {"twin_share": 0.0}}
    found = list(batches(CAPTIONED, SETTINGS.model_copy(update=said), 32, seed=3, steps=range(4)))
    for share, own in ((1.0, found[:2]), (0.0, found[2:])):
        steady = SETTINGS.model_copy(update={"options": {"twin_share": share}})
        wanted = list(batches(CAPTIONED, steady, 32, seed=3, steps=range(4)))
        assert [batch.captions for batch in own] == [b.captions for b in (wanted[:2] if share else wanted[2:])]


def test_a_mistake_in_the_first_options_shows_before_any_step() -> None:
    wrong = SETTINGS.model_copy(update={"first_steps": 2, "first_options": {"twins": 1}})
    with pytest.raises(ConfigError, match=r"twins.*pictures\.options"):
        next(batches(CAPTIONED, wrong, 32, 0, range(1)))
