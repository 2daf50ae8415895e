"""The recorded runs on real files: their model as a model file, their clips under the names of the official loader."""

import json
from pathlib import Path

import yaml


def write_model(recorded: Path, vocab: Path, task: str, folder: Path) -> Path:
    """Writes the model file of a recorded run; returns it."""
    config = json.loads((recorded / "config.json").read_text(encoding="utf-8"))
    text = config["text"]
    spec = {
        "name": "recorded",
        "family": "blip",
        "task": task,
        "checkpoint": str(recorded / "model.pth"),
        "image_size": config["image_size"],
        "vision": {
            "width": config["vit_width"],
            "depth": config["vit_depth"],
            "heads": config["vit_heads"],
            "patch": config["patch_size"],
            "mlp_ratio": config["mlp_ratio"],
        },
        "text": {
            "width": text["hidden_size"],
            "depth": text["num_hidden_layers"],
            "heads": text["num_attention_heads"],
            "mlp": text["intermediate_size"],
            "vocab_size": text["vocab_size"],
            "max_positions": text["max_position_embeddings"],
        },
        "embed_dim": config.get("embed_dim", 256),
        "vocab": str(vocab),
    }
    path = folder / "recorded.yaml"
    path.write_text(yaml.safe_dump(spec), encoding="utf-8")
    return path


def link_clips(captions: Path, clips: Path, folder: Path) -> list[dict[str, str]]:
    """Links the recorded clips into a folder as `NAME.mp4`; returns the rows of the caption file."""
    folder.mkdir()
    rows = [json.loads(line) for line in captions.read_text(encoding="utf-8").splitlines()]
    for row in rows:
        (folder / f"{row['clip_name']}.mp4").symlink_to(clips / row["file"])
    return rows
