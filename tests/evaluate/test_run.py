import numpy as np
import pytest
import torch

from blipvid.core.errors import CapabilityError
from blipvid.core.features import Features, Texts
from blipvid.core.settings import RetrievalSettings
from blipvid.core.types import Runtime
from blipvid.evaluate.run import TASKS, evaluate
from tests.evaluate.replay import Loader, Replay, retrieval_set

COSINE = np.array([[0.5, 0.25], [0.75, 0.5]], np.float32)
SETTINGS = RetrievalSettings(bootstrap=0)


class Towers:
    """Two towers without a matching head."""

    def __init__(self) -> None:
        self._whole = Replay(COSINE, COSINE)

    def encode_images(self, pixels: torch.Tensor) -> Features:
        return self._whole.encode_images(pixels)

    def encode_texts(self, texts: list[str], max_tokens: int) -> Texts:
        return self._whole.encode_texts(texts, max_tokens)


def test_what_a_model_lacks_is_said_before_any_decoding() -> None:
    loader = Loader()
    with pytest.raises(CapabilityError, match="Towers cannot do the task 'retrieval': it lacks remember, match"):
        evaluate(retrieval_set([0, 1], 2), Towers(), loader, SETTINGS, Runtime())
    with pytest.raises(CapabilityError, match="lacks encode_images or encode_clip; encode_texts; remember, match"):
        evaluate(retrieval_set([0, 1], 2), object(), loader, SETTINGS, Runtime())
    assert loader.asked == []


def test_cosine_alone_needs_no_matching_head() -> None:
    found = evaluate(
        retrieval_set([0, 1], 2), Towers(), Loader(), RetrievalSettings(rerank_top_k=0, bootstrap=0), Runtime()
    )
    assert found.metrics["t2v_r1"] == 50.0


def test_a_set_that_nothing_evaluates() -> None:
    with pytest.raises(CapabilityError, match="nothing evaluates a list"):
        evaluate([], Replay(COSINE, COSINE), Loader(), SETTINGS, Runtime())  # type: ignore[arg-type]


def test_task_names_differ() -> None:
    names = [task.name for task in TASKS.values()]
    assert len(set(names)) == len(names)
