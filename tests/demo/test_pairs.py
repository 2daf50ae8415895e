import re

import numpy as np

from blipvid.demo.pairs import DrawnPair, held_out_pairs, sentence_about
from blipvid.demo.scenes import is_held_out, random_scene


def looks(pair: DrawnPair) -> list[set[str]]:
    """How the things in either picture look."""
    return [{f"{thing.kind.size} {thing.kind.colour}" for thing in scene.things()} for scene in pair.scenes]


def named(sentence: str) -> tuple[str, str]:
    found = re.fullmatch(r"a (\w+ \w+) thing and a (\w+ \w+) thing", sentence)
    assert found, sentence
    return found[1], found[2]


def test_true_sentences_are_true_and_false_ones_are_false() -> None:
    for pair in held_out_pairs():
        first, second = looks(pair)
        one, other = named(pair.true)
        assert (one in first and other in second) or (other in first and one in second)
        assert len({*named(pair.false)} - first - second) == 1


def test_the_pairs_are_of_held_out_scenes_and_always_the_same() -> None:
    pairs = held_out_pairs()
    assert pairs == held_out_pairs()
    assert all(is_held_out(scene) for pair in pairs for scene in pair.scenes)
    assert len({name for pair in pairs for name in pair.names}) == 400
    assert len({pair.true for pair in pairs}) > 50


def test_nothing_but_looking_tells_true_from_false() -> None:
    rng = np.random.default_rng(1)
    said: dict[bool, list[str]] = {True: [], False: []}
    for _ in range(1500):
        scenes = [random_scene(rng, held_out=False) for _ in range(2)]
        for true, own in said.items():
            own += named(sentence_about(rng, scenes, true))
    shares = [{look: own.count(look) / len(own) for look in set(own)} for own in said.values()]
    assert shares[0].keys() == shares[1].keys()
    assert max(abs(shares[0][look] - shares[1][look]) for look in shares[0]) < 0.03
