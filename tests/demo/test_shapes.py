import numpy as np
import pytest

from blipvid.demo.shapes import COLOURS, RADII, SHAPES, TEXTURES, TONES, Background, Kind, draw

PLAIN = Background("dark", "plain")


def test_a_picture_is_a_pure_function_of_what_it_shows() -> None:
    things = [(Kind("big", "red", "star"), 0.3, 0.4), (Kind("small", "blue", "ring"), 0.7, 0.6)]
    once, again = (draw(Background("light", "dotted"), things, 64) for _ in range(2))
    assert np.array_equal(once, again)
    assert once.shape == (64, 64, 3)
    assert once.dtype == np.uint8


@pytest.mark.parametrize("shape", SHAPES)
def test_a_shape_lies_where_it_is_said_and_has_its_colour(shape: str) -> None:
    picture = draw(PLAIN, [(Kind("big", "red", shape), 0.25, 0.7)], 200).astype(int)
    touched = np.abs(picture - draw(PLAIN, [], 200)).sum(2) > 0
    rows, columns = np.nonzero(touched)
    reach = RADII["big"] * 200 + 2
    assert np.abs(columns + 0.5 - 50).max() <= reach
    assert np.abs(rows + 0.5 - 140).max() <= reach
    full = np.abs(picture - np.array(COLOURS["red"])).sum(2) == 0
    assert 0.25 < full.sum() / (np.pi * (0.15 * 200) ** 2) < 1.0


def test_shapes_look_different_even_when_small() -> None:
    pictures = [draw(PLAIN, [(Kind("small", "yellow", shape), 0.5, 0.5)], 64).astype(float) for shape in SHAPES]
    for i, one in enumerate(pictures):
        for other in pictures[:i]:
            assert np.abs(one - other).sum() > 2000  # of about 30,000 that the shape itself changes


def test_the_outline_is_smooth() -> None:
    picture = draw(PLAIN, [(Kind("big", "yellow", "circle"), 0.5, 0.5)], 64)
    assert len(np.unique(picture[:, :, 0])) > 2  # a jagged outline has the two levels of thing and background alone


def test_backgrounds_look_different() -> None:
    pictures = [draw(Background(tone, texture), [], 64).astype(int) for tone in TONES for texture in TEXTURES]
    for i, one in enumerate(pictures):
        assert all(np.abs(one - other).mean() > 5 for other in pictures[:i])


def test_a_thing_at_the_border_is_cut_not_wrapped() -> None:
    picture = draw(PLAIN, [(Kind("big", "red", "square"), 0.0, 0.5)], 64).astype(int)
    assert np.abs(picture[:, 40:] - draw(PLAIN, [], 64)[:, 40:]).max() == 0
