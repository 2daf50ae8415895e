"""What one picture of the drawn world shows of a thing beyond doubt: where it is, and what it does.

Nothing is said of what lies near the border of two fields, and of speed lines that are hidden or touch something.
"""

from collections.abc import Sequence

from blipvid.demo.grammar import HEADINGS, looks
from blipvid.demo.scenes import MIDDLE
from blipvid.demo.shapes import TRAIL_LANES, TRAIL_LENGTH, TRAIL_WIDTH, Background, Thing

PLACE_NAMES = {
    (-1, -1): "at the top left",
    (0, -1): "at the top",
    (1, -1): "at the top right",
    (-1, 0): "on the left",
    (0, 0): "in the middle",
    (1, 0): "on the right",
    (-1, 1): "at the bottom left",
    (0, 1): "at the bottom",
    (1, 1): "at the bottom right",
}
"""The nine fields of the picture, by column and row from the middle."""
PLACE_MARGIN = 0.03
"""How far from the border of its field a centre must lie."""
TRAIL_SHOWN = 0.08
"""Length of speed lines, as a fraction of the side, that must be inside the picture."""
CLEARANCE = 0.01
"""Least distance between speed lines and other things."""

Box = tuple[float, float, float, float]
"""Left, top, right and bottom, as fractions of the side."""


def place(thing: Thing) -> str | None:
    """Names the field that a thing clearly lies in, one of `PLACE_NAMES`."""
    column, row = _side(thing.x), _side(thing.y)
    return None if column is None or row is None else PLACE_NAMES[column, row]


def may_share_place(thing: Thing, other: Thing) -> bool:
    """Says whether another thing may be taken to lie in the field of one that has a place."""
    return _side(other.x) in (_side(thing.x), None) and _side(other.y) in (_side(thing.y), None)


def motion(thing: Thing, others: Sequence[Thing]) -> str | None:
    """Says what a thing clearly does, one of `HEADINGS`: its speed lines are told from all else, or it has none.

    Args:
        thing: One of those in the picture.
        others: The rest.
    """
    trails = [_trail_box(other) for other in others if other.moves]
    if any(_overlap(_body_box(thing), trail) for trail in trails):
        return None
    if thing.moves:
        own, hidden = _trail_box(thing), TRAIL_LENGTH - TRAIL_SHOWN
        inside = min(own) >= -hidden and max(own) <= 1 + hidden
        if not inside or any(_overlap(own, box) for box in (*trails, *map(_body_box, others))):
            return None
    return next(word for word, heading in HEADINGS.items() if heading == thing.heading)


def description(background: Background, things: Sequence[Thing]) -> str:
    """Says everything that one picture shows, thing by thing in the order given, and the background last.

    For instance `a big red circle at the top moves left and a small blue star stays on a dark striped background`.
    """
    said = []
    for thing in things:
        others = [other for other in things if other is not thing]
        said.append(" ".join(word for word in ("a", looks(thing.kind), place(thing), motion(thing, others)) if word))
    return f"{' and '.join(said)} on a {background.tone} {background.texture} background"


def _side(position: float) -> int | None:
    """Returns -1, 0 or 1 for a position clearly before, in or after the middle, and None for one in between."""
    low, high = MIDDLE
    clear = {
        -1: position <= low - PLACE_MARGIN,
        0: low + PLACE_MARGIN <= position <= high - PLACE_MARGIN,
        1: position >= high + PLACE_MARGIN,
    }
    return next((side for side, holds in clear.items() if holds), None)


def _body_box(thing: Thing) -> Box:
    return thing.x - thing.radius, thing.y - thing.radius, thing.x + thing.radius, thing.y + thing.radius


def _trail_box(thing: Thing) -> Box:
    """Returns where the speed lines stick out behind a thing that moves."""
    step_x, step_y = thing.heading
    behind = thing.radius + TRAIL_LENGTH / 2
    x, y = thing.x - step_x * behind, thing.y - step_y * behind
    half_width = max(TRAIL_LANES) * thing.radius + TRAIL_WIDTH / 2
    reach_x, reach_y = (TRAIL_LENGTH / 2, half_width) if step_x else (half_width, TRAIL_LENGTH / 2)
    return x - reach_x, y - reach_y, x + reach_x, y + reach_y


def _overlap(one: Box, other: Box) -> bool:
    """Says whether two boxes overlap or come closer than CLEARANCE along both axes."""
    return all(one[axis] < other[axis + 2] + CLEARANCE and other[axis] < one[axis + 2] + CLEARANCE for axis in (0, 1))
