"""From the features of a split's clips to its table of metrics: where the seconds of our way go, on a CPU or a GPU.

Features are drawn in place of decoding and encoding; captions have MSR-VTT's lengths, and a clip's embedding lies near
that of its caption. What runs is the evaluation that the command line calls. `end_to_end.py --shape 1k-a` starts it.
"""

import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from captions import LENGTHS, PADDED, WIDTH, draw_lengths, whole_task
from reference import draw_texts
from rerank import build
from rounds import machine
from torch.nn.functional import normalize

from blipvid.core.features import Features, KnownClip
from blipvid.core.protocols import LoadClips
from blipvid.core.settings import RetrievalSettings
from blipvid.core.types import Clip, Result, RetrievalSet, Runtime
from blipvid.evaluate.run import evaluate
from blipvid.models.devices import choose_device
from blipvid.models.precision import Precision, forbid_tf32
from blipvid.models.retriever import BlipRetriever

TOKENS = 577  # of a picture of 384 px
STAGES = ("texts", "similarity", "re-ranking", "certificate", "metrics")
RECALLS = (1, 5, 10)
DIRECTIONS = {"t2v": "text to video", "v2t": "video to text"}
LEANING = 1 / 3
"""How much all clips lean towards the same captions; it gives both directions about three quarters of 1,000 clips'
candidates in common, as latent semantics of the real captions suggest."""


def make_set(clips: Sequence[Clip]) -> RetrievalSet:
    """Gives each clip a caption of its own; where there are as many as in the split, a few are equal, as there."""
    n, pool = len(clips), sum(LENGTHS.values())
    distinct = draw_texts(min(n, pool), [length - 2 for length in draw_lengths(min(n, pool), 3)], 3)
    names = tuple(clip.id for clip in clips)
    return RetrievalSet(tuple(clips), (*distinct, *distinct[: n - len(distinct)]), names, np.arange(n))


def ranks_of(result: Result) -> dict[str, npt.NDArray[Any]]:
    """Returns the rank of each query, by direction."""
    return {
        name: np.array([one["rank"] for one in result.predictions if one["direction"] == name]) for name in DIRECTIONS
    }


def recalls_of(result: Result) -> dict[str, float]:
    """Returns the recalls of both directions, percent."""
    return {key: result.metrics[key] for key in (f"{name}_r{k}" for name in DIRECTIONS for k in RECALLS)}


def table(recalls: Mapping[str, float]) -> str:
    """Writes R@1, R@5, R@10 of both directions."""
    return ", ".join(
        f"{words} R@1/5/10 " + " ".join(f"{recalls[f'{name}_r{k}']:5.1f}" for k in RECALLS)
        for name, words in DIRECTIONS.items()
    )


def draw_embeds(model: BlipRetriever, texts: Sequence[str]) -> torch.Tensor:
    """Draws an embedding for each clip that lies near its caption's and far from the others'."""
    own = model.encode_texts(texts, PADDED).embeds
    common = normalize(own.mean(0), dim=0)
    places, _, axes = torch.linalg.svd(own - own.mean(0), full_matrices=False)
    apart = normalize(places @ axes, dim=-1)
    apart -= (apart @ common)[:, None] * common  # random towers put all captions side by side
    leaning = normalize(torch.randn(len(axes), generator=torch.Generator().manual_seed(5)), dim=0).to(axes)
    return normalize(apart + LEANING * (leaning @ axes), dim=-1)


def draw_features(embeds: torch.Tensor, visual: int) -> LoadClips:
    """Makes a loader that knows the features of all clips: tokens are drawn on the device, from a seed, when asked."""

    def load(clips: Sequence[Clip]) -> Iterator[tuple[Clip, KnownClip]]:
        for number, clip in enumerate(clips):
            generator = torch.Generator(embeds.device).manual_seed(number)
            drawn = torch.randn(1, 1 + visual, WIDTH, generator=generator, device=embeds.device)
            tokens = drawn[:, 1:] + drawn[:, :1]  # around a mean of the clip's own
            yield clip, KnownClip(Features(tokens, embeds[number : number + 1]), "drawn", ())

    return load


def free_bytes() -> int:
    """Returns how much memory there is to take; Linux only, elsewhere as much as one likes."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return sys.maxsize
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable"))


def measure_shape(clips: int, frames: int, layers: int, top_k: int, device: str) -> dict[str, Any]:
    """Goes from drawn features to the table, in fp32 and in fp16; returns what goes to JSON."""
    visual, spare = frames * TOKENS, 2**32
    needed = 4 * clips * visual * WIDTH
    if needed + spare > (free := free_bytes()):
        sys.exit(
            f"the features of {clips:,} clips take {needed / 1e9:.1f} GB of memory and the work {spare / 1e9:.1f} GB, "
            f"but {free / 1e9:.1f} GB are free here; take fewer clips or frames (--clips, --frames)."
        )
    forbid_tf32()
    device = choose_device(device)
    model = build(layers, TOKENS).to(device)  # one picture's tokens show how far logits spread
    items = make_set([Clip(f"{number:04}", Path(f"{number:04}")) for number in range(clips)])
    load = draw_features(draw_embeds(model, items.texts), visual)
    name = torch.cuda.get_device_name(device) if device.startswith("cuda") else device
    print(
        f"{clips:,} clips of {visual:,} tokens, {clips:,} captions ({len(set(items.texts)):,} different), {layers} "
        f"text layers, {top_k} candidates a query, both directions; {name}, {machine()}\n"
        "seconds on the clock; those of drawing and keeping the features are not in the sum"
    )
    print(f"{'':<8}{'drawing':>8}{''.join(f'{stage:>13}' for stage in STAGES)}{'sum':>9}{'TFLOP/s':>9}", flush=True)
    results, lines = {}, {}
    for precision in ("fp32", "fp16"):
        model.precision = Precision(precision)
        runtime = Runtime(device, precision, memory_bytes=needed + spare)
        results[precision] = evaluate(items, model, load, RetrievalSettings(rerank_top_k=top_k), runtime)
        lines[precision] = show(precision, results[precision], layers, visual)
    for precision, result in results.items():
        print(f"{precision:<8}{table(recalls_of(result))}")
    print(
        "{pairs_ours:,.0f} pairs in place of {pairs_reference:,.0f} (overlap {overlap:.2f}); operations of re-ranking, "
        "worked out: {pflop_ours:.3g} PFLOP, in the released order {pflop_reference:.3g}, {ratio:.1f}x".format(
            **lines["fp32"]["task"]
        )
    )
    exact, fast = (ranks_of(result) for result in results.values())
    changed = sum(int((fast[direction] != ranks).sum()) for direction, ranks in exact.items())
    print(f"certificate of fp16: {lines['fp16']['certificate']['note']}")
    print(f"fp16 gives {changed} of {2 * clips:,} queries another rank than fp32; it keeps features in 16 bits, too")
    return {"lines": lines, "device": name, "ranks_changed": changed}


def show(precision: str, result: Result, layers: int, visual: int) -> dict[str, Any]:
    """Prints where the seconds of one arithmetic went and returns it for JSON."""
    seconds, rerank = result.details["seconds"], result.details["rerank"]
    overlap = 2 * (1 - rerank["pairs_scored"] / rerank["pairs_asked"])
    task = whole_task(layers, visual, overlap, result.n_clips, rerank["used"]["t2v"])
    total = sum(seconds.get(stage, 0.0) for stage in STAGES)
    tflops = 1e3 * task["pflop_ours"] / seconds["re-ranking"]
    spent = "".join(f"{seconds[stage]:>13.2f}" if stage in seconds else f"{'-':>13}" for stage in STAGES)
    print(f"{precision:<8}{seconds['clips']:>8.2f}{spent}{total:>9.2f}{tflops:>9.2f}", flush=True)
    found = {"seconds": seconds, "total_s": total, "tflops": tflops, "task": task, "recalls": recalls_of(result)}
    return found | {"certificate": result.details.get("certificate")}
