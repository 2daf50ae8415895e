"""Questions about pictures and clips of the drawn world, each with exactly one right answer.

Five kinds: what the background is, which colour, how many, where, and what a thing does. A picture shows the last one
too, because what moves trails speed lines. A clip is asked what each of its frames answers, and all of them alike.

Nothing is asked by its shape or for it: towers as small as those of the demo models do not learn shapes in minutes.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np

from blipvid.demo.clips import TIMES, DrawnClip
from blipvid.demo.grammar import COUNTS, HEADINGS
from blipvid.demo.scenes import MIDDLE, Scene, pick
from blipvid.demo.shapes import (
    COLOURS,
    RADII,
    TEXTURES,
    TONES,
    TRAIL_LANES,
    TRAIL_LENGTH,
    TRAIL_WIDTH,
    Background,
    Thing,
)

ASKS = ("background", "colour", "count", "place", "motion")
"""The kinds of question."""

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
"""Answers to "where": the nine fields of the picture, by column and row from the middle."""
PLACE_MARGIN = 0.03
"""How far from the border of its field a centre must lie to be asked where it is."""
TRAIL_SHOWN = 0.08
"""Length of speed lines, as a fraction of the side, that must be inside the picture to ask what the thing does."""
CLEARANCE = 0.01
"""Least distance between speed lines and other things in a picture that asks what they do."""

Box = tuple[float, float, float, float]
"""Left, top, right and bottom, as fractions of the side."""


@dataclass(frozen=True, slots=True, order=True)
class Question:
    """One question with its answer.

    Attributes:
        asks: One of `ASKS`.
        question: In words, ending in a question mark.
        answer: At most four words.
    """

    asks: str
    question: str
    answer: str


def picture_questions(scene: Scene, things: Sequence[Thing]) -> list[Question]:
    """Lists what can be asked about one picture.

    Args:
        scene: Whose picture it is.
        things: All that can be seen in it.
    """
    return [_background_question(scene.background), *_moment_questions(things)]


def clip_questions(clip: DrawnClip) -> list[Question]:
    """Lists what can be asked about a clip: whatever is true in each of its frames.

    So nothing that comes or goes is counted, placed or asked for.
    """
    moments = [clip.cast(0.5), *map(clip.moment, TIMES)]  # the first so that one that goes and one that comes are two
    alike = reduce(set.intersection, (set(_moment_questions(moment)) for moment in moments))
    return [_background_question(clip.scene.background), *sorted(alike)]


def all_answers() -> list[str]:
    """Returns every answer that can be right, each once."""
    backgrounds = [f"{tone} {texture}" for tone in TONES for texture in TEXTURES]
    return [*backgrounds, *COLOURS, "none", *COUNTS.values(), *PLACE_NAMES.values(), *HEADINGS]


def one_of_each(rng: np.random.Generator, possible: Sequence[Question], asked: Counter[str]) -> list[Question]:
    """Picks one question of each kind that there is, so that answers become equally frequent.

    Args:
        rng: Decides between answers that were equally rare so far.
        possible: What can be asked.
        asked: How often each answer was right so far; those of the questions picked are added.

    Returns:
        At most one question of each kind, in the order of `ASKS`.
    """
    picked = []
    for asks in ASKS:
        of_kind = [question for question in possible if question.asks == asks]
        if of_kind:
            rarest = min(asked[question.answer] for question in of_kind)
            picked.append(pick(rng, [question for question in of_kind if asked[question.answer] == rarest]))
            asked[picked[-1].answer] += 1
    return picked


def _background_question(background: Background) -> Question:
    return Question("background", "what is the background?", f"{background.tone} {background.texture}")


def _moment_questions(things: Sequence[Thing]) -> list[Question]:
    """Asks how many things there are, which colour the one at a place is, and of each where it is and what it does.

    A thing is named by size and colour, which no other may share.
    """
    asked = [_count_question("things", len(things))]
    asked += [_count_question(f"{word} things", sum(t.kind.colour == word for t in things)) for word in COLOURS]
    asked += [_count_question(f"{word} things", sum(t.kind.size == word for t in things)) for word in RADII]
    looks = Counter((thing.kind.size, thing.kind.colour) for thing in things)
    for thing in things:
        others = [other for other in things if other is not thing]
        column, row = _side(thing.x), _side(thing.y)
        place = PLACE_NAMES[column, row] if column is not None and row is not None else None
        if place and not any(_may_lie(other, column, row) for other in others):
            asked.append(Question("colour", f"which colour is the thing {place}?", thing.kind.colour))
        if looks[thing.kind.size, thing.kind.colour] > 1:
            continue
        named = f"the {thing.kind.size} {thing.kind.colour} thing"
        if place:
            asked.append(Question("place", f"where is {named}?", place))
        if _clearly_moves_or_stays(thing, others):
            motion = next(word for word, heading in HEADINGS.items() if heading == thing.heading)
            asked.append(Question("motion", f"what does {named} do?", motion))
    return asked


def _may_lie(thing: Thing, column: int | None, row: int | None) -> bool:
    """Says whether a thing may be taken to lie in a field, those near its border included."""
    return _side(thing.x) in (column, None) and _side(thing.y) in (row, None)


def _count_question(named: str, count: int) -> Question:
    return Question("count", f"how many {named} are there?", COUNTS.get(count, "none"))


def _side(position: float) -> int | None:
    """Returns -1, 0 or 1 for a position clearly before, in or after the middle, and None for one in between."""
    low, high = MIDDLE
    clear = {
        -1: position <= low - PLACE_MARGIN,
        0: low + PLACE_MARGIN <= position <= high - PLACE_MARGIN,
        1: position >= high + PLACE_MARGIN,
    }
    return next((side for side, holds in clear.items() if holds), None)


def _clearly_moves_or_stays(thing: Thing, others: Sequence[Thing]) -> bool:
    """Says whether a thing's speed lines can be seen and told from those of others, or whether it clearly has none."""
    trails = [_trail_box(other) for other in others if other.moves]
    if any(_overlap(_body_box(thing), trail) for trail in trails):
        return False
    if not thing.moves:
        return True
    own = _trail_box(thing)
    hidden = TRAIL_LENGTH - TRAIL_SHOWN
    inside = min(own) >= -hidden and max(own) <= 1 + hidden
    return inside and not any(_overlap(own, box) for box in (*trails, *map(_body_box, others)))


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
