"""The whole road of a retrieval benchmark: from video files to R@1, R@5 and R@10 of both directions.

The reference goes it in the released order, written here anew: decord with its default threads, clip by clip; attention
of the vision tower spelled out; captions padded to 35; all cosines; then each direction matched apart, where each pair
repeats the clip's tokens and makes its keys and values again. Ours is the evaluation that the command line calls, on
the same files, weights and captions; and once more for more candidates where an earlier run kept the features (`--cache
fp32`), which has nothing to decode and nothing to encode. Frames, cosines, scores and ranks must be the same. Weights
are random, clips are drawn and coded as H.264 with B-frames, captions have the lengths of MSR-VTT's.

`--shape 1k-a` has no reference, which would take hours: ours alone goes from the features of 1,000 clips, drawn in
place of decoding and encoding, to the table, in fp32 and then in fp16 with its certificate (`features_to_table.py`).

    python benchmarks/speed/end_to_end.py [--preset ci|full] [--rounds 3] [--threads 1] [--json FILE]
    python benchmarks/speed/end_to_end.py --shape 1k-a [--device cuda] [--clips N --frames N --layers N --top-k N]
"""

import argparse
import hashlib
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from captions import MLP, N_CLIPS, PADDED, TOP_K, WIDTH, whole_task
from decode import read_by_decord
from encode import reference_tokens
from features_to_table import DIRECTIONS, RECALLS, make_set, measure_shape, ranks_of, recalls_of, table
from reference import read
from rerank import TOLERANCE, build, reference_match, some
from rounds import Times, interleave, machine, parser_of, peak_bytes, ratio
from store import draw_clip
from torch.nn.functional import normalize

from blipvid.bench.caching import vision_sha256
from blipvid.core.errors import DecodeError
from blipvid.core.features import Texts
from blipvid.core.protocols import LoadClips
from blipvid.core.settings import FrameSettings, RetrievalSettings
from blipvid.core.types import Clip, Frames, Runtime
from blipvid.evaluate.cache.keeping import FeatureCache, Recipe
from blipvid.evaluate.rerank import UNRANKED
from blipvid.evaluate.run import evaluate
from blipvid.media.loader import load_clips
from blipvid.models.retriever import BlipRetriever
from blipvid.models.vision import normalise_pixels

PATCH_PX = 16


@dataclass(frozen=True)
class Sizes:
    """What goes the road."""

    clips: int
    seconds: int
    frames: int
    image_px: int
    blocks: int
    layers: int
    top_k: int

    @property
    def visual(self) -> int:
        """Tokens of a clip."""
        return self.frames * ((self.image_px // PATCH_PX) ** 2 + 1)

    def build(self) -> BlipRetriever:
        """Builds the model."""
        return build(self.layers, self.visual, self.blocks, self.image_px)


PRESETS = {"full": Sizes(8, 15, 8, 384, 12, 12, 6), "ci": Sizes(6, 5, 2, 384, 2, 3, 4)}


@dataclass(frozen=True)
class Found:
    """What one way comes to.

    Attributes:
        frames: Of each clip that was decoded, what tells its pixels from others.
        encoded: Pictures that went through the vision tower.
        scores: `itc` and `v2t` (V, Q), `t2v` (Q, V); UNRANKED where nothing was matched.
        ranks: Of each query, by direction.
        recalls: `t2v_r1` and so on, percent.
    """

    frames: list[str]
    encoded: int
    scores: Mapping[str, npt.NDArray[Any]]
    ranks: Mapping[str, npt.NDArray[Any]]
    recalls: Mapping[str, float]


def digest(pixels: npt.NDArray[np.uint8]) -> str:
    """Returns what tells pixels from others; pixels themselves would stand in the way of the peak of memory."""
    return hashlib.sha256(np.ascontiguousarray(pixels).data).hexdigest()


def reference(model: BlipRetriever, sizes: Sizes, clips: Sequence[Clip]) -> Found:
    """Goes the road in the released order."""
    items, tokens, embeds = make_set(clips), [], []
    frames: list[str] = []
    step = max(1, Runtime().batch_size // sizes.frames)  # as many pictures at once as ours
    for start in range(0, len(clips), step):
        paths = [clip.path for clip in clips[start : start + step]]
        pixels = read_by_decord(paths, 0, sizes.frames, sizes.image_px)
        frames += map(digest, pixels)
        scaled = torch.from_numpy(np.concatenate(pixels)).permute(0, 3, 1, 2).float() / 255
        states = reference_tokens(model.visual_encoder, normalise_pixels(scaled)).unflatten(0, (len(paths), -1))
        tokens.append(states.flatten(1, 2))
        embeds.append(normalize(model.vision_proj(states[:, :, 0]).mean(1), dim=-1))
    ids, mask = model.tokenizer(items.texts, PADDED, PADDED)
    firsts = read(model.text_encoder, ids, mask[:, None, None, :])[:, 0]
    texts = Texts(ids, mask, normalize(model.text_proj(firsts), dim=-1))
    itc = torch.cat(embeds) @ texts.embeds.T
    t2v, v2t = reference_stage(model, itc, torch.cat(tokens), texts, sizes.top_k)
    scores = {"itc": itc.numpy(), "t2v": t2v.numpy(), "v2t": v2t.numpy()}
    own = np.arange(len(clips))[:, None]
    ranks = {
        name: (np.argsort(scores[name], axis=1, kind="stable")[:, ::-1] == own).argmax(axis=1) + 1
        for name in DIRECTIONS
    }
    recalls = {f"{name}_r{k}": 100.0 * float((rank <= k).mean()) for name, rank in ranks.items() for k in RECALLS}
    return Found(frames, len(clips) * sizes.frames, scores, ranks, recalls)


def reference_stage(
    model: BlipRetriever, itc: torch.Tensor, tokens: torch.Tensor, texts: Texts, top_k: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Matches the best candidates by cosine (V, Q), query by query; returns scores (Q, V) and (V, Q)."""
    t2v, v2t = torch.full_like(itc.T, UNRANKED), torch.full_like(itc, UNRANKED)
    for clip, row in enumerate(itc):
        cosines, best = row.topk(top_k)
        v2t[clip, best] = reference_match(model, tokens[clip], some(texts, best)) + cosines
    for text, row in enumerate(itc.T):
        cosines, best = row.topk(top_k)
        t2v[text, best] = reference_match(model, tokens[best], some(texts, [text] * top_k)) + cosines
    return t2v, v2t


def ours(model: BlipRetriever, sizes: Sizes, clips: Sequence[Clip], cache: Path | None = None) -> Found:
    """Goes the road as a run of the command line does, with features kept in a folder or without."""
    settings = FrameSettings(count=sizes.frames, size=sizes.image_px)
    frames: list[str] = []
    encoded: list[int] = []

    def decode(asked: Sequence[Clip]) -> Iterator[tuple[Clip, Frames | DecodeError]]:
        for clip, found in load_clips(asked, settings):
            if isinstance(found, Frames):
                frames.append(digest(found.pixels))
            yield clip, found

    load: LoadClips = decode
    if cache:
        made_by = {"frames": settings.model_dump(mode="json"), "weights": vision_sha256(model)}
        load = FeatureCache(cache, decode, Recipe(made_by, "fp32", by_id=False, used_for={}))
    # the released rule for ties gives the ranks of its sort
    protocol = RetrievalSettings(rerank_top_k=sizes.top_k, ties="blip")
    hook = model.visual_encoder.register_forward_hook(lambda tower, given, made: encoded.append(len(made)))
    try:
        result = evaluate(make_set(clips), model, load, protocol, Runtime(), save_scores=True)
    finally:
        hook.remove()
    assert result.scores is not None
    return Found(frames, sum(encoded), result.scores, ranks_of(result), recalls_of(result))


def judge(wanted: Found, found: Found, again: Found) -> dict[str, Any]:
    """Says how far ours is from the reference, and what the run with kept features had to do."""
    matched = {name: scores > UNRANKED for name, scores in wanted.scores.items()}

    def gap(of: Found, names: Sequence[str]) -> float:
        return max(float(np.abs(of.scores[name] - wanted.scores[name])[matched[name]].max()) for name in names)

    changed = sum(int((found.ranks[name] != rank).sum()) for name, rank in wanted.ranks.items())
    return {
        "pairs": int(np.count_nonzero(matched["v2t"] | matched["t2v"].T)),
        "frames_equal": found.frames == wanted.frames,
        "table_equal": found.recalls == wanted.recalls,
        "cosines": max(gap(found, ["itc"]), gap(again, ["itc"])),
        "scores": gap(found, list(DIRECTIONS)),
        "scores_again": gap(again, list(DIRECTIONS)),
        "spread": float(np.std(wanted.scores["v2t"][matched["v2t"]])),
        "ranks": sum(map(len, wanted.ranks.values())),
        "ranks_changed": changed,
        "decoded_again": len(again.frames),
        "encoded_again": again.encoded,
    }


def fine(found: Mapping[str, Any]) -> bool:
    """Says whether nothing speaks against ours."""
    near = max(found[name] for name in ("cosines", "scores", "scores_again")) < TOLERANCE
    idle = found["decoded_again"] == found["encoded_again"] == 0
    equal = found["frames_equal"] and found["table_equal"] and not found["ranks_changed"]
    return bool(near and idle and equal)


def measure_peak(side: str, preset: str, folder: Path) -> float:
    """Measures what a way takes above the weights, in GB, in a process of its own."""
    command = [sys.executable, __file__, "--preset", preset, "--peak", side, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return int(done.stdout) / 1e9


def peak_memory(side: str, sizes: Sizes, folder: Path) -> int:
    """Returns the peak of one way; two blocks and two layers show it, since neither way keeps anything of one."""
    sizes = replace(sizes, blocks=2, layers=2)
    clips = [Clip(path.stem, path) for path in sorted(folder.glob("*.mp4"))]
    way, model = {"reference": reference, "ours": ours}[side], sizes.build()
    way(model, replace(sizes, top_k=1), clips[:1])  # loads what is loaded on first use
    return peak_bytes(partial(way, model, sizes, clips))


def compare(preset: str, threads: int, rounds: int) -> tuple[dict[str, Any], bool]:
    """Times both ways on drawn clips; returns what goes to JSON, and whether they agree."""
    sizes = PRESETS[preset]
    more = replace(sizes, top_k=min(2 * sizes.top_k, sizes.clips))
    with tempfile.TemporaryDirectory(prefix=".speed-", dir=Path.cwd()) as name:  # a system's may lie in memory
        folder, model = Path(name), sizes.build()
        clips = [draw_clip(folder / f"{number:02}.mp4", sizes.seconds, number) for number in range(sizes.clips)]
        print(
            f"{sizes.clips} clips of {sizes.seconds} s, {sizes.frames} frames of {sizes.image_px} px, {sizes.blocks} "
            f"vision blocks, {sizes.layers} text layers, {sizes.top_k} candidates a query, fp32, {threads} thread(s), "
            f"{rounds} rounds, {machine()}",
            flush=True,
        )
        ours(model, sizes, clips, folder / "kept")
        slow, fast = (f"{who}, {sizes.top_k} candidates" for who in ("reference", "ours"))
        again = f"ours, features kept, {more.top_k} candidates"
        ways: dict[str, tuple[Callable[[], Any], int]] = {
            slow: (partial(reference, model, sizes, clips), 1),
            fast: (partial(ours, model, sizes, clips), 1),
            again: (partial(ours, model, more, clips, folder / "kept"), 1),
        }
        times, found = interleave(ways, rounds)
        peaks = {way: measure_peak(side, preset, folder) for way, side in ((slow, "reference"), (fast, "ours"))}
    print(f"{'':<38}{'CPU s':>8}{'wall s':>8}{'ratio':>8} {'[least, most]':<16}{'TFLOP':>7}{'ratio':>8}{'peak GB':>9}")
    lines = {way: show(way, times[slow], own, peaks.get(way)) for way, own in times.items()}
    for way, own in found.items():
        print(f"{way:<38}{table(own.recalls)}")
    apart = judge(found[slow], found[fast], found[again])
    print(
        "{pairs} pairs of clip and caption in place of {asked}; frames {frames}; largest difference of cosines "
        "{cosines:.1e}, of scores {scores:.1e}, with kept features {scores_again:.1e}, where scores spread by "
        "{spread:.1f}; {ranks_changed} of {ranks} ranks changed; with kept features {decoded_again} clips decoded, "
        "{encoded_again} pictures encoded".format(
            asked=2 * sizes.clips * sizes.top_k, frames="equal" if apart["frames_equal"] else "DIFFER", **apart
        )
    )
    road = whole_road()
    print(
        "in so small a gallery a clip meets few captions; operations of the whole 1k-A road (ViT-B, 8 frames, 12 text "
        "layers, overlap 0.75), worked out: {pflop_reference:.1f} PFLOP, ours {pflop_ours:.2f}, {ratio:.1f}x".format(
            **road
        )
    )
    recalls = {way: own.recalls for way, own in found.items()}
    return {"lines": lines, "recalls": recalls, "difference": apart, "peak_gb": peaks, "1k-a": road}, fine(apart)


def show(name: str, reference: Times, own: Times, peak_gb: float | None) -> dict[str, Any]:
    """Prints the line of one way and returns it for JSON."""
    found, of = ratio(reference, own), own.summary()
    bounds = "[{cpu_min:.1f}, {cpu_max:.1f}]".format(**found)
    print(
        f"{name:<38}{of['cpu_s']['median']:>8.2f}{of['wall_s']['median']:>8.2f}{found['cpu']:>7.1f}x {bounds:<16}"
        f"{own.flop / 1e12:>7.2f}{found['flop']:>7.1f}x{'-' if peak_gb is None else f'{peak_gb:.2f}':>9}"
    )
    return {**of, "ratio": found}


def whole_road() -> dict[str, float]:
    """Works out the operations of the whole split, in petaflop: ViT-B on 8 frames of 384 px, and re-ranking."""
    sizes, tokens = PRESETS["full"], PRESETS["full"].visual // PRESETS["full"].frames
    block = 2 * tokens * (4 * WIDTH**2 + 2 * WIDTH * MLP) + 4 * tokens**2 * WIDTH
    patches = 2 * (tokens - 1) * 3 * PATCH_PX**2 * WIDTH
    vision = N_CLIPS * sizes.frames * (sizes.blocks * block + patches) / 1e15
    task = whole_task(sizes.layers, sizes.visual, 0.75)
    slow, fast = vision + task["pflop_reference"], vision + task["pflop_ours"]
    return {"pflop_reference": slow, "pflop_ours": fast, "ratio": slow / fast}


@torch.inference_mode()
def main() -> int:
    """Goes the road; returns 1 where ours and the reference disagree."""
    parser = parser_of(__doc__, PRESETS)
    parser.add_argument("--threads", type=int, default=1)
    shape = parser.add_argument_group("from features to the table, without a reference")
    shape.add_argument("--shape", choices=["1k-a"])
    shape.add_argument("--device", default="cpu")
    shape.add_argument("--clips", type=int, default=N_CLIPS)
    shape.add_argument("--frames", type=int, default=PRESETS["full"].frames)
    shape.add_argument("--layers", type=int, default=PRESETS["full"].layers)
    shape.add_argument("--top-k", type=int, default=TOP_K)
    parser.add_argument("--peak", nargs=2, metavar=("SIDE", "FOLDER"), help=argparse.SUPPRESS)
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    if asked.peak:
        side, folder = asked.peak
        print(peak_memory(side, PRESETS[asked.preset], Path(folder)))
        return 0
    if asked.shape:
        found = measure_shape(asked.clips, asked.frames, asked.layers, asked.top_k, asked.device)
        agree = True
    else:
        found, agree = compare(asked.preset, asked.threads, asked.rounds)
    if asked.json:
        asked.json.write_text(json.dumps(found, indent=2))
    return 0 if agree else 1


if __name__ == "__main__":
    sys.exit(main())
