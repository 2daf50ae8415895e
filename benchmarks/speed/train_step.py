"""Images a second of one step of pre-training, forward and backward: as blipvid does it, against the released order.

The reference is written here anew. It pads each caption to 30 tokens and sends it through the text tower pass by pass:
alone, with its own picture, with two wrong ones for which picture tokens are gathered, and as text to be written; each
pass makes the keys and values of the picture tokens again, each layer computes all tokens, and attention is spelled
out. The vision tower is one and the same in both ways, so nothing is won or lost there.

Weights and pictures are random, attention is not flat. At first both ways do the same step without dropout, in fp32 and
with the same draws, and must agree in losses and gradients; then they are timed as they train, with dropout. There is
no optimiser in it.

    python benchmarks/speed/train_step.py [--preset ci|full] [--rounds 3] [--threads 1] [--batch N] [--json FILE]
        [--device cpu|cuda] [--precision fp32|bf16] [--peak-tflops N]
"""

import argparse
import json
import resource
import statistics
import sys
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

import torch
from reference import build_random, draw_texts, read
from rounds import Times, interleave, parser_of, spread
from torch.nn.functional import cross_entropy, normalize

from blipvid.models.precision import Precision
from blipvid.models.pretrained import BlipPretrained
from blipvid.models.vision import normalise_pixels
from blipvid.train.objectives.momentum import NOBODY
from blipvid.train.objectives.pretrain import PretrainObjective
from blipvid.train.pictures.batches import CaptionBatch
from blipvid.train.recipe import Momentum, PretrainLosses

MAX_TOKENS = 30
SHARE_KEPT = 0.995
ALPHA = 0.4
EPOCHS = 2.0
"""Done before the step: from then on the opinion of the momentum towers has its whole weight."""

QUEUE = 57600
CAPTION_PIECES = [10, 12, 9, 20, 11, 8, 14, 10, 11, 13, 9, 16, 10, 12, 11, 10]
"""Word pieces of captions, [CLS] and [SEP] not counted; as COCO's, 11.6 on average."""

LOSS_TOLERANCE = 1e-4
GRADIENT_TOLERANCE = 1e-3
"""Of a gradient's largest entry; the order of additions is all that differs."""

COMPARED = (
    "contrast.temperature",
    "model.visual_encoder.patch_embed.proj.weight",
    "model.vision_proj.weight",
    "model.text_proj.weight",
    "model.itm_head.weight",
    "model.text_encoder.embeddings.word_embeddings.weight",
    "model.text_encoder.encoder.layer.0.attention.self.query.weight",
    "model.text_encoder.encoder.layer.0.crossattention.self.key.weight",
    "model.text_decoder.bert.encoder.layer.0.attention.self.value.weight",
    "model.text_decoder.cls.predictions.transform.dense.weight",
)
"""Parameters whose gradients are compared."""

Texts = tuple[torch.Tensor, torch.Tensor]
"""Ids and mask, each (B, L)."""

Losses = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Sizes:
    """What is trained on what."""

    vision_blocks: int
    text_layers: int
    image_px: int
    batch: int


PRESETS = {"full": Sizes(12, 12, 224, 16), "ci": Sizes(2, 2, 112, 8)}


def reference_losses(objective: PretrainObjective, batch: CaptionBatch) -> Losses:
    """Computes the losses of one step in the reference order, on the weights, towers and queue of an objective."""
    model, temperature = objective.model, objective.contrast.temperature
    with torch.no_grad():
        temperature.clamp_(0.001, 0.5)
    ids, mask = (part.to(model.device) for part in model.tokenizer(batch.captions, MAX_TOKENS, MAX_TOKENS))
    images = normalise_pixels(batch.pixels.to(model.device).float() / 255.0)
    tokens = model.visual_encoder(images)
    of_images = normalize(model.vision_proj(tokens[:, 0]).float(), dim=-1)
    of_texts = normalize(model.text_proj(read(model.text_encoder, ids, mask[:, None, None])[:, 0]).float(), dim=-1)
    images_m, texts_m = embed_slowly(objective, images, (ids, mask))
    with torch.autocast(model.device.type, enabled=False):
        queue = objective.contrast.queue
        all_images = torch.cat([images_m.T, queue.image_queue], dim=1)
        all_texts = torch.cat([texts_m.T, queue.text_queue], dim=1)
        i2t, t2i = of_images @ all_texts / temperature, of_texts @ all_images / temperature
        with torch.no_grad():
            i2t_opinion, t2i_opinion = images_m @ all_texts / temperature, texts_m @ all_images / temperature
        itc = (soft_loss(i2t, i2t_opinion) + soft_loss(t2i, t2i_opinion)) / 2
    queue.push(images_m, texts_m, torch.full_like(ids[:, 0], NOBODY))
    wrong = draw_wrong(t2i[:, : len(ids)]), draw_wrong(i2t[:, : len(ids)])
    itm = reference_itm(model, (ids, mask), tokens, *wrong)
    return {"itc": itc, "itm": itm, "lm": reference_lm(model, (ids, mask), tokens)}


@torch.no_grad()
def embed_slowly(objective: PretrainObjective, images: torch.Tensor, texts: Texts) -> tuple[torch.Tensor, torch.Tensor]:
    """Lets the momentum towers follow, one weight after the other, and embeds pictures and texts by them."""
    towers, (ids, mask) = objective.contrast.towers, texts
    for name, slow in towers.named_children():
        learnt = objective.model.get_submodule(name.removesuffix("_m"))
        for kept, new in zip(slow.parameters(), learnt.parameters(), strict=True):
            kept.copy_(kept * SHARE_KEPT + new * (1.0 - SHARE_KEPT))
    of_images = towers.vision_proj_m(towers.visual_encoder_m(images)[:, 0])
    of_texts = towers.text_proj_m(read(towers.text_encoder_m, ids, mask[:, None, None])[:, 0])
    return normalize(of_images.float(), dim=-1), normalize(of_texts.float(), dim=-1)


def soft_loss(similarity: torch.Tensor, opinion: torch.Tensor) -> torch.Tensor:
    """Cross entropy of rows against the opinion of the momentum towers mixed with the truth, the diagonal."""
    truth = torch.zeros_like(opinion).fill_diagonal_(1.0)
    targets = ALPHA * opinion.softmax(1) + (1.0 - ALPHA) * truth
    return -(similarity.log_softmax(1) * targets).sum(1).mean()


def draw_wrong(similarity: torch.Tensor) -> torch.Tensor:
    """Draws for each row of (B, B) a column that is not its own: (B,) places."""
    weights = similarity.detach().softmax(1) + 1e-4
    # all rows at once, where the released code draws row by row: else the draws would not be the same
    return weights.fill_diagonal_(0.0).multinomial(1)[:, 0]


def reference_itm(
    model: BlipPretrained, texts: Texts, tokens: torch.Tensor, wrong_images: torch.Tensor, wrong_texts: torch.Tensor
) -> torch.Tensor:
    """ITM of B own pairs in one pass and 2B wrong ones in another."""
    ids, mask = texts[0].clone(), texts[1]
    ids[:, 0] = model.tokenizer.enc
    right = read(model.text_encoder, ids, mask[:, None, None], tokens)[:, 0]
    ids_of_all, mask_of_all = torch.cat([ids, ids[wrong_texts]]), torch.cat([mask, mask[wrong_texts]])
    tokens_of_all = torch.cat([tokens[wrong_images], tokens])
    wrong = read(model.text_encoder, ids_of_all, mask_of_all[:, None, None], tokens_of_all)[:, 0]
    labels = torch.tensor([1] * len(right) + [0] * len(wrong), device=ids.device)
    return cross_entropy(model.itm_head(torch.cat([right, wrong])).float(), labels)


def reference_lm(model: BlipPretrained, texts: Texts, tokens: torch.Tensor) -> torch.Tensor:
    """LM of the captions, padding computed and then left out."""
    ids, mask = texts[0].clone(), texts[1]
    ids[:, 0] = model.tokenizer.dec
    causal = torch.ones(MAX_TOKENS, MAX_TOKENS, device=ids.device).tril() * mask[:, None, None]
    logits = model.text_decoder.logits(read(model.text_decoder.bert, ids, causal, tokens)).float()
    learnt = ids.masked_fill(mask == 0, -100)[:, 1:]
    return cross_entropy(logits[:, :-1].flatten(0, 1), learnt.flatten(), label_smoothing=0.1)


@dataclass(frozen=True)
class Way:
    """An objective of its own, because a step changes momentum towers and queue, and how its losses are computed."""

    objective: PretrainObjective
    losses: Callable[[PretrainObjective, CaptionBatch], Losses]

    def step(self, batch: CaptionBatch, precision: Precision) -> dict[str, float]:
        """Does one step, from the same seed each time, and waits until the device is done with it."""
        device = self.objective.model.device
        self.objective.zero_grad()
        torch.manual_seed(0)
        with precision.context(device):
            losses = self.losses(self.objective, batch)
        torch.stack(list(losses.values())).sum().backward()
        if device.type == "cuda":
            torch.cuda.synchronize()
        return {name: loss.item() for name, loss in losses.items()}

    def gradient(self, name: str) -> torch.Tensor:
        """Returns the gradient that the last step gave a parameter."""
        found = self.objective.get_parameter(name).grad
        assert found is not None, name
        return found

    def peak_bytes(self, step: Callable[[], Any]) -> int:
        """Returns `max_memory_allocated` of one step on a GPU, less what the other way's objective holds there."""
        self.objective.zero_grad()
        own = sum(tensor.nbytes for tensor in [*self.objective.parameters(), *self.objective.buffers()])
        others = torch.cuda.memory_allocated() - own
        torch.cuda.reset_peak_memory_stats()
        step()
        return torch.cuda.max_memory_allocated() - others


def our_losses(objective: PretrainObjective, batch: CaptionBatch) -> dict[str, torch.Tensor]:
    """Computes the losses as the training loop does."""
    objective.before_batch()
    return objective(batch, EPOCHS)


def build_ways(sizes: Sizes, device: torch.device) -> dict[str, Way]:
    """Builds both ways with the same weights, momentum towers that lag behind, and the same queue."""
    model = build_random(BlipPretrained, "pretrain", sizes.text_layers, sizes.vision_blocks, sizes.image_px)
    momentum = Momentum(momentum=SHARE_KEPT, queue=QUEUE // sizes.batch * sizes.batch, alpha=ALPHA, alpha_epochs=EPOCHS)
    objective = PretrainObjective(model, PretrainLosses(kind="pretrain", max_tokens=MAX_TOKENS, momentum=momentum))
    with torch.no_grad():
        for parameter in objective.contrast.towers.parameters():
            parameter.mul_(0.9)
    objective.to(device)
    return {
        "reference": Way(deepcopy(objective), reference_losses),
        "ours": Way(objective, our_losses),
    }


def draw_batch(sizes: Sizes) -> CaptionBatch:
    """Draws pictures of noise, and captions."""
    shape = (sizes.batch, 3, sizes.image_px, sizes.image_px)
    pixels = torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    return CaptionBatch.gather(pixels, draw_texts(sizes.batch, CAPTION_PIECES, seed=2))


def compare(ways: Mapping[str, Way], batch: CaptionBatch) -> dict[str, float]:
    """Does one step both ways, in fp32 and without dropout: how far losses and gradients lie apart."""
    for way in ways.values():
        way.objective.eval()
    wanted, found = (way.step(batch, Precision("fp32")) for way in ways.values())
    apart = []
    for name in COMPARED:
        reference, ours = (way.gradient(name) for way in ways.values())
        apart.append((ours - reference).abs().max() / reference.abs().max())
    losses = {name: abs(found[name] - loss) for name, loss in wanted.items()}
    return losses | {"gradients": torch.stack(apart).max().item()}


def agree(gaps: Mapping[str, float]) -> bool:
    """Prints what `compare` found; says whether all of it is within the tolerances."""
    bounds = {name: GRADIENT_TOLERANCE if name == "gradients" else LOSS_TOLERANCE for name in gaps}
    said = ", ".join(f"{name} {gap:.1e} (at most {bounds[name]:.0e})" for name, gap in gaps.items())
    print(f"differences without dropout, in fp32: {said}; gradients in parts of their largest entry")
    return all(gap <= bounds[name] for name, gap in gaps.items())


def rate(seconds: list[float]) -> str:
    """Writes seconds an image as images a second: median [least, most]."""
    return f"{1 / statistics.median(seconds):.3g} [{1 / max(seconds):.3g}, {1 / min(seconds):.3g}]"


def show(times: Mapping[str, Times]) -> dict[str, Any]:
    """Prints the table and returns it for JSON."""
    reference, ours = times["reference"], times["ours"]
    print(f"{'':<28}{'reference':>24}{'ours':>24}   ratio [least, most]")
    ratios: dict[str, Any] = {}
    for title, name in (("images a second", "wall_s"), ("images a processor second", "cpu_s")):
        theirs, own = getattr(reference, name), getattr(ours, name)
        ratios[name] = spread(theirs, own)
        found = "{median:.2f}x [{min:.2f}, {max:.2f}]".format(**ratios[name])
        print(f"{title:<28}{rate(theirs):>24}{rate(own):>24}   {found}")
    gflop, less = [way.flop / 1e9 for way in (reference, ours)], reference.flop / ours.flop
    print(f"{'GFLOP an image':<28}{gflop[0]:>24.1f}{gflop[1]:>24.1f}   {less:.2f}x")
    return {"reference": reference.summary(), "ours": ours.summary(), "ratio": ratios | {"flop": less}}


def show_utilisation(times: Mapping[str, Times], peak_tflops: float) -> dict[str, float]:
    """Prints which share of the device's peak the operations make up that each way does, padding included."""
    shares = {name: way.flop / statistics.median(way.wall_s) / (peak_tflops * 1e12) for name, way in times.items()}
    print(f"{'model FLOPs utilisation':<28}{shares['reference']:>24.1%}{shares['ours']:>24.1%}")
    return shares


def show_peak(ways: Mapping[str, Way], steps: Mapping[str, Callable[[], Any]]) -> dict[str, float]:
    """Prints the peak memory: on a GPU that of each way, else that of the process, which holds both."""
    if all(way.objective.model.device.type == "cuda" for way in ways.values()):
        peaks = {name: way.peak_bytes(steps[name]) / 2**30 for name, way in ways.items()}
        print(f"{'peak memory, GiB':<28}{peaks['reference']:>24.2f}{peaks['ours']:>24.2f}")
    else:
        peaks = {"process": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20}
        print(f"peak memory of the process, with two copies of the model: {peaks['process']:.1f} GiB")
    return peaks


def parse() -> argparse.Namespace:
    parser = parser_of(__doc__, PRESETS)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batch", type=int, help="pictures of a step, at least 2; the preset's where not given")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--precision", choices=["fp32", "bf16"], default="fp32")
    parser.add_argument("--peak-tflops", type=float, help="of the device in this precision; prints the utilisation")
    return parser.parse_args()


def main() -> int:
    """Compares and times both ways; returns 1 where they disagree."""
    asked = parse()
    torch.set_num_threads(asked.threads)
    preset = PRESETS[asked.preset]
    sizes = replace(preset, batch=asked.batch or preset.batch)
    batch, ways = draw_batch(sizes), build_ways(sizes, torch.device(asked.device))
    print(
        f"{sizes.batch} pictures of {sizes.image_px} px, {sizes.vision_blocks} vision blocks, {sizes.text_layers} text "
        f"layers; {asked.device}, {asked.precision}, {asked.threads} thread(s), {asked.rounds} rounds"
    )
    gaps = compare(ways, batch)
    if not agree(gaps):
        return 1
    for way in ways.values():
        way.objective.train()
    steps = {name: partial(way.step, batch, Precision(asked.precision)) for name, way in ways.items()}
    times, _ = interleave({name: (step, sizes.batch) for name, step in steps.items()}, asked.rounds)
    run = {"device": asked.device, "precision": asked.precision, "threads": asked.threads, "torch": torch.__version__}
    found: dict[str, Any] = {"sizes": asdict(sizes), "run": run, "difference": gaps, **show(times)}
    if asked.peak_tflops:
        found["utilisation"] = show_utilisation(times, asked.peak_tflops)
    found["peak_gib"] = show_peak(ways, steps)
    if asked.json:
        asked.json.write_text(json.dumps(found, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
