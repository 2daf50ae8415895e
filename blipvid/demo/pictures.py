"""Training pictures of the drawn world: single scenes that may be seen, many of them beside a twin."""

import numpy as np
import numpy.typing as npt

from blipvid.demo.grammar import caption
from blipvid.demo.scenes import TWISTS, Scene, pick, random_scene, twins
from blipvid.demo.shapes import draw


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


def draw_batch(
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
    pixels = np.stack([draw(scene.background, scene.things(), size_px) for scene in scenes])
    return pixels, [caption(scene) for scene in scenes]
