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
from blipvid.demo.scenes import Scene, pick
from blipvid.demo.shapes import COLOURS, RADII, TEXTURES, TONES, Background, Thing
from blipvid.demo.sights import PLACE_NAMES, may_share_place, motion, place

ASKS = ("background", "colour", "count", "place", "motion")
"""The kinds of question."""


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
        where = place(thing)
        if where and not any(may_share_place(thing, other) for other in others):
            asked.append(Question("colour", f"which colour is the thing {where}?", thing.kind.colour))
        if looks[thing.kind.size, thing.kind.colour] > 1:
            continue
        named = f"the {thing.kind.size} {thing.kind.colour} thing"
        if where:
            asked.append(Question("place", f"where is {named}?", where))
        does = motion(thing, others)
        if does:
            asked.append(Question("motion", f"what does {named} do?", does))
    return asked


def _count_question(named: str, count: int) -> Question:
    return Question("count", f"how many {named} are there?", COUNTS.get(count, "none"))
