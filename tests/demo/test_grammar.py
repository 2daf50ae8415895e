"""Captions are parsed back by an independent reading of the English and compared with the picture."""

import re
from pathlib import Path

import numpy as np
import pytest

import blipvid.demo
from blipvid.core.text import clean_caption
from blipvid.demo.clips import held_out_clips
from blipvid.demo.grammar import caption, plural, vocabulary, words
from blipvid.demo.questions import clip_questions
from blipvid.demo.scenes import Background, Group, Place, Relation, Scene, random_scene
from blipvid.demo.shapes import Kind
from blipvid.models.tokenizer import load_tokenizer

NUMBERS = {"a": 1, "two": 2, "three": 3}
THING = r"(?P<{0}n>a|two|three) (?P<{0}s>big|small) (?P<{0}c>\w+) (?P<{0}k>\w+)"
RELATED = re.compile(f"^{THING.format('a')} (?P<word>left of|right of|above|below) {THING.format('b')}$")
PLACED = re.compile(f"^{THING.format('a')} (?P<word>at the top|at the bottom|on the left|on the right|in the middle)$")


def things_named(match: re.Match[str], key: str, scene: Scene) -> list[tuple[float, float]]:
    """Centres of the things in the picture that look as the words say; as many as the words say."""
    said = match.groupdict()
    found = [
        (thing.x, thing.y)
        for thing in scene.things()
        if (thing.kind.size, thing.kind.colour) == (said[f"{key}s"], said[f"{key}c"])
        and said[f"{key}k"] == (thing.kind.shape if said[f"{key}n"] == "a" else plural(thing.kind.shape))
    ]
    assert len(found) == NUMBERS[said[f"{key}n"]]
    return found


def check_clause(clause: str, scene: Scene) -> int:
    if match := RELATED.match(clause):
        first, second = things_named(match, "a", scene), things_named(match, "b", scene)
        for x, y in first:
            for other_x, other_y in second:
                right = {
                    "left of": x < other_x,
                    "right of": x > other_x,
                    "above": y < other_y,
                    "below": y > other_y,
                }
                assert right[match["word"]]
        return len(first) + len(second)
    match = PLACED.match(clause)
    assert match, clause
    for x, y in things_named(match, "a", scene):
        right = {
            "at the top": y < 0.4,
            "at the bottom": y > 0.6,
            "on the left": x < 0.4,
            "on the right": x > 0.6,
            "in the middle": 0.3 < x < 0.7 and 0.3 < y < 0.7,
        }
        assert right[match["word"]]
    return len(things_named(match, "a", scene))


@pytest.mark.parametrize("held_out", [False, True])
def test_captions_are_true_and_name_everything(held_out: bool) -> None:
    rng = np.random.default_rng(11)
    for _ in range(300):
        scene = random_scene(rng, held_out)
        text, _, background = caption(scene).partition(" on a ")
        if background:
            assert background == f"{scene.background.tone} {scene.background.texture} background"
        assert sum(check_clause(clause, scene) for clause in text.split(" and ")) == len(list(scene.things()))


def test_a_caption_reads_well() -> None:
    scene = Scene(
        Background("dark", "striped"),
        (
            Group(Kind("big", "red", "circle"), ((0.2, 0.5),)),
            Group(Kind("small", "blue", "cross"), ((0.7, 0.3), (0.8, 0.7))),
            Group(Kind("small", "green", "heart"), ((0.4, 0.2),)),
        ),
        (Relation(0, "left of", 1), Place(2, "at the top")),
        says_background=True,
    )
    assert caption(scene) == (
        "a big red circle left of two small blue crosses and a small green heart at the top "
        "on a dark striped background"
    )


def test_the_shipped_vocabulary_is_the_grammars() -> None:
    shipped = Path(blipvid.demo.__file__).parent / "vocab.txt"
    assert shipped.read_text(encoding="utf-8").splitlines() == vocabulary()


def test_every_word_is_one_piece() -> None:
    tokenizer = load_tokenizer(Path(blipvid.demo.__file__).parent / "vocab.txt")
    said = [clip.caption for clip in held_out_clips()]
    said += [f"{asked.question} {asked.answer}" for clip in held_out_clips() for asked in clip_questions(clip)]
    ids, _ = tokenizer(said)
    assert not (ids == tokenizer.pieces().index("[UNK]")).any()
    assert len(tokenizer) == len(words()) + 7
    assert [clean_caption(text, 40) for text in said[:200]] == said[:200]
    captions, _ = tokenizer(said[:200])
    assert captions.shape[1] <= 35
