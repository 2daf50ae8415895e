import pytest
import torch

from blipvid.core.errors import ConfigError
from blipvid.demo.pictures import draw_batch
from blipvid.train.images import DrawnBatches, batches
from blipvid.train.recipe import Pictures

SETTINGS = Pictures(source="demo", batch_size=6, workers=0)


def test_batches_depend_on_seed_rank_and_step_alone() -> None:
    straight = list(batches(SETTINGS, 32, seed=3, steps=range(4)))
    later = list(batches(SETTINGS, 32, seed=3, steps=range(2, 4)))
    ahead = list(batches(SETTINGS.model_copy(update={"workers": 1}), 32, seed=3, steps=range(4)))
    for wanted, *found in zip(straight[2:], later, ahead[2:], strict=True):
        for batch in found:
            assert batch.captions == wanted.captions
            assert torch.equal(batch.pixels, wanted.pixels)
    (other_rank,) = batches(SETTINGS, 32, seed=3, steps=range(1), rank=1)
    (other_seed,) = batches(SETTINGS, 32, seed=4, steps=range(1))
    assert len({tuple(batch.captions) for batch in (straight[0], straight[1], other_rank, other_seed)}) == 4


def test_a_batch_holds_pictures_captions_and_ids() -> None:
    (batch,) = batches(SETTINGS, 32, seed=0, steps=range(1))
    assert batch.pixels.shape == (6, 3, 32, 32)
    assert batch.pixels.dtype == torch.uint8
    assert len(batch.captions) == len(batch.ids) == 6


def test_pictures_of_which_the_same_is_said_share_an_id() -> None:
    def draw(rng, count, size_px):  # type: ignore[no-untyped-def]
        pixels, _ = draw_batch(rng, count, size_px)
        return pixels, ["a ring", "a star", "a ring", "a cross", "a star", "a heart"]

    batch = DrawnBatches(draw, SETTINGS, 32, seed=0)[0]
    assert batch.ids.tolist() == [0, 1, 0, 2, 1, 3]


def test_unknown_sources_and_options_are_named() -> None:
    with pytest.raises(ConfigError, match="Did you mean 'demo'"):
        next(batches(Pictures(source="demos", batch_size=2, workers=0), 32, 0, range(1)))
    wrong = Pictures(source="demo", batch_size=2, workers=0, options={"twins": 1})
    with pytest.raises(ConfigError, match=r"twins.*pictures\.options"):
        next(batches(wrong, 32, 0, range(1)))
