"""What is said about scenes: captions from a grammar. Says nothing that is not true; what is asked is `questions.py`.

All words that can ever be said are `words()`; the shipped vocabulary is these and the special tokens.
"""

from blipvid.demo.scenes import OPPOSITES, PLACES, Group, Place, Relation, Scene
from blipvid.demo.shapes import COLOURS, RADII, SHAPES, TEXTURES, TONES, Kind

COUNTS = {1: "one", 2: "two", 3: "three", 4: "four"}
HEADINGS = {"stays": (0, 0), "moves left": (-1, 0), "moves right": (1, 0), "moves up": (0, -1), "moves down": (0, 1)}
"""What a thing does that is there all along, and one step of it along x and y."""
MOTIONS = (*HEADINGS, "appears", "leaves")
SPECIAL_PIECES = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
FUNCTION_WORDS = (
    *("a", "and", "on", "background", "the", "or", "of", "with", "to", "in", "no", "yes", "none", "then", "still"),
    *("what", "which", "where", "how", "many", "is", "are", "does", "do", "there", "it", "happens"),
    *("colour", "shape", "size", "thing", "things", "picture", "clip", "video", ",", "?"),
)
"""Those of captions and questions, and some for questions of one's own."""


def looks(kind: Kind) -> str:
    """Says everything that can be seen of one thing: `big red circle`."""
    return f"{kind.size} {kind.colour} {kind.shape}"


def name(group: Group) -> str:
    """Names a group: `a big red circle`, `two small blue stars`."""
    count = len(group.centres)
    return f"a {looks(group.kind)}" if count == 1 else f"{COUNTS[count]} {plural(looks(group.kind))}"


def plural(shape: str) -> str:
    """Returns the plural of a shape's name, or of a phrase that ends in one."""
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
