"""Everything one run needs, small: six drawn clips, captions, a benchmark file, a tiny random model."""

from dataclasses import dataclass
from pathlib import Path

import yaml

from tests.media.drawing import draw_clip
from tests.models.tiny import write_model

CAPTIONS = ["a red dog runs", "a green cat sits", "the dog sits", "the cat runs on the grass", "a dog", "cats"]


@dataclass(frozen=True)
class World:
    """Where things lie."""

    folder: Path
    benchmark: Path
    model: Path

    def write_benchmark(self, name: str, **changes: object) -> Path:
        """Writes another benchmark file over the same clips; returns its path."""
        path = self.folder / f"{name}.yaml"
        path.write_text(yaml.safe_dump({**benchmark_keys(), "name": name, **changes}), encoding="utf-8")
        return path

    def arguments(self, out: Path, *more: str) -> list[str]:
        """Returns the command line of a run in this process; later options win."""
        begin = ["bench", str(self.benchmark), "--model", str(self.model), "--data-root", str(self.folder)]
        return [*begin, "--out", str(out), "--workers", "0", "--device", "cpu", *more]


def benchmark_keys() -> dict[str, object]:
    """Returns what the benchmark file says."""
    return {
        "name": "six",
        "task": "retrieval",
        "about": "six drawn clips",
        "dataset": {
            "annotations": "captions.csv",
            "fields": {"clip": "clip", "text": "caption"},
            "media": "clips/{clip}.mp4",
            "expect": {"clips": 6, "texts": 6},
        },
        "frames": {"count": 2, "size": 32},
        "settings": {"rerank_top_k": 4, "bootstrap": 50},
        "published": [
            {"label": "a paper", "metrics": {"t2v_r1": 50.0}, "source": "its table", "protocol": "re-ranked"},
        ],
        "compare": [{"label": "another", "metrics": {"t2v_r1": 20.0}, "source": "elsewhere", "protocol": "cosine"}],
    }


def make_world(folder: Path) -> World:
    """Writes the world into an empty folder."""
    (folder / "clips").mkdir()
    for number in range(len(CAPTIONS)):
        draw_clip(folder / "clips" / f"c{number}.mp4", 8 + number, width=64, height=48)
    lines = [f'c{number},"{caption}"' for number, caption in enumerate(CAPTIONS)]
    (folder / "captions.csv").write_text("\n".join(["clip,caption", *lines]) + "\n", encoding="utf-8")
    world = World(folder, folder / "six.yaml", write_model(folder))
    world.write_benchmark("six")
    return world
