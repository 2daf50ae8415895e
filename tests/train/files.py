"""Pictures, annotation files and tar files that tests write themselves; each picture is one colour, its number."""

import io
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import webdataset
from PIL import Image

from blipvid.core.config import validate
from blipvid.train.pictures.batches import Feed
from blipvid.train.pictures.images import Loaded, find_pictures, load_batches
from blipvid.train.pictures.settings import Pictures

B = TypeVar("B")

PLAIN = {"min_scale": 1.0, "flip": False, "randaugment": False}
"""Pictures of one colour come out as they were."""


def picture(number: int, size: tuple[int, int] = (12, 9)) -> Image.Image:
    return Image.new("RGB", size, (number % 256, number // 256, 7))


def encoded(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "png")
    return file.getvalue()


def number_of(pixels: Any) -> int:
    """Reads back which picture it was, from (3, S, S)."""
    return int(pixels[0, 0, 0]) + 256 * int(pixels[1, 0, 0])


def write_pictures(folder: Path, count: int) -> list[str]:
    folder.mkdir(parents=True, exist_ok=True)
    names = [f"{number}.png" for number in range(count)]
    for number, name in enumerate(names):
        picture(number).save(folder / name)
    return names


def write_captions(folder: Path, count: int, per_picture: int = 1) -> dict[str, Any]:
    """Writes pictures with captions such as `picture 3 said 0`, and returns the set."""
    rows = [
        {"image": name, "caption": f"Picture {number} said {k}.", "image_id": f"id_{number}"}
        for number, name in enumerate(write_pictures(folder, count))
        for k in range(per_picture)
    ]
    return {"kind": "captions", "annotations": write_json(folder / "captions.json", rows), "images": str(folder)}


def write_json(path: Path, said: Any) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(said))
    return str(path)


def write_shards(folder: Path, counts: Sequence[int]) -> dict[str, Any]:
    """Writes shards as img2dataset lays them out, pictures numbered through, and returns the set."""
    folder.mkdir(parents=True, exist_ok=True)
    number = 0
    for shard, count in enumerate(counts):
        with webdataset.TarWriter(str(folder / f"{shard:05d}.tar")) as tar:
            for _ in range(count):
                tar.write(sample(number))
                number += 1
    return {"kind": "shards", "tars": str(folder / f"{{00000..{len(counts) - 1:05d}}}.tar")}


def sample(number: int) -> dict[str, Any]:
    caption = f"Picture {number}."
    return {"__key__": f"{number:09d}", "png": encoded(picture(number)), "txt": caption, "json": {"caption": caption}}


def settings(*sets: dict[str, Any], **changes: Any) -> Pictures:
    said = {"sets": list(sets), "batch_size": 2, "workers": 0, "augment": PLAIN, **changes}
    return validate(Pictures, said, "test")


def batches(
    feed: Feed[B],
    pictures: Pictures,
    size_px: int,
    seed: int,
    steps: range,
    rank: int = 0,
    world: int = 1,
    root: Path | None = None,
) -> Iterator[Loaded[B]]:
    """Finds pictures, which checks the files at once, and returns their batches."""
    return load_batches(find_pictures(feed, pictures, size_px, seed, rank, world, root), steps)


def steps_per_epoch(feed: Feed[Any], pictures: Pictures, world: int) -> int | None:
    return find_pictures(feed, pictures, 1, seed=0, world=world).steps_per_epoch
