"""Questions about one clip: read and answered together as blipvid does it, against each for itself as BLIP does.

The reference order is written here anew: a batch of questions is padded to the longest and repeats the clip's tokens,
so that each question computes the clip's keys and values for itself; attention is spelled out; and each candidate
answer computes those of its question again. Weights are random, with attention that is
not flat; so the work is real and the answers mean nothing, but both ways must give the same ones.

    python benchmarks/speed/answering.py [--preset ci|full] [--rounds 3] [--threads 1] [--json FILE]
"""

import json
import sys
from collections.abc import Callable
from typing import Any

import torch
from reference import build_random, draw_texts, read
from rounds import Times, interleave, machine, parser_of, ratio, show_peaks
from torch.nn.functional import cross_entropy

from blipvid.core.features import QuestionStates
from blipvid.models.answerer import LABEL_SMOOTHING, BlipAnswerer

PRESETS = {
    # frames, tokens a frame, text layers, questions, the reference's batch of them, answers, candidates
    "full": (16, 577, 12, 27, 4, 2423, 128),
    "ci": (4, 197, 3, 27, 9, 500, 128),
}
TOLERANCE = 1e-4
"""Of states and losses; the losses are about 30, the order of additions is all that differs."""


def reference_read(model: BlipAnswerer, tokens: torch.Tensor, questions: list[str]) -> torch.Tensor:
    """Reads a batch of questions in the reference order: states (B, L, D), padding included."""
    ids, mask = model.tokenizer(questions, 35)
    ids[:, 0] = model.tokenizer.enc
    return read(model.text_encoder, ids, mask[:, None, None, :], tokens.repeat(len(ids), 1, 1))


def reference_rank(model: BlipAnswerer, states: torch.Tensor, answers: list[str], k: int) -> torch.Tensor:
    """Ranks answers to one question in the reference order: losses (k,) of the candidates likeliest by first token."""
    ids, mask = model.tokenizer(answers)
    ids[:, 0] = model.tokenizer.dec

    def logits(some: torch.Tensor, some_mask: torch.Tensor) -> torch.Tensor:
        causal = torch.ones(some.shape[1], some.shape[1]).tril() * some_mask[:, None, None, :]
        states_of_each = states.repeat_interleave(len(some), 0)
        return model.text_decoder.logits(read(model.text_decoder.bert, some, causal, states_of_each))

    first = logits(ids[:1, :1], mask[:1, :1])[0, 0].softmax(0)[ids[:, 1]]
    best = first.argsort(descending=True, stable=True)[:k]
    targets = ids[best].masked_fill(mask[best] == 0, -100)[:, 1:]
    words = logits(ids[best], mask[best])[:, :-1].transpose(1, 2)
    return cross_entropy(words, targets, reduction="none", label_smoothing=LABEL_SMOOTHING).sum(1)


def compare(name: str, reference: Times, ours: Times) -> dict[str, Any]:
    """Prints one line and returns it for JSON."""
    found = ratio(reference, ours)
    slow, fast = reference.summary(), ours.summary()
    print(
        f"{name:<34} {slow['cpu_s']['median']:>9.3f} {fast['cpu_s']['median']:>9.3f} "
        f"{found['cpu']:>7.1f}x [{found['cpu_min']:.1f}, {found['cpu_max']:.1f}] {found['flop']:>7.1f}x"
    )
    return {"reference": slow, "ours": fast, "ratio": found}


def main() -> int:
    """Runs both ways; returns 1 where they disagree."""
    parser = parser_of(__doc__, PRESETS)
    parser.add_argument("--threads", type=int, default=1)
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    n_frames, n_tokens, depth, n_questions, n_reference, n_answers, k = PRESETS[asked.preset]
    with torch.inference_mode():
        model = build_random(BlipAnswerer, "vqa", depth).eval().requires_grad_(requires_grad=False)
        tokens = torch.randn(n_frames * n_tokens, 768, generator=torch.Generator().manual_seed(1))
        questions = draw_texts(n_questions, [5, 7, 9, 11, 6, 8], seed=2)
        answers = draw_texts(n_answers, [1, 1, 1, 1, 1, 2, 1, 1, 1, 3], seed=3)
        asked_for = questions[:n_reference]
        table = model.list_answers(answers)

        def read_together() -> QuestionStates:
            return model.read_questions(model.remember(tokens), questions, 35)

        def read_apart() -> torch.Tensor:
            return reference_read(model, tokens, asked_for)

        states = read_together()
        own = [states.states[q : q + 1, : int(states.mask[q].sum())] for q in range(n_questions)]

        def rank_together() -> torch.Tensor:
            return model.rank_answers(states, table, k).losses

        def rank_apart() -> list[torch.Tensor]:
            return [reference_rank(model, own[q], answers, k) for q in range(n_reference)]

        calls: dict[str, dict[str, tuple[Callable[[], Any], int]]] = {
            f"question encoder, {n_questions} questions": {
                "reference": (read_apart, n_reference),
                "ours": (read_together, n_questions),
            },
            f"answer ranking, {k} of {n_answers:,}": {
                "reference": (rank_apart, n_reference),
                "ours": (rank_together, n_questions),
            },
        }
        print(
            f"{n_frames} frames of {n_tokens} tokens, {depth} text layers, fp32, {asked.threads} thread(s), "
            f"{asked.rounds} rounds, {machine()}\nCPU seconds a question, median; ratio [least, most]; operations"
        )
        print(f"{'':<34} {'apart':>9} {'together':>9} {'ratio':>8}")
        lines, gaps = {}, {}
        for name, ways in calls.items():
            times, results = interleave(ways, asked.rounds)
            lines[name] = compare(name, times["reference"], times["ours"])
            gaps[name] = results
        read, ranked = gaps.values()
        reading_gap = max(
            float((theirs[: one.shape[1]] - one[0]).abs().max())
            for theirs, one in zip(read["reference"], own, strict=False)
        )
        ranking_gap = max(float((r - o).abs().max()) for r, o in zip(ranked["reference"], ranked["ours"], strict=False))
        same = sum(int(r.argmin() == o.argmin()) for r, o in zip(ranked["reference"], ranked["ours"], strict=False))
        print(
            f"largest difference of states {reading_gap:.1e}, of losses {ranking_gap:.1e}; "
            f"{same} of {n_reference} best answers equal"
        )
        peaks = show_peaks(lambda: (read_apart(), rank_apart()), lambda: (read_together(), rank_together()))
    if asked.json:
        gap = {"states": reading_gap, "losses": ranking_gap, "equal_answers": same, "of": n_reference}
        peaks_gib = {side: peak * 1e9 / 2**30 for side, peak in peaks.items()}
        found = {"lines": lines, "difference": gap, "peak_gb": peaks, "peak_gib": peaks_gib}
        asked.json.write_text(json.dumps(found, indent=2))
    return 0 if max(reading_gap, ranking_gap) < TOLERANCE and same == n_reference else 1


if __name__ == "__main__":
    sys.exit(main())
