import json
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from blipvid.core.features import Texts
from blipvid.core.settings import RetrievalSettings
from blipvid.core.types import Result, RetrievalSet, Runtime
from blipvid.evaluate import certificate
from blipvid.evaluate.run import evaluate
from tests.evaluate.replay import Array, Loader, Replay, retrieval_set


class Rounded(Replay):
    """Replays logits with an error, and exact ones when it is asked for them."""

    def __init__(self, cosine: Array, logits: Array, error: Array) -> None:
        super().__init__(cosine, logits)
        self.error = torch.as_tensor(np.asarray(error, np.float32))
        self.exact: list[tuple[int, int]] = []
        self.in_fp32 = False

    @contextmanager
    def exactly(self) -> Iterator[None]:
        self.in_fp32 = True
        try:
            yield
        finally:
            self.in_fp32 = False

    def match(self, memory: int, texts: Texts, rows: torch.Tensor) -> torch.Tensor:
        exact = super().match(memory, texts, rows)
        if self.in_fp32:
            self.exact += self.matched[-len(rows) :]
            return exact
        return exact + self.error[memory, texts.ids[rows, 1]]


def run(items: RetrievalSet, model: Replay, precision: str, k: int, ties: str = "expected") -> Result:
    said = RetrievalSettings(bootstrap=0, rerank_top_k=k, ties=ties)
    return evaluate(items, model, Loader(), said, Runtime(precision=precision))


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 10**6), st.integers(1, 12), st.sampled_from([0.01, 0.3, 3.0]), st.sampled_from(["expected", "blip"])
)
def test_ranks_are_those_of_fp32(seed: int, k: int, error: float, ties: str) -> None:
    """Each score is off by `error` up or down, so that any sample shows how far; the ranks must not show it."""
    generator = np.random.default_rng(seed)
    cosine, logits = generator.normal(size=(2, 12, 15))
    logits[:, :5] = generator.integers(-2, 3, (12, 5))  # ties
    off = error * generator.choice([-1, 1], (12, 15))
    items = retrieval_set([*range(12), 0, 0, 3], 12)
    model = Rounded(cosine, logits, off)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(certificate, "SAMPLED_PAIRS", 3)
        found = run(items, model, "bf16", k, ties)
    exact = run(items, Replay(cosine, logits), "fp32", k, ties)
    assert [one["rank"] for one in found.predictions] == [one["rank"] for one in exact.predictions]
    assert found.metrics == exact.metrics
    kept = found.details["certificate"]
    assert kept["error"] == pytest.approx(error, rel=1e-3)
    assert kept["margin"] == pytest.approx(7 * error, rel=1e-3)
    assert kept["pairs_sampled"] + kept["pairs_rescored"] == len(model.exact) == len(set(model.exact))
    assert not model.in_fp32
    json.dumps(found.details)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6))
def test_pairs_scored_anew_tell_of_the_error_too(seed: int) -> None:
    """Few scores are off by much, so the sample rarely shows it; what is looked at afterwards may."""
    generator = np.random.default_rng(seed)
    cosine, logits = generator.normal(size=(2, 12, 12))
    off = 0.02 * generator.standard_t(1.5, (12, 12))
    model = Rounded(cosine, logits, off)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(certificate, "SAMPLED_PAIRS", 3)
        kept = run(retrieval_set([*range(12)], 12), model, "bf16", 12).details["certificate"]
    looked_at = np.array(model.exact)
    assert kept["error"] == pytest.approx(np.abs(off[looked_at[:, 0], looked_at[:, 1]]).max(), rel=1e-3, abs=1e-5)
    left = np.ones((12, 12), bool)
    left[looked_at[:, 0], looked_at[:, 1]] = False
    shown = cosine + logits + off
    nearest = np.minimum(np.abs(shown - np.diag(shown)), np.abs(shown - np.diag(shown)[:, None]))
    assert (nearest[left & ~np.eye(12, dtype=bool)] > kept["margin"] - 1e-5).all()


def test_ranks_changed_are_counted_and_sure_ones_are_left_alone() -> None:
    # text 0: clips 0 and 1 are 0.1 apart and change places; text 1: its clip is ahead by far
    cosine, logits = np.zeros((2, 2)), np.array([[1.1, -50.0], [1.0, 50.0]])
    model = Rounded(cosine, logits, np.array([[-0.1, 0.1], [0.1, 0.1]]))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(certificate, "SAMPLED_PAIRS", 1)
        found = run(retrieval_set([0, 1], 2), model, "fp16", 2)
    assert found.metrics["t2v_r1"] == 100.0
    assert found.details["certificate"]["ranks_changed"] == {"t2v": 1, "v2t": 0}
    assert {(0, 0), (1, 0)} <= set(model.exact)
    assert found.details["certificate"]["pairs_rescored"] <= 2
    assert "ranks changed by all this: 1" in found.details["certificate"]["note"]
    assert "certificate" in found.details["seconds"]


def test_fp32_needs_no_certificate_and_a_model_without_fp32_gets_none() -> None:
    cosine, logits = np.eye(2), np.eye(2)
    items = retrieval_set([0, 1], 2)
    assert "certificate" not in run(items, Rounded(cosine, logits, np.zeros((2, 2))), "fp32", 2).details
    assert "cannot match in fp32" in run(items, Replay(cosine, logits), "bf16", 2).details["certificate"]["note"]
