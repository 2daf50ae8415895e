from itertools import pairwise

import numpy as np

from blipvid.demo.grammar import caption
from blipvid.demo.pictures import draw_batch, training_scenes
from blipvid.demo.scenes import is_held_out


def test_training_never_sees_a_held_out_scene() -> None:
    scenes = training_scenes(np.random.default_rng(1), 4000, twin_share=0.5)
    assert not any(is_held_out(scene) for scene in scenes)


def test_twins_stand_side_by_side() -> None:
    scenes = training_scenes(np.random.default_rng(1), 400, twin_share=1.0)
    beside = [
        len(set(caption(a).split()) ^ set(caption(b).split())) <= 4 and a.background == b.background
        for a, b in pairwise(scenes)
    ]
    assert 0.4 < np.mean(beside) < 0.6  # nearly every second scene is the twin of the one before
    alone = training_scenes(np.random.default_rng(1), 400, twin_share=0.0)
    assert np.mean([a.background == b.background for a, b in pairwise(alone)]) < 0.2


def test_a_batch_is_a_pure_function_of_its_seed() -> None:
    (pixels, captions), (again, same) = (draw_batch(np.random.default_rng([7, 0]), 9, 32) for _ in range(2))
    assert np.array_equal(pixels, again)
    assert captions == same
    assert pixels.shape == (9, 32, 32, 3)
    assert pixels.dtype == np.uint8
    other, _ = draw_batch(np.random.default_rng([7, 1]), 9, 32)
    assert not np.array_equal(pixels, other)
