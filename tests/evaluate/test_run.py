import numpy as np
import pytest
import torch

from blipvid.core.errors import CapabilityError
from blipvid.core.features import Features, Texts
from blipvid.core.settings import AnsweringSettings, ChoiceSettings, RetrievalSettings
from blipvid.core.types import Runtime
from blipvid.evaluate.run import TASKS, evaluate
from tests.evaluate.echo import Echo
from tests.evaluate.replay import Loader, Replay, retrieval_set
from tests.evaluate.test_answering import question_set
from tests.evaluate.test_choosing import choice_set

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
    with pytest.raises(CapabilityError, match="Towers cannot do the task 'retrieval': it lacks remember, prepare"):
        evaluate(retrieval_set([0, 1], 2), Towers(), loader, SETTINGS, Runtime())
    with pytest.raises(CapabilityError, match="lacks encode_images or encode_clip; encode_texts; remember, prepare"):
        evaluate(retrieval_set([0, 1], 2), object(), loader, SETTINGS, Runtime())
    assert loader.asked == []


def test_cosine_alone_needs_no_matching_head() -> None:
    found = evaluate(
        retrieval_set([0, 1], 2), Towers(), Loader(), RetrievalSettings(rerank_top_k=0, bootstrap=0), Runtime()
    )
    assert found.metrics["t2v_r1"] == 50.0


QUESTIONS = question_set(["what"], [0], ["dog"], 1)
CHOICES = choice_set(["what"], [0], [("dog", "cat")], [0], 1)


def test_a_retrieval_model_cannot_answer_and_hears_what_it_lacks_alone() -> None:
    loader, model = Loader(), Replay(COSINE, COSINE)
    lacking = "lacks count_tokens, read_questions, generate_answers, list_answers, rank_answers, score_answers"
    with pytest.raises(CapabilityError, match=f"Replay cannot do the task 'qa': it {lacking}.*models list"):
        evaluate(QUESTIONS, model, loader, AnsweringSettings(), Runtime())
    with pytest.raises(CapabilityError, match=f"the task 'choice': it {lacking}.*`match` takes retrieval models"):
        evaluate(CHOICES, model, loader, ChoiceSettings(), Runtime())
    assert loader.asked == []


def test_what_choosing_needs_depends_on_the_way() -> None:
    loader = Loader()
    with pytest.raises(CapabilityError, match=r"it lacks encode_texts; prepare_texts, match\. .*`rank` takes models"):
        evaluate(CHOICES, Echo(), loader, ChoiceSettings(choose_by="match"), Runtime())
    assert loader.asked == []
    assert evaluate(CHOICES, Echo(), loader, ChoiceSettings(bootstrap=0), Runtime()).n_items == 1


def test_a_set_that_nothing_evaluates() -> None:
    with pytest.raises(CapabilityError, match="nothing evaluates a list"):
        evaluate([], Replay(COSINE, COSINE), Loader(), SETTINGS, Runtime())  # type: ignore[arg-type]


def test_task_names_differ() -> None:
    names = [task.name for task in TASKS.values()]
    assert len(set(names)) == len(names)
