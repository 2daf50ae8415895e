"""Pictures a second of the vision tower, ViT-B/16: as blipvid runs it, against the released order.

The reference is written here anew upon the same weights: attention is spelled out, so that every block holds the scores
of all pairs of tokens. Ours is timm's tower with fused attention, in fp32 and under bf16; beside them stand layouts and
compilers that one might want to choose, so that whoever chooses knows what they give here. Weights and pictures are
random.

    python benchmarks/speed/encode.py [--preset ci|full] [--rounds 3] [--threads 1] [--compile] [--json FILE]
"""

import json
import sys
from collections.abc import Callable
from copy import deepcopy
from typing import Any

import torch
from reference import build_random
from rounds import interleave, machine, parser_of, ratio, show_peaks

from blipvid.models.precision import Precision
from blipvid.models.retriever import BlipRetriever
from blipvid.models.vision import normalise_pixels

PRESETS = {
    # blocks, side in pixels, pictures of a batch
    "full": (12, 384, 8),
    "ci": (2, 384, 2),
}
TOLERANCE = 1e-4
"""Of tokens, which are normalised and so about 1; the order of additions is all that differs."""


def reference_tokens(tower: Any, pixels: torch.Tensor) -> torch.Tensor:
    """Encodes normalised pictures (B, 3, S, S) into tokens in the released order of work."""
    x = tower.patch_embed.proj(pixels).flatten(2).transpose(1, 2)
    x = torch.cat([tower.cls_token.expand(len(x), -1, -1), x], dim=1) + tower.pos_embed
    for block in tower.blocks:
        attention = block.attn
        qkv = attention.qkv(block.norm1(x)).unflatten(2, (3, attention.num_heads, -1)).permute(2, 0, 3, 1, 4)
        query, key, value = qkv.unbind(0)
        scores = (query @ key.transpose(-2, -1)) * query.shape[-1] ** -0.5
        seen = (scores.softmax(dim=-1) @ value).transpose(1, 2).flatten(2)
        x = x + attention.proj(seen)
        x = x + block.mlp.fc2(torch.nn.functional.gelu(block.mlp.fc1(block.norm2(x))))
    return tower.norm(x)


def drift(ours: torch.Tensor, reference: torch.Tensor) -> dict[str, float]:
    """Returns how far tokens (B, T, D) lie apart: the largest difference, L2 of all, cosine of the class tokens."""
    ours, reference = ours.float(), reference.float()
    classes = torch.nn.functional.cosine_similarity(ours[:, 0], reference[:, 0])
    return {
        "largest": float((ours - reference).abs().max()),
        "relative_l2": float((ours - reference).norm() / reference.norm()),
        "least_cosine": float(classes.min()),
    }


def ways_of(
    model: BlipRetriever, pixels: torch.Tensor, *, compiled: bool
) -> dict[str, tuple[Callable[[], torch.Tensor], int]]:
    """Returns what is timed: name -> call, and pictures of a call."""
    tower = model.visual_encoder
    channels_last = deepcopy(tower).to(memory_format=torch.channels_last)

    def see(precision: str, through: Any) -> Callable[[], torch.Tensor]:
        def call() -> torch.Tensor:
            with Precision(precision).context(model.device):
                return through(normalise_pixels(pixels))

        return call

    def with_channels_last(x: torch.Tensor) -> torch.Tensor:
        return channels_last(x.contiguous(memory_format=torch.channels_last))

    calls = {
        "reference": see("fp32", lambda x: reference_tokens(tower, x)),
        "ours, fp32": see("fp32", tower),
        "ours, bf16": see("bf16", tower),
        "reference, bf16": see("bf16", lambda x: reference_tokens(tower, x)),
        "channels last, fp32": see("fp32", with_channels_last),
    }
    if compiled:
        calls["compiled, fp32"] = see("fp32", torch.compile(tower))
        try:
            calls["compiled, fp32"]()
        except Exception as error:  # noqa: BLE001 - whatever a compiler fails with, it is one way less
            del calls["compiled, fp32"]
            print(f"torch.compile does not work here: {type(error).__name__}")
    return {name: (call, len(pixels)) for name, call in calls.items()}


@torch.inference_mode()
def main() -> int:
    """Runs all ways; returns 1 where ours in fp32 gives other tokens than the reference."""
    parser = parser_of(__doc__, PRESETS)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--compile", action="store_true", help="time torch.compile too, which takes minutes to begin")
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    blocks, side, batch = PRESETS[asked.preset]
    model = build_random(BlipRetriever, "retrieval", 1, blocks, side).eval().requires_grad_(requires_grad=False)
    pixels = torch.rand(batch, 3, side, side, generator=torch.Generator().manual_seed(1))
    print(
        f"{batch} pictures of {side} px, {blocks} blocks, {asked.threads} thread(s), {asked.rounds} rounds, {machine()}"
    )
    ways = ways_of(model, pixels, compiled=asked.compile)
    times, tokens = interleave(ways, asked.rounds)
    print(
        f"{'':<22}{'CPU s/picture':>14}{'ratio':>8} {'[least, most]':<15}{'GFLOP/picture':>14}"
        f"{'largest':>9}{'rel. L2':>9}{'cosine':>10}"
    )
    lines: dict[str, Any] = {}
    for name, own in times.items():
        found, apart = ratio(times["reference"], own), drift(tokens[name], tokens["reference"])
        lines[name] = {**own.summary(), "ratio": found, "drift": apart}
        bounds = f"[{found['cpu_min']:.2f}, {found['cpu_max']:.2f}]"
        print(
            f"{name:<22}{lines[name]['cpu_s']['median']:>14.3f}{found['cpu']:>7.2f}x {bounds:<15}"
            f"{lines[name]['gflop']:>14.1f}{apart['largest']:>9.1e}{apart['relative_l2']:>9.1e}{apart['least_cosine']:>10.6f}"
        )
    peaks = show_peaks(ways["reference"][0], ways["ours, fp32"][0])
    if asked.json:
        asked.json.write_text(json.dumps({"lines": lines, "peak_gb": peaks, "machine": machine()}, indent=2))
    return 0 if lines["ours, fp32"]["drift"]["largest"] < TOLERANCE else 1


if __name__ == "__main__":
    sys.exit(main())
