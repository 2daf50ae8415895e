from collections import Counter
from itertools import pairwise

import numpy as np
import pytest

from blipvid.demo import pictures
from blipvid.demo.grammar import caption
from blipvid.demo.pictures import draw_asked, draw_captioned, training_scenes
from blipvid.demo.questions import Question, all_answers
from blipvid.demo.scenes import Scene, is_held_out
from blipvid.demo.shapes import Thing


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
    (pixels, captions), (again, same) = (draw_captioned(np.random.default_rng([7, 0]), 9, 32) for _ in range(2))
    assert np.array_equal(pixels, again)
    assert captions == same
    assert pixels.shape == (9, 32, 32, 3)
    assert pixels.dtype == np.uint8
    other, _ = draw_captioned(np.random.default_rng([7, 1]), 9, 32)
    assert not np.array_equal(pixels, other)


def test_training_is_never_asked_about_a_held_out_scene(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Scene] = []
    whole = pictures.picture_questions

    def noting(scene: Scene, things: list[Thing]) -> list[Question]:
        seen.append(scene)
        assert len(things) == len(list(scene.things()))
        return whole(scene, things)

    monkeypatch.setattr(pictures, "picture_questions", noting)
    draw_asked(np.random.default_rng(1), 400, 16)
    assert len(seen) == 400
    alone = [len(scene.groups) == 1 and len(scene.groups[0].centres) == 1 for scene in seen]
    assert 0.4 < np.mean(alone) < 0.6
    assert not any(is_held_out(scene) for scene in seen)


def test_pictures_with_questions_are_a_pure_function_of_their_seed() -> None:
    (pixels, asked), (again, same) = (draw_asked(np.random.default_rng([7, 0]), 9, 32, questions=4) for _ in range(2))
    assert np.array_equal(pixels, again)
    assert asked == same
    assert pixels.shape == (9, 32, 32, 3)
    assert pixels.dtype == np.uint8
    assert [len(own) for own in asked] == [4] * 9
    assert all(len(dict(own)) == 4 for own in asked)  # no question twice


def test_answers_are_about_equally_frequent_in_each_kind() -> None:
    _, asked = draw_asked(np.random.default_rng(2), 500, 16)
    assert all(sum(weights.values()) == 1 for own in asked for _, weights in own)
    found = Counter(answer for own in asked for _, weights in own for answer in weights)
    assert set(found) == set(all_answers())
    for first, last in (("light plain", "dark checked"), ("red", "pink"), ("none", "four"), ("stays", "moves down")):
        kind = [found[a] for a in all_answers()[all_answers().index(first) : all_answers().index(last) + 1]]
        assert max(kind) < 2 * min(kind)


def test_even_a_picture_with_little_to_ask_gets_as_many_questions_as_others() -> None:
    _, asked = draw_asked(np.random.default_rng(3), 40, 16, questions=12)
    assert [len(own) for own in asked] == [12] * 40
