"""Answers are found again from the picture or the frames by code that knows nothing of how they were made."""

import re
from collections import Counter

import numpy as np
import pytest

from blipvid.core.text import clean_question
from blipvid.demo.clips import N_FRAMES, DrawnClip, Part, held_out_clips
from blipvid.demo.grammar import HEADINGS
from blipvid.demo.questions import ASKS, Question, all_answers, clip_questions, one_of_each, picture_questions
from blipvid.demo.scenes import MIDDLE, Background, Group, Place, Scene, random_scene
from blipvid.demo.shapes import COLOURS, RADII, TEXTURES, TONES, Kind, Thing

NUMBERS = ["none", "one", "two", "three", "four"]
FORMS = {
    "colour": re.compile(r"which colour is the thing (?P<place>[\w ]+)\?"),
    "count": re.compile(r"how many (?P<what>[\w ]+) are there\?"),
    "place": re.compile(r"where is the (?P<size>\w+) (?P<colour>\w+) thing\?"),
    "motion": re.compile(r"what does the (?P<size>\w+) (?P<colour>\w+) thing do\?"),
}


def one_meant(question: Question, things: list[Thing]) -> Thing:
    """The one thing that a question is about; there must be no other that it could be about."""
    match = FORMS[question.asks].fullmatch(question.question)
    assert match, question
    said = match.groupdict()
    if place := said.pop("place", None):
        (meant,) = [thing for thing in things if place_in_words(thing.x, thing.y) == place]
        return meant
    (meant,) = [thing for thing in things if all(getattr(thing.kind, key) == word for key, word in said.items())]
    return meant


def counted(question: Question, things: list[Thing]) -> int:
    match = FORMS["count"].fullmatch(question.question)
    assert match, question
    *feature, last = match["what"].split()
    assert last == "things"
    return sum(not feature or feature[0] in (thing.kind.colour, thing.kind.size) for thing in things)


def place_in_words(x: float, y: float) -> str:
    """The field of the picture, read off with thirds; far from the borders of fields all ways to cut them agree."""
    column = ["left", "", "right"][int(x * 3)]
    row = ["top", "", "bottom"][int(y * 3)]
    if not column and not row:
        return "in the middle"
    return f"at the {row} {column}".rstrip() if row else f"on the {column}"


def answer_again(question: Question, scene: Scene, things: list[Thing], everything: list[Thing]) -> str:
    """Answers from what can be seen at one moment, and from all that can ever be seen."""
    if question.asks == "background":
        return f"{scene.background.tone} {scene.background.texture}"
    if question.asks == "count":
        return NUMBERS[counted(question, things)]
    meant = one_meant(question, everything)
    if question.asks == "place":
        return place_in_words(meant.x, meant.y)
    return meant.kind.colour


@pytest.fixture(scope="module")
def clips() -> list[tuple[DrawnClip, list[Question]]]:
    return [(clip, clip_questions(clip)) for clip in held_out_clips()]


def test_each_question_about_a_picture_has_one_right_answer() -> None:
    rng = np.random.default_rng(3)
    for _ in range(200):
        scene = random_scene(rng, held_out=False)
        things = list(scene.things())
        asked = picture_questions(scene, things)
        assert len({question.question for question in asked}) == len(asked)
        for question in asked:
            right = "stays" if question.asks == "motion" else answer_again(question, scene, things, things)
            assert question.answer == right


def test_answers_about_a_clip_are_right_in_every_frame(clips: list[tuple[DrawnClip, list[Question]]]) -> None:
    for clip, asked in clips:
        assert len({question.question for question in asked}) == len(asked)
        for time in np.arange(N_FRAMES) / (N_FRAMES - 1):
            things, everything = clip.moment(time), clip.cast(time)
            for question in asked:
                if question.asks != "motion":
                    assert question.answer == answer_again(question, clip.scene, things, everything)


def test_motions_are_those_of_the_clip(clips: list[tuple[DrawnClip, list[Question]]]) -> None:
    step = {"moves left": (-1, 0), "moves right": (1, 0), "moves up": (0, -1), "moves down": (0, 1), "stays": (0, 0)}
    found = 0
    for clip, asked in clips:
        first, last = clip.cast(0.0), clip.cast(1.0)
        for question in (question for question in asked if question.asks == "motion"):
            before, after = one_meant(question, first), one_meant(question, last)
            way = np.sign(np.round([after.x - before.x, after.y - before.y], 6))
            assert tuple(way) == step[question.answer]
            found += 1
    assert found > 80


def test_what_comes_or_goes_is_neither_counted_nor_asked_for(
    clips: list[tuple[DrawnClip, list[Question]]],
) -> None:
    passing = 0
    for clip, asked in clips:
        everything = clip.cast(0.5)
        gone = {
            id(thing)
            for thing, part in zip(everything, clip.parts, strict=True)
            if part.motion in ("appears", "leaves")
        }
        for question in asked:
            if question.asks in ("colour", "place", "motion"):
                assert id(one_meant(question, everything)) not in gone
            if question.asks == "count":
                staying = [thing for thing in everything if id(thing) not in gone]
                assert counted(question, staying) == counted(question, everything)
        passing += bool(gone)
    assert passing > 50


def test_one_that_leaves_and_one_that_appears_are_not_one() -> None:
    ring, star = Kind("big", "red", "ring"), Kind("big", "blue", "star")
    scene = Scene(
        Background("dark", "plain"),
        (Group(ring, ((0.2, 0.2),)), Group(star, ((0.8, 0.8),))),
        (Place(0, "at the top"), Place(1, "at the bottom")),
        says_background=False,
    )
    clip = DrawnClip("", scene, (Part("leaves", 0.0, 0.49), Part("appears", 0.51, 1.0)))
    assert all(len(clip.moment(time)) == 1 for time in (0.0, 0.4, 0.6, 1.0))
    asked = {question.question: question.answer for question in clip_questions(clip)}
    assert not {"how many big things are there?", "how many things are there?"} & set(asked)
    assert asked["how many small things are there?"] == "none"


def seen_by(thing: Thing, *others: Thing) -> list[str]:
    """What is asked about the motion of the first of some things."""
    scene = random_scene(np.random.default_rng(0), held_out=False)
    asked = picture_questions(scene, [thing, *others])
    name = f"{thing.kind.size} {thing.kind.colour} thing"
    return [question.answer for question in asked if question.question == f"what does the {name} do?"]


def test_what_could_be_another_thing_is_not_asked_for() -> None:
    scene = random_scene(np.random.default_rng(0), held_out=False)
    ring, star = Thing(Kind("big", "red", "ring"), 0.2, 0.2), Thing(Kind("big", "red", "star"), 0.8, 0.2)
    asked = {question.question: question.answer for question in picture_questions(scene, [ring, star])}
    assert asked["which colour is the thing at the top left?"] == "red"
    assert not any("the big red thing" in question for question in asked)
    near = Thing(Kind("small", "blue", "star"), MIDDLE[0] + 0.01, 0.2)  # at the top, and nearly at the top left
    asked = {question.question: question.answer for question in picture_questions(scene, [ring, near])}
    assert not any(question.startswith("which colour") for question in asked)
    assert asked["where is the big red thing?"] == "at the top left"


def test_motion_is_asked_only_where_the_speed_lines_show_it() -> None:
    ring, star = Kind("big", "red", "ring"), Kind("small", "blue", "star")
    right, left = HEADINGS["moves right"], HEADINGS["moves left"]
    assert seen_by(Thing(ring, 0.5, 0.5, right)) == ["moves right"]
    assert seen_by(Thing(ring, 0.2, 0.5, right)) == []  # its lines are outside the picture
    assert seen_by(Thing(ring, 0.2, 0.5, left)) == ["moves left"]
    assert seen_by(Thing(ring, 0.5, 0.5, right), Thing(star, 0.25, 0.5)) == []  # hidden by the star
    assert seen_by(Thing(ring, 0.5, 0.5, right), Thing(star, 0.75, 0.5)) == ["moves right"]
    assert seen_by(Thing(ring, 0.5, 0.5, right), Thing(star, 0.27, 0.4, left)) == []  # lines of both run together
    assert seen_by(Thing(star, 0.5, 0.5), Thing(ring, 0.8, 0.5, right)) == []  # the ring's lines reach the star
    assert seen_by(Thing(star, 0.5, 0.5), Thing(ring, 0.8, 0.5, left)) == ["stays"]


def test_no_answer_of_a_kind_is_common(clips: list[tuple[DrawnClip, list[Question]]]) -> None:
    rng, answers = np.random.default_rng(0), Counter[str]()
    asked = [question for _, possible in clips for question in one_of_each(rng, possible, answers)]
    assert len(asked) > 650
    for asks in ASKS:
        found = Counter(question.answer for question in asked if question.asks == asks)
        assert max(found.values()) / found.total() < 0.35
        assert found.total() > 80


def test_one_of_each_kind_is_picked_and_the_rarest_answer_first() -> None:
    possible = [Question("colour", f"{i}?", answer) for i, answer in enumerate(["red", "blue", "red", "pink"])]
    possible.append(Question("count", "4?", "two"))
    answers = Counter({"red": 1, "blue": 2})
    picked = one_of_each(np.random.default_rng(0), possible, answers)
    assert [question.question for question in picked] == ["3?", "4?"]
    assert answers == {"red": 1, "blue": 2, "pink": 1, "two": 1}
    again = one_of_each(np.random.default_rng(0), possible, answers)
    assert again[0].answer in ("red", "pink")


def test_all_answers_are_listed_once(clips: list[tuple[DrawnClip, list[Question]]]) -> None:
    listed = all_answers()
    assert len(listed) == len(set(listed)) == len(TONES) * len(TEXTURES) + len(COLOURS) + 5 + 9 + 5
    assert {question.answer for _, asked in clips for question in asked} == set(listed)


def test_questions_are_clean_and_words_of_the_world(clips: list[tuple[DrawnClip, list[Question]]]) -> None:
    for _, asked in clips[:20]:
        for question in asked:
            assert clean_question(question.question, 50) == question.question
    assert set(RADII) == {"small", "big"}  # each is a word of its own in "how many big things"
