"""Pictures of the drawn world: coloured shapes on a background, anti-aliased at any size.

Knows how things look and nothing of what is said about them; that is `grammar.py`. Coordinates are fractions of the
side of the square picture, x to the right and y downwards.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from math import cos, hypot, pi, sin

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.floating]

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


SHAPES: dict[str, Callable[[Array, Array], Array]] = {
    "circle": lambda u, v: np.hypot(u, v) - 0.9,
    "square": lambda u, v: np.maximum(np.abs(u), np.abs(v)) - 0.78,
    "triangle": _triangle,
    "star": _star,
    "heart": _heart,
    "cross": _cross,
    "ring": lambda u, v: np.abs(np.hypot(u, v) - 0.68) - 0.24,
    "diamond": lambda u, v: (np.abs(u) + np.abs(v) - 1.0) / np.sqrt(2.0),
}
"""Distance to the outline, negative inside, of a point (u, v) in units of the shape's radius."""


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


def draw(background: Background, things: Iterable[tuple[Kind, float, float]], size_px: int) -> npt.NDArray[np.uint8]:
    """Draws one picture.

    Args:
        background: What the things lie on.
        things: Kind and centre (x, y) of each thing, as fractions of the side; later ones hide earlier ones.
        size_px: Side of the picture in pixels (S).

    Returns:
        (S, S, 3) uint8 RGB.
    """
    picture = _empty(background, size_px).copy()
    for kind, x, y in things:
        radius = RADII[kind.size] * size_px
        left, right = _span(x * size_px, radius, size_px)
        top, bottom = _span(y * size_px, radius, size_px)
        u = ((np.arange(left, right, dtype=np.float32) + 0.5 - x * size_px) / radius)[None, :]
        v = ((np.arange(top, bottom, dtype=np.float32) + 0.5 - y * size_px) / radius)[:, None]
        # One pixel of outline goes from covered to bare: that is the anti-aliasing.
        covered = np.clip(0.5 - SHAPES[kind.shape](u, v) * radius, 0.0, 1.0)[:, :, None]
        window = picture[top:bottom, left:right]
        window += covered * (np.array(COLOURS[kind.colour], dtype=np.float32) - window)
    return np.rint(picture).astype(np.uint8)


def _span(centre_px: float, radius_px: float, size_px: int) -> tuple[int, int]:
    return max(0, int(centre_px - radius_px) - 1), min(size_px, int(centre_px + radius_px) + 2)
