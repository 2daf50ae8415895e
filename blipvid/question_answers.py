"""Questions about one clip, answered as a benchmark answers them that says nothing else."""

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from blipvid.core.features import Answer, QuestionStates
from blipvid.core.protocols import Answerer
from blipvid.core.settings import AnsweringSettings
from blipvid.core.text import clean_question, loses_words
from blipvid.evaluate.refusals import not_finite
from blipvid.models.spec import ModelSpec

NAMED = 40
"""Letters of a question that a warning quotes."""

SETTINGS = AnsweringSettings()
"""How questions are answered here: as a benchmark does that says nothing else."""


@dataclass(frozen=True, slots=True)
class PossibleAnswer:
    """One answer of several.

    Attributes:
        text: The answer.
        probability: Of the whole answer, in [0, 1], its end included where it was reached: an answer of the model's
            own words that is as long as allowed has none. Those of several answers need not add up to 1.
    """

    text: str
    probability: float


def answer_questions(
    model: Answerer, tokens: torch.Tensor, questions: Sequence[str], answers: Sequence[str] | None, spec: ModelSpec
) -> list[list[PossibleAnswer]]:
    """Gives several answers to each question about one clip.

    Args:
        model: Answers.
        tokens: (N*T, D) of the clip.
        questions: Q questions.
        answers: What to choose from, no two alike; None lets the model find words of its own.
        spec: Of the model, for messages.

    Returns:
        For each question its answers, in the order that `library.Model.best_answers` says.

    Raises:
        BlipvidError: The model's numbers are not finite.
    """
    states = _read(model, tokens, questions, spec)
    return _generate(model, states) if answers is None else _rank(model, states, answers)


def _read(model: Answerer, tokens: torch.Tensor, questions: Sequence[str], spec: ModelSpec) -> QuestionStates:
    cleaned = [clean_question(question, SETTINGS.question_words) for question in questions]
    states = model.read_questions(model.remember(tokens), cleaned, SETTINGS.question_tokens)
    for question, cut in zip(questions, states.cut.tolist(), strict=True):
        if cut or loses_words(question, SETTINGS.question_words):
            most = min(SETTINGS.question_tokens, spec.text.max_positions)
            warnings.warn(
                f"only the begin of the question '{question[:NAMED]}...' was read: the first "
                f"{SETTINGS.question_words} words, and of these {most} word pieces",
                stacklevel=5,  # who called `answer` or `best_answers`
            )
    if not states.states.isfinite().all():
        raise not_finite(f"model '{spec.name}'", "states of questions")
    return states


def _generate(model: Answerer, states: QuestionStates) -> list[list[PossibleAnswer]]:
    found = model.generate_answers(states, SETTINGS.beams, SETTINGS.answer_max_tokens, SETTINGS.answer_min_tokens)
    return [_different(own) for own in found]


def _rank(model: Answerer, states: QuestionStates, answers: Sequence[str]) -> list[list[PossibleAnswer]]:
    ranked = model.rank_answers(states, model.list_answers(answers), SETTINGS.answer_top_k)
    # of equal losses the answer that stands earlier in the list comes first
    orders = np.lexsort((ranked.index.numpy(), ranked.losses.numpy()), axis=1)
    return [
        [PossibleAnswer(answers[int(index[k])], math.exp(logprobs[k])) for k in order]
        for index, logprobs, order in zip(ranked.index, ranked.logprobs, orders.tolist(), strict=True)
    ]


def _different(beams: Sequence[Answer]) -> list[PossibleAnswer]:
    """Returns the texts of the beams: first that of the best one, empty or not, then the others by probability."""
    by_text: dict[str, Answer] = {}
    for beam in beams:  # the best first
        by_text.setdefault(beam.text, beam)
    best, *others = by_text.values()
    others.sort(key=lambda beam: -beam.logprob)
    return [PossibleAnswer(one.text, math.exp(one.logprob)) for one in (best, *(own for own in others if own.text))]
