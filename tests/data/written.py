"""A small dataset written into a folder: annotations, media, and one benchmark file over them."""

import json
from pathlib import Path
from typing import Any

import yaml

from blipvid.data.sets import LoadedSet, load_set
from blipvid.data.spec import load_benchmark

FIELDS: dict[str, dict[str, Any]] = {
    "retrieval": {"clip": "id", "text": "caption"},
    "qa": {"clip": "id", "question": "q", "answer": "a"},
    "choice": {"clip": "id", "question": "q", "answer": "a", "options": "o"},
    "caption": {"clip": "id", "captions": "caption"},
}


class Dataset:
    """A folder with annotations, media and one benchmark file over them."""

    def __init__(self, root: Path, task: str = "retrieval") -> None:
        self.root = root
        self.task = task
        self.dataset: dict[str, Any] = {
            "annotations": "a.jsonl",
            "fields": dict(FIELDS[task]),
            "media": "clips/{clip}.mp4",
            "obtain": "ask the authors",
        }
        self.settings: dict[str, Any] = {}

    def rows(self, *rows: dict[str, Any]) -> "Dataset":
        (self.root / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        return self

    def file(self, name: str, content: Any) -> Path:
        path = self.root / name
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return path

    def media(self, *names: str) -> "Dataset":
        for name in names:
            path = self.root / "clips" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        return self

    def load(self, *overrides: str, limit: int | None = None, **options: Any) -> LoadedSet:
        path = self.root / "mine.yaml"
        raw = {"name": "mine", "task": self.task, "dataset": self.dataset, "settings": self.settings}
        path.write_text(yaml.safe_dump(raw))
        return load_set(load_benchmark(path, overrides, **options), self.root, limit)
