import numpy as np
import pytest

from blipvid.demo.shapes import COLOURS, RADII, SHAPES, TEXTURES, TONES, TRAIL_LENGTH, Background, Kind, Thing, draw

PLAIN = Background("dark", "plain")


def test_a_picture_is_a_pure_function_of_what_it_shows() -> None:
    things = [Thing(Kind("big", "red", "star"), 0.3, 0.4), Thing(Kind("small", "blue", "ring"), 0.7, 0.6)]
    once, again = (draw(Background("light", "dotted"), things, 64) for _ in range(2))
    assert np.array_equal(once, again)
    assert once.shape == (64, 64, 3)
    assert once.dtype == np.uint8


@pytest.mark.parametrize("shape", SHAPES)
def test_a_shape_lies_where_it_is_said_and_has_its_colour(shape: str) -> None:
    picture = draw(PLAIN, [Thing(Kind("big", "red", shape), 0.25, 0.7)], 200).astype(int)
    touched = np.abs(picture - draw(PLAIN, [], 200)).sum(2) > 0
    rows, columns = np.nonzero(touched)
    reach = RADII["big"] * 200 + 2
    assert np.abs(columns + 0.5 - 50).max() <= reach
    assert np.abs(rows + 0.5 - 140).max() <= reach
    full = np.abs(picture - np.array(COLOURS["red"])).sum(2) == 0
    assert 0.25 < full.sum() / (np.pi * (0.15 * 200) ** 2) < 1.0


def test_shapes_look_different_even_when_small() -> None:
    pictures = [draw(PLAIN, [Thing(Kind("small", "yellow", shape), 0.5, 0.5)], 64).astype(float) for shape in SHAPES]
    for i, one in enumerate(pictures):
        for other in pictures[:i]:
            assert np.abs(one - other).sum() > 2000  # of about 30,000 that the shape itself changes


def test_the_outline_is_smooth() -> None:
    picture = draw(PLAIN, [Thing(Kind("big", "yellow", "circle"), 0.5, 0.5)], 64)
    assert len(np.unique(picture[:, :, 0])) > 2  # a jagged outline has the two levels of thing and background alone


def test_backgrounds_look_different() -> None:
    pictures = [draw(Background(tone, texture), [], 64).astype(int) for tone in TONES for texture in TEXTURES]
    for i, one in enumerate(pictures):
        assert all(np.abs(one - other).mean() > 5 for other in pictures[:i])


def test_a_thing_at_the_border_is_cut_not_wrapped() -> None:
    picture = draw(PLAIN, [Thing(Kind("big", "red", "square"), 0.0, 0.5)], 64).astype(int)
    assert np.abs(picture[:, 40:] - draw(PLAIN, [], 64)[:, 40:]).max() == 0


@pytest.mark.parametrize("tone", TONES)
@pytest.mark.parametrize("size", RADII)
@pytest.mark.parametrize(
    ("heading", "axis", "side"), [((1, 0), 1, -1), ((-1, 0), 1, 1), ((0, 1), 0, -1), ((0, -1), 0, 1)]
)
def test_a_moving_thing_trails_lines_behind_it(
    tone: str, size: str, heading: tuple[int, int], axis: int, side: int
) -> None:
    kind, background = Kind(size, "green", "square"), Background(tone, "plain")
    still, moving = (draw(background, [Thing(kind, 0.5, 0.5, step)], 200).astype(int) for step in ((0, 0), heading))
    lines = np.abs(moving - still).sum(2) > 100
    place = side * (np.nonzero(lines)[axis] + 0.5 - 100) / 200
    assert place.min() > 0.7 * RADII[size]
    assert RADII[size] + 0.8 * TRAIL_LENGTH < place.max() < RADII[size] + TRAIL_LENGTH + 0.01
    assert not (lines & (still == COLOURS["green"]).all(2)).any()  # the thing hides its own lines


def test_lines_of_the_four_directions_and_none_look_different_when_small() -> None:
    steps = [(0, 0), (1, 0), (-1, 0), (0, 1), (0, -1)]
    for tone in TONES:
        background = Background(tone, "checked")
        pictures = [
            draw(background, [Thing(Kind("small", "red", "star"), 0.5, 0.5, s)], 60).astype(float) for s in steps
        ]
        for i, one in enumerate(pictures):
            for other in pictures[:i]:
                assert np.abs(one - other).sum() > 2000
