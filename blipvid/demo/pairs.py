"""Pairs of pictures of the drawn world with sentences that are true of them or not.

A sentence names two things by size and colour, for instance `a big red thing and a small blue thing`. It is true where
each is in one of the pictures; in a false one nothing in either picture looks like the second thing.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from blipvid.demo.clips import SEED
from blipvid.demo.scenes import Scene, pick, random_scene
from blipvid.demo.shapes import COLOURS, RADII, Thing

N_PAIRS = 200
PICTURE_PX = 120
"""Side of the pictures of the benchmark, in pixels."""


@dataclass(frozen=True, slots=True)
class DrawnPair:
    """Two pictures and two sentences about them.

    Attributes:
        id: For instance `pair-007`.
        scenes: What the two pictures show.
        true: A sentence that is true of them.
        false: One that is not.
    """

    id: str
    scenes: tuple[Scene, Scene]
    true: str
    false: str

    @property
    def names(self) -> tuple[str, str]:
        """Names of the two pictures."""
        return f"{self.id}-0", f"{self.id}-1"


def held_out_pairs() -> list[DrawnPair]:
    """Returns the pairs of the demo benchmark, all of scenes that training never sees, the same ones on every call."""
    rng = np.random.default_rng(SEED)
    pairs = []
    for number in range(N_PAIRS):
        scenes = (random_scene(rng, held_out=True), random_scene(rng, held_out=True))
        sentences = [sentence_about(rng, scenes, true) for true in (True, False)]
        pairs.append(DrawnPair(f"pair-{number:03d}", scenes, *sentences))
    return pairs


def sentence_about(rng: np.random.Generator, scenes: Sequence[Scene], true: bool) -> str:
    """Says something of two scenes.

    Args:
        rng: Decides which things are named, and in which order.
        scenes: Those of the two pictures.
        true: Whether it is to be true.
    """
    first, second = (sorted({_look(thing) for thing in scene.things()}) for scene in scenes)
    absent = sorted({f"{size} {colour}" for size in RADII for colour in COLOURS} - {*first, *second})
    named = [pick(rng, first), pick(rng, second if true else absent)]
    named = [named[place] for place in rng.permutation(2)]
    return f"a {named[0]} thing and a {named[1]} thing"


def _look(thing: Thing) -> str:
    return f"{thing.kind.size} {thing.kind.colour}"
