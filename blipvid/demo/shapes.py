"""Pictures of the drawn world: coloured shapes on a background, anti-aliased at any size.

A thing that moves trails speed lines, as in a comic, so that a single picture shows what it does. Knows how things look
and nothing of what is said about them; that is `grammar.py`. Coordinates are fractions of the side of the square
picture, x to the right and y downwards.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import cos, hypot, pi, sin

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.floating]
Outline = Callable[[Array, Array], Array]
"""Distance to an outline, negative inside, of a point (u, v) in units of the thing's radius."""

COLOURS: dict[str, tuple[int, int, int]] = {
    "red": (220, 40, 40),
    "orange": (250, 140, 20),
    "yellow": (250, 225, 50),
    "green": (40, 165, 60),
    "cyan": (50, 210, 220),
    "blue": (40, 80, 220),
    "purple": (140, 50, 190),
    "pink": (250, 140, 190),
}
RADII = {"small": 0.085, "big": 0.15}
TONES = {"light": 200.0, "dark": 75.0}
TEXTURES = ("plain", "striped", "dotted", "checked")
TEXTURE_PERIOD = 0.125
TEXTURE_DEPTH = 24.0
TRAIL_BEGIN = 0.7
"""How far behind the centre the lines begin, in radii of the thing; what the thing covers of them is not seen."""
TRAIL_LENGTH = 0.12
"""How far they stick out behind the thing, as a fraction of the side."""
TRAIL_WIDTH = 0.022
TRAIL_LANES = (-0.6, 0.0, 0.6)
"""How far to either side of the way each line runs, in radii of the thing."""
TRAIL_SHADES = {"light": 15.0, "dark": 245.0}
"""Grey of the lines by the tone of the background."""


@dataclass(frozen=True, slots=True, order=True)
class Kind:
    """What one thing looks like: a size of `RADII`, a colour of `COLOURS`, a shape of `SHAPES`."""

    size: str
    colour: str
    shape: str


@dataclass(frozen=True, slots=True)
class Background:
    """What everything lies on: a tone of `TONES` and a texture of `TEXTURES`."""

    tone: str
    texture: str


@dataclass(frozen=True, slots=True)
class Thing:
    """One thing at one moment.

    Attributes:
        kind: What it looks like.
        x: Centre, as a fraction of the side.
        y: Likewise.
        heading: Where it is going: one step along x and y, each -1, 0 or 1, at most one of them not 0.
    """

    kind: Kind
    x: float
    y: float
    heading: tuple[int, int] = (0, 0)

    @property
    def radius(self) -> float:
        """Half its width, as a fraction of the side."""
        return RADII[self.kind.size]

    @property
    def moves(self) -> bool:
        """Whether it is going anywhere."""
        return any(self.heading)


def _star(u: Array, v: Array) -> Array:
    inner = 0.45
    sector = np.abs(np.mod(np.arctan2(u, -v) + pi / 5, 2 * pi / 5) - pi / 5)
    radius = np.hypot(u, v)
    along, across = radius * np.cos(sector) - 1.0, radius * np.sin(sector)
    edge_x, edge_y = inner * cos(pi / 5) - 1.0, inner * sin(pi / 5)
    return (along * edge_y - across * edge_x) / hypot(edge_x, edge_y)


def _heart(u: Array, v: Array) -> Array:
    point = (np.abs(u) + np.abs(v - 0.1) - 0.8) / np.sqrt(2.0)
    lobes = np.hypot(np.abs(u) - 0.4, v + 0.3) - 0.566
    return np.minimum(point, lobes)


def _cross(u: Array, v: Array) -> Array:
    across, down = np.abs(u), np.abs(v)
    return np.minimum(np.maximum(across - 0.95, down - 0.3), np.maximum(across - 0.3, down - 0.95))


def _triangle(u: Array, v: Array) -> Array:
    rise, run = 1.67, 0.95
    return np.maximum(v - 0.72, (np.abs(u) * rise - (v + 0.95) * run) / hypot(rise, run))


SHAPES: dict[str, Outline] = {
    "circle": lambda u, v: np.hypot(u, v) - 0.9,
    "square": lambda u, v: np.maximum(np.abs(u), np.abs(v)) - 0.78,
    "triangle": _triangle,
    "star": _star,
    "heart": _heart,
    "cross": _cross,
    "ring": lambda u, v: np.abs(np.hypot(u, v) - 0.68) - 0.24,
    "diamond": lambda u, v: (np.abs(u) + np.abs(v) - 1.0) / np.sqrt(2.0),
}


@lru_cache(maxsize=64)
def _empty(background: Background, size_px: int) -> Array:
    """Returns the (S, S, 3) float32 picture of a background with nothing on it."""
    centre = (np.arange(size_px, dtype=np.float32) + 0.5) / size_px
    x, y = np.meshgrid(centre, centre)
    turn = np.float32(2 * pi / TEXTURE_PERIOD)
    wave = {
        "plain": lambda: np.zeros_like(x),
        "striped": lambda: np.sin(turn * (x + y) / np.sqrt(2.0)),
        "dotted": lambda: np.cos(turn * x) + np.cos(turn * y) - 1.0,
        "checked": lambda: 2.0 * np.sin(turn / 2 * x) * np.sin(turn / 2 * y),
    }[background.texture]()
    grey = TONES[background.tone] + TEXTURE_DEPTH * np.clip(wave, -1.0, 1.0)
    return np.repeat(grey[:, :, None], 3, axis=2).astype(np.float32)


def draw(background: Background, things: Sequence[Thing], size_px: int) -> npt.NDArray[np.uint8]:
    """Draws one picture.

    Args:
        background: What the things lie on.
        things: Later ones hide earlier ones, and all of them hide trails.
        size_px: Side of the picture in pixels (S).

    Returns:
        (S, S, 3) uint8 RGB.
    """
    picture = _empty(background, size_px).copy()
    for thing in things:
        if thing.moves:
            _paint(picture, thing, thing.radius + TRAIL_LENGTH, _trail(thing), (TRAIL_SHADES[background.tone],) * 3)
    for thing in things:
        _paint(picture, thing, thing.radius, SHAPES[thing.kind.shape], COLOURS[thing.kind.colour])
    return np.rint(picture).astype(np.uint8)


def _trail(thing: Thing) -> Outline:
    """Returns the outline of the speed lines behind a thing, in units of its radius."""
    step_x, step_y = thing.heading
    begin, end = -TRAIL_BEGIN, -1.0 - TRAIL_LENGTH / thing.radius
    half_width = TRAIL_WIDTH / thing.radius / 2

    def outline(u: Array, v: Array) -> Array:
        along, across = u * step_x + v * step_y, u * step_y + v * step_x
        beside = np.minimum.reduce([np.abs(across - lane) for lane in TRAIL_LANES])
        return np.maximum(np.abs(along - (begin + end) / 2) - (begin - end) / 2, beside - half_width)

    return outline


def _paint(picture: Array, thing: Thing, reach: float, outline: Outline, colour: Iterable[float]) -> None:
    """Covers what lies inside an outline around a thing, at most `reach` (a fraction of the side) from its centre."""
    size_px = len(picture)
    x_px, y_px, radius_px = thing.x * size_px, thing.y * size_px, thing.radius * size_px
    left, right = _span(x_px, reach * size_px, size_px)
    top, bottom = _span(y_px, reach * size_px, size_px)
    u = ((np.arange(left, right, dtype=np.float32) + 0.5 - x_px) / radius_px)[None, :]
    v = ((np.arange(top, bottom, dtype=np.float32) + 0.5 - y_px) / radius_px)[:, None]
    # One pixel of outline goes from covered to bare: that is the anti-aliasing.
    covered = np.clip(0.5 - outline(u, v) * radius_px, 0.0, 1.0)[:, :, None]
    window = picture[top:bottom, left:right]
    window += covered * (np.array([*colour], dtype=np.float32) - window)


def _span(centre_px: float, reach_px: float, size_px: int) -> tuple[int, int]:
    return max(0, int(centre_px - reach_px) - 1), min(size_px, int(centre_px + reach_px) + 2)
