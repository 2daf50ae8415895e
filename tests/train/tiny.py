"""A recipe small enough for a test: seconds on one core."""

from pathlib import Path
from typing import Any

import yaml

from blipvid.train.recipe import Recipe, load_recipe

MODEL = {
    "name": "tiny",
    "task": "retrieval",
    "checkpoint": "none.safetensors",
    "image_size": 32,
    "vision": {"width": 32, "depth": 1, "heads": 2, "patch": 8, "mlp_ratio": 2},
    "text": {"width": 32, "depth": 1, "heads": 2, "mlp": 64, "max_positions": 40},
    "embed_dim": 16,
    "vocab": "shipped:demo/vocab.txt",
}
RECIPE: dict[str, Any] = {
    "name": "tiny",
    "model": "tiny-model.yaml",
    "pictures": {"source": "demo", "batch_size": 8, "workers": 0},
    "objective": {"kind": "retrieval", "momentum": None},
    "optimiser": {"lr": 0.002, "weight_decay": 0.05, "clip_norm": 5.0},
    "schedule": {"warmup_steps": 2},
    "steps": 6,
    "checkpoint_steps": 3,
}


ANSWERER = {key: value for key, value in MODEL.items() if key != "embed_dim"} | {"task": "vqa"}
QUESTIONS: dict[str, Any] = RECIPE["pictures"] | {"options": {"questions": 3}}


def write_recipe(folder: Path, sizes: dict[str, Any] = MODEL, **changes: Any) -> Path:
    """Writes the recipe, changed, and its model file."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "tiny-model.yaml").write_text(yaml.safe_dump(sizes))
    path = folder / "tiny.yaml"
    path.write_text(yaml.safe_dump(RECIPE | changes))
    return path


def tiny_recipe(folder: Path, sizes: dict[str, Any] = MODEL, **changes: Any) -> Recipe:
    return load_recipe(str(write_recipe(folder, sizes, **changes)))
