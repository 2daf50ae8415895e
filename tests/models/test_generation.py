"""Ways of writing against brute force, on a writer whose next word depends on the last two alone."""

import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from blipvid.models.generation import Rules, beam_search, greedy, nucleus, nucleus_of

WORDS, END, START = 5, 0, 4


class Bigrams:
    """Logits of the next word from a table, for each thing its own."""

    def __init__(self, seed: int, things: int, scale: float = 2.0) -> None:
        self.table = torch.randn(things, WORDS, WORDS, generator=torch.Generator().manual_seed(seed)) * scale
        self.things, self.last = things, torch.zeros(0, dtype=torch.int64)
        self.read = 0

    def step(self, ids: torch.Tensor) -> torch.Tensor:
        self.read += ids.numel()
        self.last = ids[:, -1]
        thing = torch.arange(self.things).repeat_interleave(len(ids) // self.things)
        return self.table[thing, self.last]

    def select(self, rows: torch.Tensor) -> None:
        self.last = self.last[rows]


def logprob(writer: Bigrams, thing: int, text: tuple[int, ...], rules: Rules) -> float:
    """Log-probability of a text, its end included where it is shorter than the longest."""
    steps = [*text[1:], END] if len(text) < rules.max_length else list(text[1:])
    total = 0.0
    for place, word in enumerate(steps, start=1):
        scores = writer.table[thing, text[place - 1]].log_softmax(0)
        held = set(text[:place])
        scores = torch.tensor(
            [
                s * rules.repetition_penalty if w in held else s  # log-probabilities are negative
                for w, s in enumerate(scores.tolist())
            ]
        )
        total += -math.inf if word == END and place < rules.min_length else float(scores[word])
    return total


def every_text(rules: Rules) -> list[tuple[int, ...]]:
    others = [word for word in range(WORDS) if word != END]
    return [(START, *rest) for n in range(rules.max_length) for rest in itertools.product(others, repeat=n)]


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    min_length=st.integers(1, 3),
    penalty=st.sampled_from([1.0, 1.3]),
    things=st.integers(1, 3),
)
def test_beams_wide_enough_find_the_best_of_all_texts(seed: int, min_length: int, penalty: float, things: int) -> None:
    rules = Rules(END, max_length=4, min_length=min_length, repetition_penalty=penalty)
    writer = Bigrams(seed, things)
    found = beam_search(writer, torch.full((things, 1), START), rules, beams=64)
    for thing, own in enumerate(found):
        # a text that ends earlier is divided by its own length, the longest ones by the full length
        scored = {text: logprob(writer, thing, text, rules) for text in every_text(rules)}
        best = max(scored[text] / len(text) for text in scored)  # some texts tie: they make the same steps
        assert own[0].score == pytest.approx(best, abs=1e-4)
        for text in own[:5]:
            assert text.logprob == pytest.approx(scored[text.ids], abs=1e-4)
            assert text.score == pytest.approx(scored[text.ids] / len(text.ids), abs=1e-4)
        assert [text.score for text in own] == sorted((text.score for text in own), reverse=True)


def test_the_start_is_read_once_and_each_later_step_reads_one_word_a_beam() -> None:
    writer = Bigrams(1, 2)
    beam_search(writer, torch.full((2, 3), START), Rules(END, max_length=6, min_length=6), beams=4)
    assert writer.read == 2 * 3 + 2 * 4 * 2


def test_one_beam_is_greedy() -> None:
    for seed in range(20):
        rules = Rules(END, max_length=6)
        start = torch.full((2, 1), START)
        beams = beam_search(Bigrams(seed, 2), start, rules, beams=1)
        alone = greedy(Bigrams(seed, 2), start, rules)
        for (own,), other in zip(beams, alone, strict=True):
            assert own.ids == other.ids
            assert own.logprob == pytest.approx(other.logprob, abs=1e-4)


def test_greedy_stops_at_the_end_and_drops_what_follows() -> None:
    class Fixed:
        def step(self, ids: torch.Tensor) -> torch.Tensor:
            going = torch.tensor([0.0, 5.0, 0.0, 0.0, 0.0])
            ending = torch.tensor([5.0, 0.0, 0.0, 0.0, 0.0])
            return torch.stack([going, ending])

        def select(self, rows: torch.Tensor) -> None:
            raise AssertionError("greedy writing never reorders")

    long, short = greedy(Fixed(), torch.full((2, 1), START), Rules(END, max_length=4))
    assert (long.ids, short.ids) == ((START, 1, 1, 1), (START,))
    assert short.logprob == pytest.approx(float(torch.tensor([5.0, 0, 0, 0, 0]).log_softmax(0)[0]))


@settings(max_examples=50, deadline=None)
@given(
    logits=st.lists(st.floats(-5, 5, width=32), min_size=2, max_size=12),
    top_p=st.floats(0.05, 1.0),
    top_k=st.integers(0, 6),
)
def test_nucleus_holds_the_smallest_prefix_above_p(logits: list[float], top_p: float, top_k: int) -> None:
    scores = torch.tensor([logits])
    ours = nucleus_of(scores.clone(), top_p, top_k)[0]
    order = sorted(range(len(logits)), key=lambda w: -logits[w])
    kept = order[:top_k] if top_k else order
    weights = torch.tensor([logits[w] for w in kept]).softmax(0).tolist()
    wanted, total = dict.fromkeys(range(len(logits)), 0.0), 0.0
    for word, weight in zip(kept, weights, strict=True):
        if total > top_p + 1e-6:
            break
        if abs(total - top_p) < 1e-6 and total > 0:
            return  # on the very border rounding decides
        wanted[word], total = weight, total + weight
    for word, weight in wanted.items():
        assert float(ours[word]) == pytest.approx(weight / total, abs=1e-5)


def test_nucleus_draws_by_its_probabilities() -> None:
    writer = Bigrams(3, 2000)
    writer.table[:] = writer.table[0]
    rules = Rules(END, max_length=2)
    generators = [torch.Generator().manual_seed(seed) for seed in range(2000)]
    drawn = nucleus(writer, torch.full((2000, 1), START), rules, 0.8, 3, generators)
    wanted = nucleus_of(writer.table[:1, START], 0.8, 3)[0]
    words = [text.ids[1] if len(text.ids) > 1 else END for text in drawn]
    counted = torch.bincount(torch.tensor(words), minlength=WORDS) / 2000
    assert (counted - wanted).abs().max() < 0.05
    assert ((counted > 0) == (wanted > 0)).all()


def test_rules() -> None:
    scores = torch.tensor([[-1.0, 2.0, -3.0, 4.0]])
    ids = torch.tensor([[1, 2, 2]])
    changed = Rules(end=3, max_length=9, min_length=4, repetition_penalty=2.0).apply(scores, ids)
    assert changed.tolist() == [[-1.0, 1.0, -6.0, -math.inf]]
    assert scores.tolist() == [[-1.0, 2.0, -3.0, 4.0]]
    assert torch.equal(Rules(end=3, max_length=9, min_length=3).apply(scores, ids), scores)
