"""A clip's features read from the cache, against making them again: decoding and ViT-B at 384 px, fp32.

Both ways go through the same door as a benchmark does (`ClipStream`), so reading includes finding out that the media
file is the one from before, and the checksum of the features; and both take a copy of the tokens, as re-ranking does.
Weights are random, clips are drawn. What is read must be what was computed: bit by bit where features are kept in fp32,
and within the rounding of 16 bits where they are kept in fp16.

`warm` reads what the system still holds in memory. `cold` asks the system to forget the files first; whether it does,
and whether the disk below has a memory of its own, no program can know, so that figure is an upper bound on the ratio.

    python benchmarks/speed/store.py [--preset ci|full] [--rounds 3] [--threads 1] [--json FILE]
"""

import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, cast

import av
import numpy as np
import torch
from reference import build_random
from rounds import Times, interleave, parser_of, ratio, show_peaks, spread

from blipvid.core.protocols import LoadClips, no_progress
from blipvid.core.settings import FrameSettings, TaskSettings
from blipvid.core.types import Clip, Runtime
from blipvid.evaluate.cache.keeping import FeatureCache, Recipe
from blipvid.evaluate.features import ClipStream
from blipvid.media.loader import load_clips
from blipvid.models.retriever import BlipRetriever

PRESETS = {"full": (8, 15, 8), "ci": (2, 10, 2)}  # clips, seconds and frames of each
IMAGE_PX = 384
WIDTH, HEIGHT, FPS = 320, 240, 30
ROUNDING = 2.0**-11
"""Largest relative error of a number of 16 bits."""

AN_HOUR_AGO = time.time() - 3600


def draw_clip(path: Path, seconds: int, seed: int) -> Clip:
    """Encodes a noisy texture that moves, with B-frames."""
    texture = np.random.default_rng(seed).integers(0, 256, (HEIGHT, 2 * WIDTH, 3), np.uint8)
    with av.open(str(path), "w") as file:
        stream = cast(av.VideoStream, file.add_stream("libx264", rate=FPS, options={"preset": "veryfast", "bf": "3"}))
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for number in range(FPS * seconds):
            left = number % WIDTH
            picture = np.ascontiguousarray(texture[:, left : left + WIDTH])
            file.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        file.mux(stream.encode(None))
    os.utime(path, (AN_HOUR_AGO, AN_HOUR_AGO))  # as old as media files are; the cache remembers no newer ones
    return Clip(path.stem, path)


def features(clips: Sequence[Clip], load: LoadClips, model: BlipRetriever) -> list[torch.Tensor]:
    """Takes all clips through the door of all tasks; returns copies of their tokens."""
    with ClipStream(clips, load, model, TaskSettings(), Runtime(), no_progress) as stream:
        return [found.tokens.clone() for _, found in stream]


def forget(folder: Path) -> None:
    """Asks the system to drop all files of a folder from its memory; Linux only."""
    for path in folder.rglob("*.safetensors"):
        with path.open("rb") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def compare(name: str, reference: Times, ours: Times) -> dict[str, Any]:
    """Prints one line and returns it for JSON."""
    cpu, wall = ratio(reference, ours), spread(reference.wall_s, ours.wall_s)
    slow, fast = reference.summary(), ours.summary()
    print(
        f"{name:<12} {slow['cpu_s']['median']:>10.3f} {1e3 * fast['cpu_s']['median']:>8.1f} "
        f"{cpu['cpu']:>7.0f}x [{cpu['cpu_min']:.0f}, {cpu['cpu_max']:.0f}] {1e3 * fast['wall_s']['median']:>8.1f} "
        f"{wall['median']:>7.0f}x [{wall['min']:.0f}, {wall['max']:.0f}]"
    )
    return {"reference": slow, "ours": fast, "ratio": cpu, "wall_ratio": wall}


def main() -> int:
    """Runs all ways; returns 1 where what was read is not what was computed."""
    parser = parser_of(__doc__, PRESETS)
    parser.add_argument("--threads", type=int, default=1)
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    n_clips, seconds, n_frames = PRESETS[asked.preset]
    frames = FrameSettings(count=n_frames, size=IMAGE_PX)
    with tempfile.TemporaryDirectory(prefix=".speed-", dir=Path.cwd()) as name, torch.inference_mode():
        folder = Path(name)  # below the working directory: a system's temporary folder may lie in memory
        clips = [draw_clip(folder / f"{number}.mp4", seconds, number) for number in range(n_clips)]
        model = build_random(BlipRetriever, "retrieval", 1, 12, IMAGE_PX).eval().requires_grad_(requires_grad=False)
        decode = partial(load_clips, settings=frames, workers=0)

        def cached(kept_as: str) -> list[torch.Tensor]:
            recipe = Recipe({"frames": frames.model_dump()}, kept_as, by_id=False, used_for={})
            return features(clips, FeatureCache(folder / kept_as, decode, recipe), model)

        def cold(kept_as: str) -> list[torch.Tensor]:
            forget(folder / kept_as)
            return cached(kept_as)

        expected = features(clips, decode, model)
        for kept_as in ("fp32", "fp16"):  # fills the caches
            cached(kept_as)
        ways: dict[str, tuple[Callable[[], Any], int]] = {
            "reference": (partial(features, clips, decode, model), n_clips)
        }
        ways |= {f"{kept_as} warm": (partial(cached, kept_as), n_clips) for kept_as in ("fp32", "fp16")}
        ways |= {f"{kept_as} cold": (partial(cold, kept_as), n_clips) for kept_as in ("fp32", "fp16")}
        sizes = {
            kept_as: sum(path.stat().st_size for path in (folder / kept_as).rglob("*.safetensors")) / n_clips
            for kept_as in ("fp32", "fp16")
        }
        print(
            f"{n_clips} clips of {seconds} s, {n_frames} frames, ViT-B/16 at 384 px, fp32, {asked.threads} thread(s), "
            f"{asked.rounds} rounds; a clip: {sizes['fp32'] / 1e6:.1f} MB in fp32, {sizes['fp16'] / 1e6:.1f} MB in fp16"
        )
        print(f"{'':<12} {'compute s':>10} {'read ms':>8} {'CPU':>8} {'':<12} {'wall ms':>8} {'wall':>8}")
        times, results = interleave(ways, asked.rounds)
        lines = {name: compare(name, times["reference"], found) for name, found in times.items() if name != "reference"}
        equal = all(
            torch.equal(one, other)
            for way in ("fp32 warm", "fp32 cold", "reference")
            for one, other in zip(expected, results[way], strict=True)
        )
        rounding = max(
            float((one - other).norm() / one.norm())
            for way in ("fp16 warm", "fp16 cold")
            for one, other in zip(expected, results[way], strict=True)
        )
        print(
            f"fp32 {'equal bit by bit' if equal else 'DIFFERS'}; fp16 relative error {rounding:.1e}; GFLOP a clip: "
            f"computed {times['reference'].flop / 1e9:,.0f}, read {times['fp32 warm'].flop / 1e9:,.0f}"
        )
        peaks = show_peaks(ways["reference"][0], ways["fp32 warm"][0])
    print("cold: files were given up by posix_fadvise; what the disk keeps in its own memory is beyond that")
    if asked.json:
        peaks_gib = {side: peak * 1e9 / 2**30 for side, peak in peaks.items()}
        found = {"lines": lines, "bytes_a_clip": sizes, "equal": equal, "rounding": rounding}
        asked.json.write_text(json.dumps(found | {"peak_gb": peaks, "peak_gib": peaks_gib}, indent=2))
    return 0 if equal and rounding < ROUNDING else 1


if __name__ == "__main__":
    sys.exit(main())
