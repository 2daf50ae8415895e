"""Matching captions with clips: re-ranking as blipvid does it, against the released order and against transformers.

The reference is written here anew: each pair repeats the clip's tokens and makes its keys and values again, captions
are padded to 35, attention is spelled out, both directions are scored apart. The peer is transformers' own
BlipForImageTextRetrieval with the same weights in the best loop around it: one caption at a time, no padding, frames
encoded once. Weights are random, with attention that is not flat and logits that spread by about 5; captions have the
lengths of MSR-VTT's.

    python benchmarks/speed/rerank.py [--preset ci|full] [--rounds 3] [--threads 1] [--overlap 0.75] [--json FILE]
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from captions import PADDED, draw_lengths, keys_values_flop, pair_flop, texts_flop, whole_task
from reference import build_random, draw_texts, read
from rounds import Times, interleave, machine, parser_of, peak_bytes, ratio
from torch.nn.functional import normalize

from blipvid.core.features import Texts
from blipvid.core.protocols import no_progress
from blipvid.core.types import Clip, RetrievalSet
from blipvid.evaluate.certificate import certify
from blipvid.evaluate.directions import text_to_video, video_to_text
from blipvid.evaluate.rerank import Candidates, Floats, Ints, Pairs, Reranker, unite, work_bytes
from blipvid.evaluate.similarity import Similarity
from blipvid.evaluate.store import FeatureStore
from blipvid.models.layouts import to_hugging_face
from blipvid.models.packed import PreparedTexts
from blipvid.models.precision import Precision
from blipvid.models.retriever import MATCH, BlipRetriever

TOLERANCE = 1e-4
"""Of logits that spread by about 5; the order of additions is all that differs."""

SPREAD = 5.0
BUDGET = 4 * 2**30
TEXTS_A_CLIP = (1, 8, 27, 150)


@dataclass(frozen=True)
class Sizes:
    """What is matched with what.

    Attributes:
        visual: Tokens of a clip.
        layers: Of the text tower.
        reference_pairs: Pairs of one timed call of the reference, which takes them as one batch, and of the peer.
        gallery: Clips, and captions, of the whole stage, which has always 3 layers and 2 frames.
        top_k: Candidates of each query there.
        stage_rounds: Timed rounds of the whole stage at most.
    """

    visual: int
    layers: int
    reference_pairs: int
    gallery: int
    top_k: int
    stage_rounds: int


PRESETS = {"full": Sizes(8 * 577, 12, 4, 32, 16, 2), "ci": Sizes(2 * 577, 3, 4, 16, 8, 1)}
STAGE_VISUAL, STAGE_LAYERS = 2 * 577, 3


def build(layers: int, visual: int, blocks: int = 1, image_px: int = 64) -> BlipRetriever:
    """Builds a retriever whose logits spread by about `SPREAD`."""
    model = build_random(BlipRetriever, "retrieval", layers, blocks, image_px)
    model.eval().requires_grad_(requires_grad=False)
    texts = prepare(model, make_texts(model, 64, seed=9))
    logits = [model.match(model.remember(tokens), texts, torch.arange(64)) for tokens in make_clips(4, visual)]
    model.itm_head.weight.mul_(SPREAD / torch.cat(logits).std())
    return model


def make_texts(model: BlipRetriever, n: int, seed: int) -> Texts:
    """Draws n captions with the lengths of the split, in fp32 and tokenised."""
    captions = draw_texts(n, [length - 2 for length in draw_lengths(n, seed)], seed)
    return model.encode_texts(captions, PADDED)


def make_clips(n: int, visual: int) -> torch.Tensor:
    """Draws the tokens of n clips, each around a mean of its own."""
    generator = torch.Generator().manual_seed(1)
    means = torch.randn(n, 1, 768, generator=generator)
    return torch.randn(n, visual, 768, generator=generator) + means


def reference_match(model: BlipRetriever, tokens: torch.Tensor, texts: Texts) -> torch.Tensor:
    """Scores captions in the reference order, as one batch; `tokens` (V, D) of one clip for all, or (B, V, D)."""
    missing = PADDED - texts.ids.shape[1]
    ids, mask = (torch.nn.functional.pad(part, (0, missing)) for part in (texts.ids, texts.mask))
    ids[:, 0] = model.tokenizer.enc
    looked_at = tokens.repeat(len(ids), 1, 1) if tokens.dim() == 2 else tokens
    return model.itm_head(read(model.text_encoder, ids, mask[:, None, None, :], looked_at)[:, 0])[:, MATCH]


def some(texts: Texts, rows: Any) -> Texts:
    """Returns the texts at some rows."""
    return Texts(texts.ids[rows], texts.mask[rows], texts.embeds[rows])


def prepare(model: BlipRetriever, texts: Texts) -> PreparedTexts:
    """Prepares texts in the memory that the evaluation gives them."""
    return model.prepare_texts(texts, work_bytes(BUDGET))


def our_match(model: BlipRetriever, tokens: torch.Tensor, texts: Any, n: int, precision: str) -> torch.Tensor:
    """Scores the first n captions: the clip's keys and values, and matching."""
    model.precision = Precision(precision)
    try:
        return model.match(model.remember(tokens), texts, torch.arange(n))
    finally:
        model.precision = Precision("fp32")


def peer_of(model: BlipRetriever) -> Callable[[torch.Tensor, Texts], torch.Tensor] | None:
    """Returns the best loop over transformers' class with the same weights, or None where it does not run."""
    from transformers import BlipConfig, BlipForImageTextRetrieval

    tower = model.text_encoder
    config = BlipConfig(
        text_config={
            "vocab_size": tower.embeddings.word_embeddings.num_embeddings,
            "hidden_size": 768,
            "encoder_hidden_size": 768,
            "intermediate_size": 3072,
            "num_hidden_layers": len(tower.layers),
            "num_attention_heads": 12,
            "max_position_embeddings": 512,
            "hidden_act": "gelu",
            "layer_norm_eps": 1e-12,
        },
        vision_config={"hidden_size": 768, "num_hidden_layers": 1, "num_attention_heads": 12, "image_size": 64},
    )
    twin = BlipForImageTextRetrieval(config).eval()
    state = {to_hugging_face(key): tensor for key, tensor in model.state_dict().items()}
    missing = twin.load_state_dict(state, strict=False).missing_keys
    if lacking := [
        key for key in missing if key.startswith(("text_encoder", "itm_head")) and "position_ids" not in key
    ]:
        print(f"transformers' class lacks {len(lacking)} weights, so there is no peer: {lacking[:3]}")
        return None

    def loop(tokens: torch.Tensor, texts: Texts) -> torch.Tensor:
        found = []
        for ids, length in zip(texts.ids, texts.mask.sum(1).tolist(), strict=True):
            own = ids[None, :length].clone()
            own[:, 0] = model.tokenizer.enc
            states = twin.text_encoder(
                input_ids=own, attention_mask=torch.ones_like(own), encoder_hidden_states=tokens[None]
            )
            found.append(twin.itm_head(states.last_hidden_state[:, 0])[0, MATCH])
        return torch.stack(found)

    return loop


def show(name: str, reference: Times, ours: Times, analytic: float | None = None) -> dict[str, Any]:
    """Prints one line and returns it for JSON."""
    found: dict[str, Any] = dict(ratio(reference, ours))
    slow, fast = reference.summary(), ours.summary()
    efficiency = ""
    if analytic is not None:
        found |= {"analytic": analytic, "efficiency": found["cpu"] / analytic}
        efficiency = f"{analytic:>8.1f}x {found['efficiency']:>6.0%}"
    print(
        f"{name:<38}{slow['cpu_s']['median']:>10.4f}{fast['cpu_s']['median']:>10.4f}{found['cpu']:>8.1f}x "
        f"{'[{cpu_min:.1f}, {cpu_max:.1f}]'.format(**found):<15}{found['flop']:>7.1f}x{efficiency}"
    )
    return {"reference": slow, "ours": fast, "ratio": found}


def measure_pairs(sizes: Sizes, rounds: int) -> tuple[dict[str, Any], dict[str, float]]:
    """Times one clip with 1, 8, 27, 150 captions; returns lines, and differences of logits by way."""
    model, tokens = build(sizes.layers, sizes.visual), make_clips(1, sizes.visual)[0]
    texts, lengths = {}, {}
    for n in TEXTS_A_CLIP:
        texts[n] = make_texts(model, n, seed=n)
        lengths[n] = texts[n].mask.sum(1).tolist()
    prepared = {n: prepare(model, own) for n, own in texts.items()}
    few = some(texts[150], slice(sizes.reference_pairs))
    with Precision("bf16").context(model.device):
        prepared_low = prepare(model, texts[150])
    ways: dict[str, tuple[Callable[[], Any], int]] = {
        "reference": (partial(reference_match, model, tokens, few), sizes.reference_pairs),
        **{f"fp32 {n}": (partial(our_match, model, tokens, prepared[n], n, "fp32"), n) for n in TEXTS_A_CLIP},
        "bf16 150": (partial(our_match, model, tokens, prepared_low, 150, "bf16"), 150),
        "prepare": (partial(prepare, model, texts[150]), 150),
    }
    if peer := peer_of(model):
        ways["peer"] = (partial(peer, tokens, few), sizes.reference_pairs)
    times, found = interleave(ways, rounds)
    lines = {}
    for n in TEXTS_A_CLIP:
        flop = sizes.layers * keys_values_flop(sizes.visual) + texts_flop(lengths[n], sizes.layers, sizes.visual)
        analytic = pair_flop(sizes.layers, sizes.visual) / (flop / n)
        lines[f"{n} texts a clip"] = show(f"{n} texts a clip, fp32", times["reference"], times[f"fp32 {n}"], analytic)
        if n == 150:
            lines["150 texts a clip, bf16"] = show("150 texts a clip, bf16", times["reference"], times["bf16 150"])
    if peer:
        lines["transformers"] = show("150 texts a clip, against transformers", times["peer"], times["fp32 150"])
    share = times["prepare"].summary()["cpu_s"]["median"]
    print(f"beginning a caption, once for all clips: {share:.4f} CPU seconds")
    lines["prepare"] = {"ours": times["prepare"].summary()}
    ours = found["fp32 150"][: sizes.reference_pairs]
    gaps = {"reference": float((ours - found["reference"]).abs().max())}
    gaps["bf16"] = float((found["bf16 150"] - found["fp32 150"]).abs().max())
    if peer:
        gaps["transformers"] = float((ours - found["peer"]).abs().max())
    return lines, gaps


@dataclass(frozen=True)
class Stage:
    """A small gallery, clip i belonging to caption i, and its candidates in both directions."""

    model: BlipRetriever
    tokens: torch.Tensor
    texts: Texts
    similarity: Similarity
    pairs: Pairs
    store: FeatureStore

    def ours(self, precision: str) -> Floats:
        """Scores all pairs by the evaluation's own engine, the beginnings of texts included."""
        self.model.precision = Precision(precision)
        try:
            return self.ranker().score(self.pairs.clip, self.pairs.text, no_progress)
        finally:
            self.model.precision = Precision("fp32")

    def ranker(self) -> Reranker:
        """Returns the engine."""
        names = [str(n) for n in range(len(self.tokens))]
        return Reranker(self.model, self.store, self.texts, self.similarity, names, BUDGET)

    def reference(self) -> tuple[Candidates, Candidates]:
        """Scores both directions apart, query by query, its candidates as one batch."""
        cosine, pairs = self.similarity.cosine, self.pairs
        to_video, to_text = np.empty(pairs.t2v_index.shape, np.float32), np.empty(pairs.v2t_index.shape, np.float32)
        for clip, row in enumerate(pairs.v2t_index):
            logits = reference_match(self.model, self.tokens[clip], some(self.texts, row))
            to_text[clip] = logits.numpy() + cosine[clip, row]
        for text, row in enumerate(pairs.t2v_index):
            again = some(self.texts, np.full(len(row), text))
            to_video[text] = reference_match(self.model, self.tokens[row], again).numpy() + cosine[row, text]
        n = len(self.tokens)
        return Candidates(pairs.t2v_index, to_video, n), Candidates(pairs.v2t_index, to_text, n)


def make_stage(n: int, top_k: int, store: FeatureStore) -> Stage:
    """Draws a gallery of n clips and n captions; candidates by random embeddings that are a little alike."""
    model = build(STAGE_LAYERS, STAGE_VISUAL)
    tokens = make_clips(n, STAGE_VISUAL)
    for own in tokens:
        store.add(own)
    texts = make_texts(model, n, seed=3)
    generator = torch.Generator().manual_seed(4)
    of_clips = normalize(torch.randn(n, 256, generator=generator), dim=-1)
    of_texts = normalize(of_clips + 0.2 * torch.randn(n, 256, generator=generator), dim=-1)
    row = np.arange(n)
    similarity = Similarity(of_clips, of_texts, row, BUDGET)
    t2v = similarity.best(similarity.of_distinct_texts, n, n, top_k)
    v2t = similarity.best(similarity.of_clips, n, n, top_k)
    return Stage(model, tokens, texts, similarity, unite(t2v, v2t, row), store)


def measure_stage(sizes: Sizes, rounds: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """Times the whole stage; returns lines, and what differs in scores and ranks."""
    n = sizes.gallery
    items = RetrievalSet(
        tuple(Clip(str(v), Path(str(v))) for v in range(n)),
        tuple(str(v) for v in range(n)),
        tuple(str(v) for v in range(n)),
        np.arange(n),
    )
    directions = (text_to_video(items, np.arange(n)), video_to_text(items, np.arange(n), best_in_group=True))
    with FeatureStore(torch.float32, "cpu", BUDGET) as store:
        stage = make_stage(n, sizes.top_k, store)
        asked = 2 * n * sizes.top_k
        ways: dict[str, tuple[Callable[[], Any], int]] = {
            "reference": (stage.reference, 1),
            "fp32": (partial(stage.ours, "fp32"), 1),
            "bf16": (partial(stage.ours, "bf16"), 1),
        }
        times, found = interleave(ways, min(rounds, sizes.stage_rounds))
        pairs, exact = stage.pairs, stage.ranker()

        def again(places: Ints) -> Floats:
            return exact.score(pairs.clip[places], pairs.text[places], no_progress)

        surer, certificate = certify(pairs, found["bf16"], again, directions, "expected")
    name = f"whole stage {n}x{n}, k {sizes.top_k}"
    lines = {key: show(f"{name}, {key}", times["reference"], times[key]) for key in ("fp32", "bf16")}

    def ranks(candidates: tuple[Candidates, Candidates]) -> Any:
        return np.concatenate(
            [one.rank(own.rows, "expected").rank for one, own in zip(directions, candidates, strict=True)]
        )

    wanted, differences = ranks(found["reference"]), {}
    for key, scores in (("fp32", found["fp32"]), ("bf16", found["bf16"]), ("bf16, certified", surer)):
        candidates = pairs.candidates(scores)
        gap = max(
            float(np.abs(own.scores - theirs.scores).max())
            for own, theirs in zip(candidates, found["reference"], strict=True)
        )
        differences[key] = {"largest": gap, "ranks_changed": int((ranks(candidates) != wanted).sum())}
    spread = float(np.std(found["fp32"]))
    print(
        f"{len(pairs):,} pairs in place of {asked:,} (overlap {2 * (1 - len(pairs) / asked):.2f}); scores spread by "
        f"{spread:.1f}; largest difference and changed ranks of {len(wanted)}: "
        + "; ".join(f"{key} {one['largest']:.1e}, {one['ranks_changed']}" for key, one in differences.items())
    )
    print(f"certificate: {certificate['note']}")
    return lines, {"pairs": len(pairs), "asked": asked, "spread": spread, **differences, "certificate": certificate}


def peak_memory(side: str, visual: int, n: int) -> int:
    """Returns the bytes that one side takes above weights, texts and the tokens of the clip; run in a child.

    Two layers show it: neither side keeps anything of a layer once it is through.
    """
    model, tokens = build_random(BlipRetriever, "retrieval", 2).eval(), make_clips(1, visual)[0]
    texts = make_texts(model, n, seed=5)
    model.match(model.remember(tokens[:9]), prepare(model, some(texts, slice(2))), torch.arange(2))
    if side == "reference":
        return peak_bytes(partial(reference_match, model, tokens, texts))
    return peak_bytes(lambda: model.match(model.remember(tokens), prepare(model, texts), torch.arange(n)))


def measure_peaks(visual: int) -> dict[str, float]:
    """Measures both sides, each in a process of its own: the released batch of 128 pairs; ours with many texts."""
    peaks = {}
    for name, side, n in (
        ("reference, 128 pairs", "reference", 128),
        ("ours, 150 texts", "ours", 150),
        ("ours, 995 texts", "ours", 995),
    ):
        command = [sys.executable, __file__, "--peak", side, str(visual), str(n)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        peaks[name] = int(done.stdout) / 1e9
    print("peak memory above weights and features, GB: " + ", ".join(f"{k} {v:.2f}" for k, v in peaks.items()))
    return peaks


@torch.inference_mode()
def main() -> int:
    """Runs all ways; returns 1 where they disagree."""
    parser = parser_of(__doc__, PRESETS)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--overlap", type=float, default=0.75, help="of both directions' candidates, for the count")
    parser.add_argument("--peak", nargs=3, metavar=("SIDE", "TOKENS", "TEXTS"), help=argparse.SUPPRESS)
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    if asked.peak:
        side, visual, n = asked.peak
        print(peak_memory(side, int(visual), int(n)))
        return 0
    sizes = PRESETS[asked.preset]
    print(
        f"{sizes.visual} tokens a clip, {sizes.layers} text layers, {asked.threads} thread(s), {asked.rounds} rounds, "
        f"{machine()}\nCPU seconds a pair, median; ratio [least, most]; the same of operations, counted and analytic; "
        "efficiency"
    )
    print(f"{'':<38}{'reference':>10}{'ours':>10}{'ratio':>9}{'':<16}{'counted':>8}{'analytic':>9}")
    lines, gaps = measure_pairs(sizes, asked.rounds)
    stage_lines, differences = measure_stage(sizes, asked.rounds)
    task = whole_task(12, 8 * 577, asked.overlap)
    print(
        "whole 1k-A task, 8 frames, 12 layers, worked out: {pflop_reference:.1f} PFLOP for {pairs_reference:,.0f} "
        "pairs, ours {pflop_ours:.2f} for {pairs_ours:,.0f} (overlap {overlap:.2f}): {ratio:.1f}x".format(**task)
    )
    print("largest difference of logits: " + ", ".join(f"{name} {gap:.1e}" for name, gap in gaps.items()))
    peaks = measure_peaks(sizes.visual)
    if asked.json:
        found = {"lines": lines, "stage": stage_lines, "difference": gaps, "stage_difference": differences}
        asked.json.write_text(json.dumps(found | {"task": task, "peak_gb": peaks, "machine": machine()}, indent=2))
    sure = max(gaps["reference"], gaps.get("transformers", 0.0), differences["fp32"]["largest"]) < TOLERANCE
    return 0 if sure and differences["fp32"]["ranks_changed"] == 0 else 1


if __name__ == "__main__":
    sys.exit(main())
