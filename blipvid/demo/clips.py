"""Clips of the drawn world: held-out scenes whose things move, appear and leave.

What a caption says of a scene stays true all along: no thing moves far enough to turn a relation round. In every eighth
scene the first thing has left before the last one appears, so that no single frame shows all that the caption says.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from blipvid.demo.grammar import HEADINGS, MOTIONS, caption
from blipvid.demo.scenes import TWISTS, Scene, pick, random_scene, twins
from blipvid.demo.shapes import Thing, draw

N_CLIPS = 200
N_TWIN_PAIRS = 50
SEED = 20220128
N_FRAMES = 24
TIMES = tuple(number / (N_FRAMES - 1) for number in range(N_FRAMES))
FPS = 8
SIZE_PX = 128
PASSING_EVERY = 8
"""Of so many scenes one is shown in passing: its things are never all there at once."""
STRIDE = 0.12
"""How far a moving thing goes, as a fraction of the side; less than the margin of every relation."""


@dataclass(frozen=True, slots=True)
class Part:
    """What one thing does: a motion of `MOTIONS`, and from when to when it can be seen (fractions of the clip)."""

    motion: str
    enters: float
    leaves: float


@dataclass(frozen=True, slots=True)
class DrawnClip:
    """One clip.

    Attributes:
        id: For instance `clip-007`.
        scene: What it shows.
        parts: What each thing does, in the order of `scene.things()`.
        twin: Id of the clip that differs in one thing, or an empty string.
        twist: In what it differs: one of `TWISTS`, or an empty string.
    """

    id: str
    scene: Scene
    parts: tuple[Part, ...]
    twin: str = ""
    twist: str = ""

    @property
    def caption(self) -> str:
        """The one caption of the clip."""
        return caption(self.scene)

    def frames(self, size_px: int = SIZE_PX) -> Iterator[npt.NDArray[np.uint8]]:
        """Yields the N_FRAMES pictures of the clip, each (S, S, 3) uint8 RGB."""
        for time in TIMES:
            yield self.frame(time, size_px)

    def frame(self, time: float, size_px: int = SIZE_PX) -> npt.NDArray[np.uint8]:
        """Draws the moment `time`, 0 at the begin and 1 at the end; (S, S, 3) uint8 RGB."""
        return draw(self.scene.background, self.moment(time), size_px)

    def moment(self, time: float) -> list[Thing]:
        """Returns the things that can be seen at `time`, where they are then."""
        everything = zip(self.cast(time), self.parts, strict=True)
        return [thing for thing, part in everything if part.enters <= time <= part.leaves]

    def cast(self, time: float) -> list[Thing]:
        """Returns all things of the clip where they are at `time`, those included that cannot be seen then."""
        way = (time - 0.5) * STRIDE
        found = []
        for thing, part in zip(self.scene.things(), self.parts, strict=True):
            step_x, step_y = HEADINGS.get(part.motion, (0, 0))
            found.append(replace(thing, x=thing.x + step_x * way, y=thing.y + step_y * way, heading=(step_x, step_y)))
        return found


def held_out_clips() -> list[DrawnClip]:
    """Returns the clips of the demo benchmark, the same ones on every call.

    Returns:
        200 clips with 200 different captions: 100 alone, then 50 pairs of near-twins, which share everything but one
        colour, one size or one relation.
    """
    rng = np.random.default_rng(SEED)
    clips: list[DrawnClip] = []
    said: set[str] = set()
    n_alone = N_CLIPS - 2 * N_TWIN_PAIRS
    while len(clips) < N_CLIPS:
        number = min(len(clips), n_alone) + max(0, len(clips) - n_alone) // 2  # of scenes: a pair of twins is one
        scene = random_scene(rng, held_out=True)
        parts = _parts(rng, scene, passing=number % PASSING_EVERY == 0)
        twist = "" if number < n_alone else TWISTS[number % len(TWISTS)]
        possible = twins(scene, twist) if twist else []
        scenes = [scene, *([pick(rng, possible)] if possible else [])]
        captions = {caption(one) for one in scenes}
        if len(captions) != (2 if twist else 1) or captions & said:
            continue
        said |= captions
        ids = [f"clip-{len(clips) + i:03d}" for i in range(len(scenes))]
        clips += [
            DrawnClip(own, one, parts, other if twist else "", twist)
            for own, one, other in zip(ids, scenes, reversed(ids), strict=True)
        ]
    return clips


def _parts(rng: np.random.Generator, scene: Scene, passing: bool) -> tuple[Part, ...]:
    """Draws what each thing does. Where `passing`, the first has left before the last appears."""
    n_things = sum(1 for _ in scene.things())
    parts = []
    for number in range(n_things):
        motion = pick(rng, MOTIONS)
        if passing and number in (0, n_things - 1):
            motion = "leaves" if number == 0 else "appears"
        enters = rng.uniform(*((0.5, 0.54) if passing else (0.25, 0.45))) if motion == "appears" else 0.0
        leaves = rng.uniform(*((0.46, 0.5) if passing else (0.55, 0.75))) if motion == "leaves" else 1.0
        parts.append(Part(motion, float(enters), float(leaves)))
    return tuple(parts)
