"""What is said about scenes: captions from a grammar, and questions with answers. Says nothing that is not true.

All words that can ever be said are `words()`; the shipped vocabulary is these and the special tokens.
"""

from dataclasses import dataclass

from blipvid.demo.scenes import OPPOSITES, PLACES, Group, Place, Relation, Scene
from blipvid.demo.shapes import COLOURS, RADII, SHAPES, TEXTURES, TONES

COUNTS = {1: "one", 2: "two", 3: "three", 4: "four"}
MOTIONS = ("stays", "moves left", "moves right", "moves up", "moves down", "appears", "leaves")
SPECIAL_PIECES = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
FUNCTION_WORDS = (
    *("a", "and", "on", "background", "the", "or", "of", "with", "to", "in", "no", "yes", "none", "then", "still"),
    *("what", "which", "where", "how", "many", "is", "are", "does", "do", "there", "it", "happens"),
    *("colour", "shape", "size", "thing", "things", "picture", "clip", "video", ",", "?"),
)
"""Those of captions and questions, and some for questions of one's own."""


@dataclass(frozen=True, slots=True)
class Question:
    """One question about a scene or a clip.

    Attributes:
        asks: `shape`, `colour`, `count`, `place` or `motion`.
        question: In words, ending in a question mark.
        answer: One word or two.
    """

    asks: str
    question: str
    answer: str


def name(group: Group) -> str:
    """Names a group with everything that can be seen of it: `a big red circle`, `two small blue stars`."""
    kind, count = group.kind, len(group.centres)
    if count == 1:
        return f"a {kind.size} {kind.colour} {kind.shape}"
    return f"{COUNTS[count]} {kind.size} {kind.colour} {plural(kind.shape)}"


def plural(shape: str) -> str:
    """Returns the plural of a shape's name."""
    return shape + ("es" if shape.endswith("s") else "s")


def caption(scene: Scene) -> str:
    """Says what the scene's statements say, and the background where the scene tells it.

    For instance `a big red circle left of two small blue stars and a small green heart at the top on a dark striped
    background`.
    """
    clauses = [_clause(scene, saying) for saying in scene.says]
    ending = f" on a {scene.background.tone} {scene.background.texture} background" if scene.says_background else ""
    return " and ".join(clauses) + ending


def _clause(scene: Scene, saying: Relation | Place) -> str:
    if isinstance(saying, Place):
        return f"{name(scene.groups[saying.group])} {saying.word}"
    return f"{name(scene.groups[saying.first])} {saying.word} {name(scene.groups[saying.second])}"


def questions(scene: Scene) -> list[Question]:
    """Asks about a picture of the scene what has exactly one right answer there."""
    asked = []
    kinds = [group.kind for group in scene.groups]
    for group in scene.groups:
        kind = group.kind
        if len(group.centres) == 1:
            if sum((k.size, k.colour) == (kind.size, kind.colour) for k in kinds) == 1:
                text = f"what shape is the {kind.size} {kind.colour} thing?"
                asked.append(Question("shape", text, kind.shape))
            if sum((k.size, k.shape) == (kind.size, kind.shape) for k in kinds) == 1:
                text = f"which colour is the {kind.size} {kind.shape}?"
                asked.append(Question("colour", text, kind.colour))
    for shape in dict.fromkeys(kind.shape for kind in kinds):
        count = sum(len(group.centres) for group in scene.groups if group.kind.shape == shape)
        asked.append(Question("count", f"how many {plural(shape)} are there?", COUNTS[count]))
    for saying in scene.says:
        if isinstance(saying, Place):
            group, answer = scene.groups[saying.group], saying.word
        else:
            group, answer = scene.groups[saying.first], f"{saying.word} {name(scene.groups[saying.second])}"
        verb = "is" if len(group.centres) == 1 else "are"
        thing = name(group).split(" ", 1)[1]
        asked.append(Question("place", f"where {verb} the {thing}?", answer))
    return asked


def motion_question(group: Group, motion: str) -> Question:
    """Asks what one thing of a clip does; `motion` is one of `MOTIONS`."""
    thing = name(group).split(" ", 1)[1]
    return Question("motion", f"what does the {thing} do?", motion)


def words() -> list[str]:
    """Returns every word that captions, questions and answers can hold, sorted."""
    phrases = [
        *FUNCTION_WORDS,
        *COUNTS.values(),
        *RADII,
        *COLOURS,
        *SHAPES,
        *map(plural, SHAPES),
        *OPPOSITES,
        *PLACES,
        *TONES,
        *TEXTURES,
        *MOTIONS,
    ]
    return sorted({word for phrase in phrases for word in phrase.split()})


def vocabulary() -> list[str]:
    """Returns the pieces of the shipped WordPiece vocabulary in the order of their ids."""
    return [*SPECIAL_PIECES, *words()]
