"""Recorded official training steps: batches, and hard negatives drawn as they were there."""

import pytest
import torch

from blipvid.train.pictures.batches import CaptionBatch
from tests.load_goldens import Case
from tests.parity.official import unit_range


def batches_of(case: Case, ids: list[list[int]]) -> list[CaptionBatch]:
    """Returns the recorded batches, one a step."""
    pixels, captions = case.tensors("inputs")["image"], case.meta["texts"]["captions"]
    steps = zip(pixels, captions, ids, strict=True)
    return [CaptionBatch(unit_range(own) * 255.0, said, torch.tensor(numbers)) for own, said, numbers in steps]


def draw_by_argmax(monkeypatch: pytest.MonkeyPatch) -> list[torch.Tensor]:
    """Replaces the random draw of negatives by the likeliest, as the recording did; returns the weights seen."""
    seen: list[torch.Tensor] = []

    def likeliest(weights: torch.Tensor, count: int) -> torch.Tensor:
        assert count == 1
        seen.append(weights / weights.sum(1, keepdim=True))
        return weights.argmax(1, keepdim=True)

    monkeypatch.setattr(torch, "multinomial", likeliest)
    return seen
