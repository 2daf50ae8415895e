"""Drawn clips, each drawn once a session."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.media.drawing import draw_clip

Draw = Callable[..., Path]


@pytest.fixture(scope="session")
def draw(tmp_path_factory: pytest.TempPathFactory) -> Draw:
    """draw(ending, n_frames, **settings of draw_clip) -> path; the same arguments give the same file."""
    folder = tmp_path_factory.mktemp("drawn")
    made: dict[str, Path] = {}

    def get(ending: str, n_frames: int = 100, **settings: Any) -> Path:
        key = repr((ending, n_frames, sorted(settings.items())))
        if key not in made:
            made[key] = draw_clip(folder / f"{len(made)}.{ending}", n_frames, **settings)
        return made[key]

    return get
