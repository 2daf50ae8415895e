from dataclasses import fields

import numpy as np
import pytest

from blipvid.demo.scenes import (
    BORDER,
    GAP,
    OPPOSITES,
    TWISTS,
    Place,
    Relation,
    Scene,
    holds,
    is_held_out,
    is_held_out_pair,
    lies,
    lone_scene,
    random_scene,
    twins,
)
from blipvid.demo.shapes import COLOURS, RADII, SHAPES, Kind


def some_scenes(held_out: bool, count: int = 300) -> list[Scene]:
    rng = np.random.default_rng(5)
    return [random_scene(rng, held_out) for _ in range(count)]


@pytest.mark.parametrize("held_out", [False, True])
def test_scenes_fall_on_the_side_asked_for(held_out: bool) -> None:
    assert {is_held_out(scene) for scene in some_scenes(held_out)} == {held_out}


def test_one_pair_of_kinds_in_eight_is_held_out_whichever_comes_first() -> None:
    kinds = [Kind(size, colour, shape) for size in RADII for colour in COLOURS for shape in SHAPES]
    pairs = [(a, b) for i, a in enumerate(kinds) for b in kinds[:i]]
    held = [is_held_out_pair(a, b) for a, b in pairs]
    assert 0.11 < np.mean(held) < 0.14
    assert held[:500] == [is_held_out_pair(b, a) for a, b in pairs[:500]]


def test_the_held_out_line_never_moves() -> None:
    # Trained weights rest on it: were it to move, training could have seen what the benchmark asks.
    kinds = [Kind("big", colour, "circle") for colour in COLOURS]
    held = {(a.colour, b.colour) for i, a in enumerate(kinds) for b in kinds[i + 1 :] if is_held_out_pair(a, b)}
    assert held == {("green", "purple"), ("red", "green"), ("red", "yellow"), ("yellow", "purple")}


@pytest.mark.parametrize("held_out", [False, True])
def test_everything_a_scene_says_is_true_and_nothing_touches(held_out: bool) -> None:
    for scene in some_scenes(held_out):
        told = []
        for saying in scene.says:
            if isinstance(saying, Place):
                assert lies(saying.word, scene.groups[saying.group].centres)
                told.append(saying.group)
            else:
                first, second = scene.groups[saying.first].centres, scene.groups[saying.second].centres
                assert holds(saying.word, first, second)
                assert not holds(OPPOSITES[saying.word], first, second)
                told += [saying.first, saying.second]
        assert sorted(told) == list(range(len(scene.groups)))
        centres = np.array([(thing.x, thing.y) for thing in scene.things()])
        apart = np.linalg.norm(centres[:, None] - centres[None], axis=2) + 9 * np.eye(len(centres))
        assert apart.min() >= GAP
        assert 2 <= len(centres) <= 4


def test_a_lone_thing_is_anything_anywhere_and_never_held_out() -> None:
    rng = np.random.default_rng(5)
    scenes = [lone_scene(rng) for _ in range(1500)]
    things = [thing for scene in scenes for thing in scene.things()]
    assert len(things) == len(scenes)
    assert not any(is_held_out(scene) for scene in scenes)
    assert {thing.kind for thing in things} == {Kind(s, c, f) for s in RADII for c in COLOURS for f in SHAPES}
    centres = np.array([(thing.x, thing.y) for thing in things])
    assert centres.min() >= BORDER
    assert centres.max() <= 1 - BORDER
    assert np.ptp(centres, axis=0).min() > 0.6


@pytest.mark.parametrize("twist", TWISTS)
def test_twins_differ_in_exactly_one_thing(twist: str) -> None:
    found = 0
    for scene in some_scenes(held_out=True):
        for twin in twins(scene, twist):
            found += 1
            assert is_held_out(twin)
            assert (twin.background, twin.says_background) == (scene.background, scene.says_background)
            if twist == "relation":
                assert [g.kind for g in twin.groups] == [g.kind for g in scene.groups]
                changed = [(a, b) for a, b in zip(scene.says, twin.says, strict=True) if a != b]
                assert len(changed) == 1
                before, after = changed[0]
                assert isinstance(before, Relation)
                assert isinstance(after, Relation)
                assert after.word == OPPOSITES[before.word]
                centres = twin.groups[after.first].centres, twin.groups[after.second].centres
                assert holds(after.word, *centres)
            else:
                assert twin.says == scene.says
                assert [g.centres for g in twin.groups] == [g.centres for g in scene.groups]
                differing = [
                    field.name
                    for a, b in zip(scene.groups, twin.groups, strict=True)
                    for field in fields(Kind)
                    if getattr(a.kind, field.name) != getattr(b.kind, field.name)
                ]
                assert differing == [twist]
    assert found > 100
