"""Training pictures of the drawn world, all of scenes that may be seen: with captions, or with questions."""

from collections import Counter

import numpy as np
import numpy.typing as npt

from blipvid.demo.clips import DrawnClip, Part
from blipvid.demo.grammar import HEADINGS, caption
from blipvid.demo.pairs import sentence_about
from blipvid.demo.questions import Question, one_of_each, picture_questions
from blipvid.demo.scenes import TWISTS, Scene, lone_scene, pick, random_scene, twins
from blipvid.demo.shapes import Thing, draw
from blipvid.demo.sights import description


def training_scenes(rng: np.random.Generator, count: int, twin_share: float) -> list[Scene]:
    """Draws scenes of which none is held out.

    Args:
        rng: Where all chance comes from.
        count: How many scenes (B).
        twin_share: Probability that a scene is followed by a twin of itself, which differs in one thing.

    Returns:
        B scenes; a twin stands right after its original.
    """
    scenes: list[Scene] = []
    while len(scenes) < count:
        scene = random_scene(rng, held_out=False)
        scenes.append(scene)
        if rng.random() < twin_share:
            possible = twins(scene, pick(rng, TWISTS))
            scenes += [pick(rng, possible)] if possible else []
    return scenes[:count]


def draw_captioned(
    rng: np.random.Generator, count: int, size_px: int, twin_share: float = 0.5
) -> tuple[npt.NDArray[np.uint8], list[str]]:
    """Draws a batch of pictures with their captions (entry point `demo` of the group `blipvid.pictures`).

    Args:
        rng: Where all chance comes from.
        count: Pictures (B).
        size_px: Side of the pictures in pixels (S).
        twin_share: Probability that a scene is followed by its twin.

    Returns:
        (B, S, S, 3) uint8 RGB and B captions.
    """
    scenes = training_scenes(rng, count, twin_share)
    pixels = np.stack([draw(scene.background, [*scene.things()], size_px) for scene in scenes])
    return pixels, [caption(scene) for scene in scenes]


def draw_described(
    rng: np.random.Generator, count: int, size_px: int, alone_share: float = 0.2
) -> tuple[npt.NDArray[np.uint8], list[str]]:
    """Draws a batch of pictures with all that can be said of them (entry point `demo-described`, `blipvid.pictures`).

    Each picture is one moment of a scene whose things stay or move, as they do in clips; none of it is held out.

    Args:
        rng: Where all chance comes from.
        count: Pictures (B).
        size_px: Side of the pictures in pixels (S).
        alone_share: Share of pictures that show a single thing.

    Returns:
        (B, S, S, 3) uint8 RGB and B descriptions, which take the things in any order.
    """
    moments = [_moment(rng, alone_share) for _ in range(count)]
    pixels = np.stack([draw(scene.background, things, size_px) for scene, things in moments])
    orders = [rng.permutation(len(things)) for _, things in moments]
    told = zip(moments, orders, strict=True)
    return pixels, [description(scene.background, [things[i] for i in order]) for (scene, things), order in told]


def draw_asked(
    rng: np.random.Generator,
    count: int,
    size_px: int,
    questions: int = 5,
    alone_share: float = 0.5,
) -> tuple[npt.NDArray[np.uint8], list[list[tuple[str, dict[str, float]]]]]:
    """Draws a batch of pictures with questions (entry point `demo` of the group `blipvid.questions`).

    Each picture is one moment of a scene whose things stay or move, as they do in clips; none of it is held out.

    Args:
        rng: Where all chance comes from.
        count: Pictures (B).
        size_px: Side of the pictures in pixels (S).
        questions: How many each picture is asked, of all kinds; answers are about equally frequent in each kind.
        alone_share: Share of pictures that show a single thing. What places and motions look like is learnt
            from these, long before it is learnt which of several things is meant.

    Returns:
        (B, S, S, 3) uint8 RGB, and for each picture its questions, each with its weighted answers.
    """
    pixels, asked = [], []
    answers = Counter[str]()
    for _ in range(count):
        possible: list[Question] = []
        while len(possible) < questions:  # a picture with too little to ask is drawn anew
            scene, things = _moment(rng, alone_share)
            possible = picture_questions(scene, things)
        pixels.append(draw(scene.background, things, size_px))
        own = _some(rng, possible, answers, questions)
        asked.append([(question.question, {question.answer: 1.0}) for question in own])
    return np.stack(pixels), asked


def draw_paired(
    rng: np.random.Generator, count: int, size_px: int
) -> tuple[npt.NDArray[np.uint8], list[tuple[str, bool]]]:
    """Draws pairs of pictures, each with a sentence that is true or not (entry point `demo`, group `blipvid.pairs`).

    What sentences say stands in `pairs.py`; no picture is of a held-out scene.

    Args:
        rng: Where all chance comes from.
        count: Pairs (P).
        size_px: Side of the pictures in pixels (S).

    Returns:
        (P, 2, S, S, 3) uint8 RGB, and for each pair the sentence and whether it is true; half of them are.
    """
    pixels, said = [], []
    for number in range(count):
        scenes = [random_scene(rng, held_out=False) for _ in range(2)]
        pixels.append([draw(scene.background, [*scene.things()], size_px) for scene in scenes])
        true = number % 2 == 0
        said.append((sentence_about(rng, scenes, true), true))
    return np.array(pixels), said


def _moment(rng: np.random.Generator, alone_share: float) -> tuple[Scene, list[Thing]]:
    """Draws a scene that may be seen, and its things at one moment of a clip in which each of them stays or moves."""
    scene = lone_scene(rng) if rng.random() < alone_share else random_scene(rng, held_out=False)
    parts = tuple(Part(pick(rng, HEADINGS), enters=0.0, leaves=1.0) for _ in scene.things())
    return scene, DrawnClip("", scene, parts).moment(float(rng.random()))


def _some(rng: np.random.Generator, possible: list[Question], answers: Counter[str], count: int) -> list[Question]:
    """Picks one question of each kind, then another, until there are enough."""
    picked: list[Question] = []
    while len(picked) < count:
        picked += one_of_each(rng, [question for question in possible if question not in picked], answers)
    return picked[:count]
