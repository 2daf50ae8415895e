"""Scenes of the drawn world: which things lie where, what is true of them, and which scenes training may see.

A scene carries what its caption will say, so that a twin differs from it in one thing, in the picture and in the words
alike. Two kinds of thing that are a held-out pair never meet in a training scene; every held-out scene has such a pair.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from hashlib import blake2b
from itertools import combinations
from typing import TypeVar

import numpy as np

from blipvid.demo.shapes import COLOURS, RADII, SHAPES, TEXTURES, TONES, Background, Kind, Thing

Point = tuple[float, float]
T = TypeVar("T")

OPPOSITES = {"left of": "right of", "right of": "left of", "above": "below", "below": "above"}
PLACES = ("at the top", "at the bottom", "on the left", "on the right", "in the middle")
TWISTS = ("colour", "size", "relation")
"""The one thing in which a twin differs."""

HELD_OUT_ONE_IN = 8
RELATION_MARGIN = 0.2
MIDDLE = (0.36, 0.64)
BORDER = 0.16
GAP = 0.3
"""Least distance between centres: two big things do not touch, so that any two things can change places."""

# How many things each group of the scene has. The first two groups stand in a relation, a third has a place, and a
# fourth stands in a relation with the third.
GROUPINGS = ((1, 1), (1, 1, 1), (2, 1), (1, 2), (1, 1, 1, 1), (2, 2), (3, 1), (1, 1, 2))
BACKGROUND_TOLD = 0.4


@dataclass(frozen=True, slots=True)
class Group:
    """Things that look alike: one kind, and the centre of each."""

    kind: Kind
    centres: tuple[Point, ...]


@dataclass(frozen=True, slots=True)
class Relation:
    """Everything in group `first` is `word` (a key of `OPPOSITES`) everything in group `second`."""

    first: int
    word: str
    second: int


@dataclass(frozen=True, slots=True)
class Place:
    """Everything in group `group` is at `word`, one of `PLACES`."""

    group: int
    word: str


@dataclass(frozen=True, slots=True)
class Scene:
    """Things on a background, and what the caption says of them.

    Attributes:
        background: What the things lie on.
        groups: Two to four groups of different kinds, two to four things in all; or a single thing.
        says: What the caption says about where the groups are; each group occurs in exactly one statement.
        says_background: Whether the caption names the background.
    """

    background: Background
    groups: tuple[Group, ...]
    says: tuple[Relation | Place, ...]
    says_background: bool

    def things(self) -> Iterator[Thing]:
        """Yields every thing, group by group, at rest."""
        for group in self.groups:
            for x, y in group.centres:
                yield Thing(group.kind, x, y)


@cache
def is_held_out_pair(one: Kind, other: Kind) -> bool:
    """Says whether two kinds are one of the pairs, one in eight, that never meet in a training scene."""
    first, second = sorted((one, other))
    text = f"{first.size} {first.colour} {first.shape} + {second.size} {second.colour} {second.shape}"
    return blake2b(text.encode(), digest_size=8).digest()[0] % HELD_OUT_ONE_IN == 0


def is_held_out(scene: Scene) -> bool:
    """Says whether training must not see a scene: some two of its kinds are a held-out pair."""
    return any(is_held_out_pair(a.kind, b.kind) for a, b in combinations(scene.groups, 2))


def holds(word: str, first: tuple[Point, ...], second: tuple[Point, ...]) -> bool:
    """Says whether a relation clearly holds: for all things of two groups, and more so than any other relation."""
    along, across = (0, 1) if word in ("left of", "right of") else (1, 0)
    if word in ("right of", "below"):
        first, second = second, first
    apart = [_mean(second, axis) - _mean(first, axis) for axis in (along, across)]
    clear = max(point[along] for point in first) <= min(point[along] for point in second) - RELATION_MARGIN
    return clear and apart[0] >= abs(apart[1])


def _mean(centres: tuple[Point, ...], axis: int) -> float:
    return sum(point[axis] for point in centres) / len(centres)


def lies(word: str, centres: tuple[Point, ...]) -> bool:
    """Says whether all things of a group are at a place."""
    low, high = MIDDLE
    inside = {
        "at the top": lambda x, y: y < low,
        "at the bottom": lambda x, y: y > high,
        "on the left": lambda x, y: x < low,
        "on the right": lambda x, y: x > high,
        "in the middle": lambda x, y: low <= x <= high and low <= y <= high,
    }[word]
    return all(inside(x, y) for x, y in centres)


def random_scene(rng: np.random.Generator, held_out: bool) -> Scene:
    """Draws a scene that training may see, or one that it must not.

    Args:
        rng: Where all chance comes from.
        held_out: False for training scenes.

    Returns:
        A scene for which `is_held_out` is `held_out` and every statement is true.
    """
    counts = pick(rng, GROUPINGS)
    while True:
        kinds = [Kind(pick(rng, RADII), pick(rng, COLOURS), pick(rng, SHAPES)) for _ in counts]
        if len(set(kinds)) < len(kinds) or held_out != any(is_held_out_pair(a, b) for a, b in combinations(kinds, 2)):
            continue
        centres = _scatter(rng, counts)
        says = _true_statements(rng, centres)
        if says:
            break
    groups = tuple(Group(kind, where) for kind, where in zip(kinds, centres, strict=True))
    background = Background(pick(rng, TONES), pick(rng, TEXTURES))
    return Scene(background, groups, says, bool(rng.random() < BACKGROUND_TOLD))


def lone_scene(rng: np.random.Generator) -> Scene:
    """Draws a scene of a single thing, of which nothing is said; it is never held out."""
    kind = Kind(pick(rng, RADII), pick(rng, COLOURS), pick(rng, SHAPES))
    x, y = rng.uniform(BORDER, 1 - BORDER, size=2).tolist()
    background = Background(pick(rng, TONES), pick(rng, TEXTURES))
    return Scene(background, (Group(kind, ((x, y),)),), says=(), says_background=False)


def twins(scene: Scene, twist: str) -> list[Scene]:
    """Lists the scenes that differ from one in exactly one thing and fall on the same side of the held-out line.

    Args:
        scene: The scene to vary.
        twist: `colour` or `size` of one group, or `relation`: two groups of equal count change places.

    Returns:
        All such scenes, in a fixed order; there may be none.
    """
    if twist == "relation":
        found = [_exchanged(scene, saying) for saying in scene.says if isinstance(saying, Relation)]
        return [other for other in found if other != scene]
    values: Iterable[str] = COLOURS if twist == "colour" else RADII
    changed = [
        replace(scene, groups=(*scene.groups[:i], replace(group, kind=kind), *scene.groups[i + 1 :]))
        for i, group in enumerate(scene.groups)
        for kind in (replace(group.kind, **{twist: value}) for value in values)
        if all(kind != other.kind for other in scene.groups)
    ]
    return [other for other in changed if is_held_out(other) == is_held_out(scene)]


def _exchanged(scene: Scene, saying: Relation) -> Scene:
    first, second = scene.groups[saying.first], scene.groups[saying.second]
    if len(first.centres) != len(second.centres):
        return scene
    groups = list(scene.groups)
    groups[saying.first] = replace(first, centres=second.centres)
    groups[saying.second] = replace(second, centres=first.centres)
    turned = replace(saying, word=OPPOSITES[saying.word])
    return replace(scene, groups=tuple(groups), says=tuple(turned if s is saying else s for s in scene.says))


def pick(rng: np.random.Generator, options: Iterable[T]) -> T:
    """Picks one of several things, each as likely as the others."""
    choices = tuple(options)
    return choices[rng.integers(len(choices))]


def _scatter(rng: np.random.Generator, counts: tuple[int, ...]) -> list[tuple[Point, ...]]:
    needed = sum(counts)
    while True:
        kept: list[Point] = []
        for x, y in rng.uniform(BORDER, 1 - BORDER, size=(16, 2)).tolist():
            if all((x - a) ** 2 + (y - b) ** 2 >= GAP**2 for a, b in kept):
                kept.append((x, y))
            if len(kept) == needed:
                points = iter(kept)
                return [tuple(next(points) for _ in range(count)) for count in counts]


def _true_statements(rng: np.random.Generator, centres: list[tuple[Point, ...]]) -> tuple[Relation | Place, ...]:
    says: list[Relation | Place] = []
    for i in range(0, len(centres), 2):
        if i + 1 < len(centres):
            words = [word for word in OPPOSITES if holds(word, centres[i], centres[i + 1])]
        else:
            words = [word for word in PLACES if lies(word, centres[i])]
        if not words:
            return ()
        word = pick(rng, words)
        says.append(Relation(i, word, i + 1) if i + 1 < len(centres) else Place(i, word))
    return tuple(says)
