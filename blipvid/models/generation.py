"""Writing text token by token: greedy, beam search, nucleus sampling. Knows no model: it is given a writer.

Beams are searched exactly as transformers 4.15 did, on which the released code stands. Newer versions divide the score
of a text by the number of generated tokens instead of its whole length, prompt included, and so write other texts.

Shape legend: B texts asked for, L length, W words.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch

NEVER = -1e9
"""First score of all beams but one, so that the first step chooses among the continuations of a single beam."""


class Writer(Protocol):
    """What is asked of a model that writes."""

    def step(self, ids: torch.Tensor) -> torch.Tensor:
        """Adds tokens (B, L) int64 to B texts; returns float32 logits (B, W) of what comes next."""
        ...

    def select(self, rows: torch.Tensor) -> None:
        """Keeps the texts at `rows` (int64), in that order; a row may occur several times."""
        ...


@dataclass(frozen=True, slots=True)
class Rules:
    """What holds for every way of writing; lengths count the start tokens.

    Attributes:
        end: Id of the token that ends a text ([SEP]).
        max_length: Tokens after which a text ends anyway.
        min_length: Tokens before which a text cannot end.
        repetition_penalty: Above 1, tokens that a text holds already, the start among them, become less likely.
    """

    end: int
    max_length: int
    min_length: int = 1
    repetition_penalty: float = 1.0

    def apply(self, scores: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
        """Returns the scores (B, W) of the next token after the texts `ids` (B, L), changed by the rules.

        Source: transformers 4.15, RepetitionPenaltyLogitsProcessor and MinLengthLogitsProcessor.
        """
        if self.repetition_penalty != 1.0:
            held = scores.gather(1, ids)
            held = torch.where(held < 0, held * self.repetition_penalty, held / self.repetition_penalty)
            scores = scores.scatter(1, ids, held)
        if ids.shape[1] < self.min_length:
            scores = scores.index_fill(1, torch.tensor([self.end], device=scores.device), -math.inf)
        return scores


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """One text.

    Attributes:
        ids: With the start, without the end token.
        score: What beams are compared by: `logprob` divided by the number of `ids`.
        logprob: Sum of the log-probabilities of the tokens after the start, the end token included where it was
            reached; under a repetition penalty, of the changed ones.
    """

    ids: tuple[int, ...]
    score: float
    logprob: float


def greedy(writer: Writer, start: torch.Tensor, rules: Rules) -> list[Hypothesis]:
    """Takes the most probable token each time.

    Args:
        writer: Has B texts of no tokens.
        start: (B, L) int64 first tokens.
        rules: See `Rules`; they act on logits.

    Returns:
        B texts.
    """
    return _one_by_one(writer, start, rules, lambda scores: scores.argmax(1))


def nucleus(
    writer: Writer,
    start: torch.Tensor,
    rules: Rules,
    top_p: float,
    top_k: int,
    generators: Sequence[torch.Generator],
) -> list[Hypothesis]:
    """Draws each token from the few that together hold most of the probability.

    Args:
        writer: Has B texts of no tokens.
        start: (B, L) int64 first tokens.
        rules: See `Rules`; they act on logits.
        top_p: The most probable tokens are kept until their sum exceeds this; the one that crosses it is kept.
        top_k: Of these, at most so many; 0 for no bound. It is applied first.
        generators: B generators on the CPU, where the chance of each text comes from, so that no text depends on which
            others are written with it, nor on the device.

    Returns:
        B texts.

    Source: Holtzman et al. 2020; transformers 4.15, TopKLogitsWarper and TopPLogitsWarper.
    """

    def draw(scores: torch.Tensor) -> torch.Tensor:
        # numbers that are not finite are drawn from evenly: the score of the text tells of them, not the drawing
        probability = nucleus_of(scores, top_p, top_k).cpu().nan_to_num(1.0)
        drawn = [torch.multinomial(own, 1, generator=g) for own, g in zip(probability, generators, strict=True)]
        return torch.cat(drawn).to(scores.device)

    return _one_by_one(writer, start, rules, draw)


def nucleus_of(scores: torch.Tensor, top_p: float, top_k: int) -> torch.Tensor:
    """Returns the probabilities (B, W) that nucleus sampling draws from, of logits (B, W)."""
    ordered, order = scores.sort(dim=1, descending=True, stable=True)
    if top_k:
        ordered[:, top_k:] = -math.inf
    probability = ordered.softmax(1)
    before = probability.cumsum(1) - probability
    probability = torch.where(before > top_p, 0.0, probability)
    return torch.zeros_like(scores).scatter(1, order, probability / probability.sum(1, keepdim=True))


def _one_by_one(writer: Writer, start: torch.Tensor, rules: Rules, choose: "Choose") -> list[Hypothesis]:
    """Writes one text for each start; a text that has ended is written on, but what follows its end is dropped."""
    texts = [tuple(ids) for ids in start.tolist()]
    logprob = [0.0] * len(texts)
    going = set(range(len(texts)))
    ids, new = start, start
    while going and ids.shape[1] < rules.max_length:
        logits = writer.step(new)
        scores = rules.apply(logits, ids)
        tokens = choose(scores)
        gained = scores.log_softmax(1).gather(1, tokens[:, None])[:, 0].tolist()
        for row, token in enumerate(tokens.tolist()):
            if row in going:
                logprob[row] += gained[row]
                if token == rules.end:
                    going.remove(row)
                else:
                    texts[row] = (*texts[row], token)
        new = tokens[:, None]
        ids = torch.cat([ids, new], dim=1)
    return [Hypothesis(own, total / len(own), total) for own, total in zip(texts, logprob, strict=True)]


class Choose(Protocol):
    """Chooses the next token (B,) by scores (B, W)."""

    def __call__(self, scores: torch.Tensor) -> torch.Tensor:
        """Returns (B,) int64."""
        ...


def beam_search(writer: Writer, start: torch.Tensor, rules: Rules, beams: int) -> list[list[Hypothesis]]:
    """Keeps the `beams` most probable texts at each step.

    Args:
        writer: Has B texts of no tokens.
        start: (B, L) int64 first tokens.
        rules: See `Rules`; they act on log-probabilities, which are not made to sum to 1 again.
        beams: Texts kept for each start (n).

    Returns:
        For each start its best texts, at most n, the best first.

    Source: transformers 4.15, `beam_search` and `BeamSearchScorer`, with length penalty 1 and without early stopping.
    """
    n_texts = len(start)
    found = [_Kept(beams) for _ in range(n_texts)]
    first = torch.full((n_texts, beams), NEVER, device=start.device)
    first[:, 0] = 0.0
    sums = first.flatten()
    ids, new = start.repeat_interleave(beams, 0), start  # the start is read once and not once a beam
    spread = torch.arange(n_texts, device=start.device).repeat_interleave(beams)
    while True:
        length = ids.shape[1]
        logits = writer.step(new)
        if len(logits) < len(ids):
            writer.select(spread)
            logits = logits[spread]
        scores = rules.apply(logits.log_softmax(1), ids) + sums[:, None]
        n_words = scores.shape[1]
        best, place = scores.view(n_texts, -1).topk(min(2 * beams, beams * n_words), dim=1)
        went_on = [
            kept.sort_out(best_of, place_of, n_words, ids[text * beams : (text + 1) * beams], rules.end)
            for text, (kept, best_of, place_of) in enumerate(zip(found, best.tolist(), place.tolist(), strict=True))
        ]
        rows = torch.tensor([text * beams + beam for text, own in enumerate(went_on) for beam, _, _ in own])
        rows = rows.to(start.device)
        new = torch.tensor([[token] for own in went_on for _, token, _ in own], device=start.device)
        sums = torch.tensor([score for own in went_on for _, _, score in own], device=start.device)
        ids = torch.cat([ids[rows], new], dim=1)
        if all(kept.done for kept in found) or length + 1 >= rules.max_length:
            break
        writer.select(rows)
    for text, kept in enumerate(found):
        if not kept.done:
            for row in range(text * beams, (text + 1) * beams):
                kept.add(tuple(ids[row].tolist()), float(sums[row]))
    return [kept.best_first() for kept in found]


class _Kept:
    """The finished texts of one start, at most n, and whether any running one could still get among them."""

    def __init__(self, beams: int) -> None:
        self._beams = beams
        self._texts: list[Hypothesis] = []
        self.done = False

    def sort_out(
        self, best: Sequence[float], place: Sequence[int], n_words: int, ids: torch.Tensor, end: int
    ) -> list[tuple[int, int, float]]:
        """Looks at the 2n best continuations: ended ones are kept, the first n others go on.

        Args:
            best: Their sums, falling.
            place: Beam times words plus word.
            n_words: W.
            ids: (n, L) the running beams.
            end: Id of the end token.

        Returns:
            n of (beam, token, sum).
        """
        if self.done:
            return [(0, 0, 0.0)] * self._beams
        went_on: list[tuple[int, int, float]] = []
        for rank, (score, where) in enumerate(zip(best, place, strict=True)):
            beam, token = divmod(where, n_words)
            if token != end:
                went_on.append((beam, token, score))
            elif rank < self._beams:  # an end further down is no candidate
                self.add(tuple(ids[beam].tolist()), score)
            if len(went_on) == self._beams:
                break
        full = len(self._texts) == self._beams
        self.done = full and min(text.score for text in self._texts) >= best[0] / ids.shape[1]
        return went_on

    def add(self, ids: tuple[int, ...], logprob: float) -> None:
        """Keeps a text if it is among the n best."""
        score = logprob / len(ids)
        if len(self._texts) == self._beams:
            worst = min(self._texts, key=lambda text: text.score)  # of equal ones the earliest
            if score <= worst.score:
                return
            self._texts.remove(worst)
        self._texts.append(Hypothesis(ids, score, logprob))

    def best_first(self) -> list[Hypothesis]:
        """Returns the kept texts; of equal ones the later found comes first."""
        return sorted(reversed(self._texts), key=lambda text: -text.score)
