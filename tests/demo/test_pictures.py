import re
from collections import Counter
from itertools import pairwise

import numpy as np
import pytest

from blipvid.demo import pictures
from blipvid.demo.grammar import HEADINGS, caption
from blipvid.demo.pictures import draw_asked, draw_captioned, draw_described, draw_paired, training_scenes
from blipvid.demo.questions import Question, all_answers
from blipvid.demo.scenes import Scene, is_held_out
from blipvid.demo.shapes import COLOURS, RADII, SHAPES, TEXTURES, TONES, Thing
from blipvid.demo.sights import PLACE_NAMES


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


def test_a_description_says_of_each_thing_only_what_its_picture_shows() -> None:
    _, told = draw_described(np.random.default_rng(0), 300, 20)
    for text in told:
        things, background = text.rsplit(" on a ", 1)
        assert background.split()[0] in TONES
        assert background.split()[1] in TEXTURES
        for thing in things.split(" and "):
            article, size, colour, shape, *rest = thing.split()
            assert (article, size in RADII, colour in COLOURS, shape in SHAPES) == ("a", True, True, True)
            said = " ".join(rest)
            place = next((name for name in sorted(PLACE_NAMES.values(), key=len)[::-1] if said.startswith(name)), "")
            assert said.removeprefix(place).strip() in ("", *HEADINGS)
    assert {len(text.split(" and ")) for text in told} == {1, 2, 3, 4}


def test_a_sentence_about_two_pictures_is_true_where_both_things_are_there() -> None:
    pixels, said = draw_paired(np.random.default_rng(0), 40, 60)
    assert pixels.shape == (40, 2, 60, 60, 3)
    assert sum(true for _, true in said) == 20

    def shows(pair: np.ndarray, colour: str) -> bool:
        """Looks for pixels of exactly the colour, of which a thing has some inside."""
        return bool((pair.reshape(-1, 3) == COLOURS[colour]).all(axis=1).any())

    absent = 0
    for pair, (sentence, true) in zip(pixels, said, strict=True):
        colours = re.findall(r"a (?:big|small) (\w+) thing", sentence)
        assert len(colours) == 2
        seen = all(shows(pair, colour) for colour in colours)
        assert seen or not true, sentence
        absent += not seen
    assert absent > 10  # the other false ones name a colour that is there, in another size
