"""The task of answering open questions about clips: by generating, by ranking a list of answers, or both in one run.

Both ways look at the same question states. What happens to clips that give no frames (`on_error: skip`): every question
about them counts as answered wrongly.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch

from blipvid.core.errors import DataError
from blipvid.core.features import Features, QuestionStates
from blipvid.core.protocols import Answerer, ClipEncoder, ImageEncoder, LoadClips, Progress
from blipvid.core.settings import AnsweringSettings
from blipvid.core.types import AnswerList, QuestionSet, Result, Runtime
from blipvid.evaluate.accuracy import accuracies
from blipvid.evaluate.answers import EXACT, VQA, Measure, measures_for
from blipvid.evaluate.questions import (
    QuestionReader,
    asked_about,
    clip_of,
    joined,
    n_questions,
    visit_clips,
)
from blipvid.evaluate.refusals import not_finite, refuse_empty
from blipvid.evaluate.seconds import Seconds
from blipvid.evaluate.share import Share
from blipvid.evaluate.statistics import paired_details

Ints = npt.NDArray[np.int64]


class AnsweringModel(ImageEncoder, Answerer, Protocol):
    """What this task needs of a model."""


def needs(settings: AnsweringSettings) -> list[tuple[type, ...]]:
    """Returns what a model must be, each a choice of protocols."""
    return [(ImageEncoder, ClipEncoder), (Answerer,)]


UNKNOWN = "the annotations hold no answers, so nothing is measured; whoever has them scores the submission files"

ANSWERED_TOGETHER = 64
"""Questions, of one clip or several, that the decoder answers at once: it never sees the clips."""


class Generate:
    """Answers in the model's own words.

    Attributes:
        described: For the record.
        predictions: (Q,) answers, None where there is none yet.
        scores: (Q,) float64, log-probability divided by the number of tokens.
        columns: All that is known of each question.
    """

    def __init__(self, items: QuestionSet, model: Answerer, settings: AnsweringSettings) -> None:
        self._items, self._model, self._settings = items, model, settings
        self.described = "generate"
        self.predictions = np.full(len(items.questions), None, np.object_)
        self.scores = np.full(len(items.questions), np.nan)
        self.columns: list[npt.NDArray[Any]] = [self.predictions, self.scores]

    def answer(self, portion: Ints, states: QuestionStates) -> None:
        """Answers the questions at `portion`."""
        if self._settings.question_mask == "ones":
            # parity: the released code lets generation look at padding (tests/evaluate/test_answering.py)
            states = QuestionStates(states.states, torch.ones_like(states.mask), states.cut)
        said = self._settings
        generated = self._model.generate_answers(states, said.beams, said.answer_max_tokens, said.answer_min_tokens)
        for question, beams in zip(portion.tolist(), generated, strict=True):
            if not math.isfinite(beams[0].score):
                raise not_finite(f"clip '{clip_of(self._items, question)}'", "scores of answers")
            self.predictions[question], self.scores[question] = beams[0].text, beams[0].score

    def dense(self, first: Ints) -> Mapping[str, npt.NDArray[np.generic]]:
        """Has nothing dense to save."""
        return {}


class Rank:
    """Answers with the likeliest of a list.

    Attributes:
        described: For the record.
        predictions: (Q,) answers, None where there is none yet.
        scores: (Q,) float64, minus the loss.
        tied: (Q,) bool, whether several answers share the lowest loss.
        columns: All that is known of each question.
    """

    def __init__(
        self, items: QuestionSet, listed: AnswerList, model: Answerer, settings: AnsweringSettings, save: bool
    ) -> None:
        self._items, self._model, self._answers = items, model, listed.answers
        self._table = model.list_answers(listed.answers)
        k = min(settings.answer_top_k or len(listed.answers), len(listed.answers))
        self.described = f"rank:{listed.name}"
        self.predictions = np.full(len(items.questions), None, np.object_)
        self.scores = np.full(len(items.questions), np.nan)
        self.tied = np.zeros(len(items.questions), np.bool_)
        rows = len(items.questions) if save else 0
        self._k, self._save = k, save
        self._losses = np.full((rows, k), np.inf, np.float32)
        self._candidates = np.full((rows, k), -1, np.int64)
        self.columns: list[npt.NDArray[Any]] = [self.predictions, self.scores, self.tied]
        self.columns += [self._losses, self._candidates] if save else []

    def answer(self, portion: Ints, states: QuestionStates) -> None:
        """Answers the questions at `portion`; of candidates with equal losses the earlier one in the list wins."""
        ranked = self._model.rank_answers(states, self._table, self._k)
        losses, candidates = ranked.losses.float().cpu().numpy(), ranked.index.cpu().numpy()
        wrong = ~np.isfinite(losses).all(axis=1)
        if wrong.any():
            raise not_finite(f"clip '{clip_of(self._items, int(portion[wrong][0]))}'", "losses of answers")
        lowest = losses.min(axis=1)
        is_best = losses == lowest[:, None]
        best = np.where(is_best, candidates, len(self._answers)).min(axis=1)
        self.tied[portion] = is_best.sum(axis=1) > 1
        self.scores[portion] = -lowest
        for question, candidate in zip(portion.tolist(), best.tolist(), strict=True):
            self.predictions[question] = self._answers[candidate]
        if self._save:
            self._losses[portion], self._candidates[portion] = losses, candidates

    def dense(self, first: Ints) -> Mapping[str, npt.NDArray[np.generic]]:
        """Returns losses and candidates of every question, `first` naming its equal, if they were to be saved."""
        if not self._save:
            return {}
        return {"rank_neg_logprob": self._losses[first], "rank_candidates": self._candidates[first]}


@torch.inference_mode()
def evaluate_answering(
    items: QuestionSet,
    model: AnsweringModel,
    load: LoadClips,
    settings: AnsweringSettings,
    runtime: Runtime,
    progress: Progress,
    save_scores: bool,
    share: Share,
) -> Result:
    """Evaluates answers to open questions.

    Args:
        items: V clips and Q questions.
        model: Has what `needs` names.
        load: Decodes clips.
        settings: The protocol, or two.
        runtime: Where and how fast.
        progress: Told of questions answered.
        save_scores: Whether the result holds what ranking found.
        share: Which clips this process does, with all questions about them.

    Returns:
        For each protocol P of `answer_by` the metric `P_accuracy`, percent, also by kind. Where each question has one
        annotated answer it is exact match, and `vqa_P_accuracy` is match after the VQA v2 normalisation of both sides;
        where it has those of several annotators, it is the accuracy of VQA v2. Where it has none there are no metrics.
        Other than with one answer a question, `submission_P.json` is what the VQA v2 evaluation reads. Scores, if asked
        for and ranked:
        `rank_neg_logprob` (Q,k) float32, the label-smoothed losses that ranking compares, and `rank_candidates` (Q,k)
        int64 positions in the list; inf and -1 for questions about skipped clips.

    Raises:
        DataError: No clips, no questions, or no list to rank.
        DecodeError: See `features.ClipStream.__iter__`.
        BlipvidError: The model gives numbers that are not finite.
        DoneElsewhere: The first process has the result.
    """
    refuse_empty(clips=items.clips, questions=items.questions)
    seconds = Seconds()
    ways: dict[str, Generate | Rank] = {}
    for name in settings.answer_by:
        if name == "generate":
            ways[name] = Generate(items, model, settings)
        else:
            ways[name] = Rank(items, _listed(items), model, settings, save_scores)
    padded = settings.question_mask == "ones" and "generate" in ways
    reader = QuestionReader(items, model, settings, batch=settings.question_batch if padded else 0)
    seconds.end("lists")

    waiting: list[tuple[Ints, QuestionStates]] = []

    def answer_waiting() -> None:
        if waiting:
            portion, states = np.concatenate([own for own, _ in waiting]), joined([read for _, read in waiting])
            waiting.clear()
            for name, way in ways.items():
                way.answer(portion, states)
                seconds.end(name)

    def answer(clip: int, features: Features) -> None:
        for read in reader.read(clip, features.tokens[0]):
            seconds.end("questions")
            waiting.append(read)
            # questions that are padded to one length stay among themselves
            if padded or sum(len(portion) for portion, _ in waiting) >= ANSWERED_TOGETHER:
                answer_waiting()

    clips = visit_clips(items, load, model, settings, runtime, progress, seconds, answer, share)
    answer_waiting()
    columns = [*reader.columns, *(column for way in ways.values() for column in way.columns)]
    share.fill(asked_about(share.own(len(items.clips)), items.question_clip), columns)
    share.leave_rest_to_first()
    predicted: dict[str, list[str | None]] = {
        name: way.predictions[reader.first].tolist() for name, way in ways.items()
    }
    measures = measures_for(items.answers)
    right = {
        f"{measure.prefix}{name}_accuracy": measure.right(own, items.answers)
        for measure in measures
        for name, own in predicted.items()
    }
    found = accuracies(right, items, settings)
    predictions = [
        row
        for name, way in ways.items()
        for row in _rows(items, name, predicted[name], way.scores[reader.first], right.get(f"{name}_accuracy"))
    ]
    dense = {key: array for way in ways.values() for key, array in way.dense(reader.first).items()}
    seconds.end("metrics")

    details: dict[str, Any] = {
        "protocols": {name: way.described for name, way in ways.items()},
        "measure": (measures or (VQA,))[0].name,  # by which others measure what is handed in
        **found.details,
        "distinct_answers": {name: len(set(own) - {None}) for name, own in predicted.items()},
        **reader.details(),
        "backends": dict(clips.backends),
        "frame_notes": clips.notes,
        "seconds": seconds.spent,
    }
    if isinstance(rank := ways.get("rank"), Rank):
        tied = int(rank.tied[reader.first].sum())
        details["ties"] = {"rank": tied}
        details["notes"] += _tie_note(tied)
        details["answer_list"] = _list_details(_listed(items))
    if measures:
        _add_what_answers_tell(details, items, measures[0], right)
    else:
        details["notes"].append(UNKNOWN)
    return Result(
        metrics=found.metrics,
        intervals=found.intervals,
        predictions=predictions,
        skipped=tuple(clips.skipped),
        n_clips=len(items.clips),
        n_items=len(items.questions),
        details=details,
        scores=dense if save_scores and dense else None,
        submission=None if EXACT in measures else _submission(items, predicted),
    )


def _listed(items: QuestionSet) -> AnswerList:
    if items.answer_list is None or not items.answer_list.answers:
        raise DataError(
            "'answer_by: rank' has no list of answers to choose from; name a file in 'settings.answers', or `train`."
        )
    return items.answer_list


def _add_what_answers_tell(
    details: dict[str, Any], items: QuestionSet, measure: Measure, right: Mapping[str, npt.NDArray[np.float64]]
) -> None:
    """Adds to the record what can be said only where the right answers are known."""
    details["commonest"] = measure.commonest(items.answers, items.kinds)
    if listed := details.get("answer_list"):
        listed["coverage"] = measure.ceiling(items.answers, _listed(items).answers)
        details["notes"] += _ceiling_note(listed["coverage"], measure)
    if {"generate_accuracy", "rank_accuracy"} <= right.keys():
        ours, theirs = ((name, right[f"{name}_accuracy"]) for name in ("generate", "rank"))
        details["paired"] = paired_details("generate_accuracy", ours, theirs, items.question_clip, "questions")


def _rows(
    items: QuestionSet,
    name: str,
    predicted: list[str | None],
    scores: npt.NDArray[np.float64],
    right: npt.NDArray[np.float64] | None,
) -> list[dict[str, Any]]:
    """Makes the lines of one protocol for predictions.jsonl."""
    return [
        {
            "id": items.question_ids[question],
            "clip": items.clips[clip].id,
            "kind": items.kinds[question],
            "question": items.questions[question],
            "answer": _said_by_most(items.answers[question]),
            "prediction": predicted[question],
            "right": None if right is None else round(float(right[question]), 4),
            "score": None if predicted[question] is None else score,
            "protocol": name,
        }
        for question, (clip, score) in enumerate(
            zip(items.question_clip.tolist(), scores.round(6).tolist(), strict=True)
        )
    ]


def _said_by_most(annotated: Sequence[str]) -> str | None:
    return Counter(annotated).most_common(1)[0][0] if annotated else None


def _submission(items: QuestionSet, predicted: Mapping[str, list[str | None]]) -> dict[str, Any]:
    """Returns what the VQA v2 evaluation and its server read: a file for each protocol, a row for each question."""
    numbers = all(one.isdecimal() for one in items.question_ids)
    ids = [int(one) if numbers else one for one in items.question_ids]
    return {
        f"submission_{name}.json": [
            {"question_id": id_, "answer": answer or ""} for id_, answer in zip(ids, own, strict=True)
        ]
        for name, own in predicted.items()
    }


def _list_details(listed: AnswerList) -> dict[str, Any]:
    return {"name": listed.name, "sha256": listed.sha256, "size": len(listed.answers)}


def _tie_note(tied: int) -> list[str]:
    if not tied:
        return []
    return [f"{n_questions(tied)} had several best answers with equal losses; the first in the list counted"]


def _ceiling_note(coverage: float, measure: Measure) -> list[str]:
    if coverage == 100:
        return []
    below = math.floor(10 * coverage) / 10  # never rounded up to 100
    return [f"the best answers of the list would have {below:.1f}% {measure.name}; answers by rank cannot exceed it"]
