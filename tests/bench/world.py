"""Everything one run needs, small: six drawn clips, captions or questions, a benchmark file, a tiny random model."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml
from PIL import Image

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


ASKED = [("what runs?", "dog"), ("who sits on the grass?", "a cat"), ("what sits?", "cat"), ("how many cats?", "2")]
ANSWERS = ["dog", "cat", "red dog", "a dog on the grass"]


def make_question_world(folder: Path) -> World:
    """Writes a world with four questions about each of three clips, and options for them, into an empty folder."""
    (folder / "clips").mkdir()
    rows = []
    for number in range(3):
        draw_clip(folder / "clips" / f"c{number}.mp4", 8 + number, width=64, height=48)
        rows += [
            {
                "id": f"{number}-{place}",
                "clip": f"c{number}",
                "question": question,
                "answer": answer,
                "options": ANSWERS,
            }
            for place, (question, answer) in enumerate(ASKED)
        ]
    (folder / "qa.json").write_text(json.dumps(rows), encoding="utf-8")
    (folder / "answers.txt").write_text("\n".join(ANSWERS) + "\n", encoding="utf-8")
    choices = [{**row, "answer": 1} for row in rows]
    (folder / "choices.json").write_text(json.dumps(choices), encoding="utf-8")
    world = World(folder, folder / "asked.yaml", write_model(folder, task="vqa"))
    fields = {"id": "id", "clip": "clip", "question": "question", "answer": "answer"}
    frames = {"count": 2, "size": 32}
    dataset = {"annotations": "qa.json", "answers": "answers.txt", "fields": fields, "media": "clips/{clip}.mp4"}
    asked = {
        "name": "asked",
        "task": "qa",
        "about": "three drawn clips",
        "dataset": dataset,
        "frames": frames,
        "settings": {"answer_by": ["generate", "rank"], "bootstrap": 50},
        "published": [
            {
                "label": "a paper",
                "metrics": {"generate_accuracy": 35.2, "rank_accuracy": 35.2},
                "source": "its table",
                "protocol": "not stated",
            }
        ],
    }
    chosen = {
        "name": "chosen",
        "task": "choice",
        "dataset": {
            "annotations": "choices.json",
            "fields": {**fields, "options": "options"},
            "media": "clips/{clip}.mp4",
        },
        "frames": frames,
        "settings": {"bootstrap": 50},
    }
    for benchmark in (asked, chosen):
        path = folder / f"{benchmark['name']}.yaml"
        path.write_text(yaml.safe_dump(benchmark), encoding="utf-8")
    return world


def make_caption_world(folder: Path) -> World:
    """Writes a world with three clips and two pictures to be captioned, of two kinds, into an empty folder."""
    (folder / "clips").mkdir()
    names = [f"c{number}.mp4" for number in range(3)] + ["p3.png", "p4.png"]
    for number, name in enumerate(names):
        if name.endswith(".png"):
            grey = np.random.default_rng(number).integers(0, 256, (40, 60, 3), np.uint8)
            Image.fromarray(grey).save(folder / "clips" / name)
        else:
            draw_clip(folder / "clips" / name, 8 + number, width=64, height=48)
    rows = [
        {
            "clip": name,
            "number": 10 + number,
            "domain": "in" if number % 2 else "out",
            "captions": CAPTIONS[number:][:2],
        }
        for number, name in enumerate(names)
    ]
    (folder / "captions.json").write_text(json.dumps(rows), encoding="utf-8")
    world = World(folder, folder / "described.yaml", write_model(folder, task="caption"))
    described = {
        "name": "described",
        "task": "caption",
        "about": "three drawn clips and two pictures",
        "dataset": {
            "annotations": "captions.json",
            "fields": {"clip": "clip", "id": "number", "kind": "domain", "captions": "captions"},
            "media": "clips/{clip}",
            "expect": {"clips": 5, "captions": 10},
        },
        "frames": {"count": 2, "size": 32},
        "settings": {"bootstrap": 50},
        "published": [
            {
                "label": "a paper",
                "metrics": {"cider": 133.3, "spice": 23.7},
                "source": "its table",
                "protocol": "beam",
            }
        ],
        "compare": [{"label": "another", "metrics": {"cider": 120.0}, "source": "elsewhere", "protocol": "not stated"}],
    }
    world.benchmark.write_text(yaml.safe_dump(described), encoding="utf-8")
    return world
