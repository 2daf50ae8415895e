"""The task of multiple choice about clips: each question has options of its own, one of them right.

`choose_by: rank` reads the question and asks the answer decoder which option is likeliest; `match` puts the option
behind the question and asks a retrieval model which text matches the clip best. Questions about clips that give no
frames (`on_error: skip`) count as answered wrongly.
"""

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch

from blipvid.core.features import Features
from blipvid.core.protocols import (
    Answerer,
    ClipEncoder,
    ImageEncoder,
    LoadClips,
    Matcher,
    Progress,
    Retriever,
    TextEncoder,
)
from blipvid.core.settings import ChoiceSettings
from blipvid.core.types import ChoiceSet, Result, Runtime
from blipvid.evaluate.accuracy import accuracies
from blipvid.evaluate.questions import (
    QuestionReader,
    asked_about,
    n_questions,
    of_clips,
    visit_clips,
)
from blipvid.evaluate.refusals import not_finite, refuse_empty
from blipvid.evaluate.rerank import work_bytes
from blipvid.evaluate.seconds import Seconds
from blipvid.evaluate.share import Share
from blipvid.evaluate.texts import encode_texts

Ints = npt.NDArray[np.int64]
Scores = npt.NDArray[np.float32]


class ChoosingModel(Retriever, Answerer, Protocol):
    """A model that can choose either way; one way is enough."""


def needs(settings: ChoiceSettings) -> list[tuple[type, ...]]:
    """Returns what a model must be, each a choice of protocols."""
    pictures: tuple[type, ...] = (ImageEncoder, ClipEncoder)
    return [pictures, (Answerer,)] if settings.choose_by == "rank" else [pictures, (TextEncoder,), (Matcher,)]


class RankOptions:
    """Scores options by minus the loss of the answer decoder.

    Args:
        items: The questions and their options.
        model: Reads and scores.
        settings: Words and word pieces to keep.
        seconds: Told of the time that reading takes.

    Attributes:
        columns: (Q,) each, what is known of the questions.
    """

    def __init__(self, items: ChoiceSet, model: Answerer, settings: ChoiceSettings, seconds: Seconds) -> None:
        self._items, self._model, self._seconds = items, model, seconds
        self._reader = QuestionReader(items, model, settings, asked_with=items.options)
        self.columns = self._reader.columns

    def score(self, clip: int, features: Features, scores: Scores) -> None:
        """Fills the rows of all questions about a clip."""
        options = self._items.options
        distinct = dict.fromkeys(
            option for question in self._reader.distinct(clip).tolist() for option in options[question]
        )
        if not distinct:
            return
        row = {option: place for place, option in enumerate(distinct)}
        table = self._model.list_answers(list(distinct))
        for portion, states in self._reader.read(clip, features.tokens[0]):
            self._seconds.end("questions")
            own = [[row[option] for option in options[question]] for question in portion.tolist()]
            most = max(map(len, own))
            # columns beyond a question's own options repeat its first one and are left out of what is kept
            index = torch.tensor([rows + rows[:1] * (most - len(rows)) for rows in own])
            losses = self._model.score_answers(states, table, index).losses
            if not losses.isfinite().all():
                raise not_finite(f"clip '{self._items.clips[clip].id}'", "losses of options")
            for question, rows, found in zip(portion.tolist(), own, -losses.float().cpu().numpy(), strict=True):
                scores[question, : len(rows)] = found[: len(rows)]

    def finish(self, scores: Scores) -> tuple[Scores, dict[str, Any]]:
        """Returns the rows of every question, equal ones included, and what the record keeps."""
        details = self._reader.details()
        if not any(self._items.questions):
            details["notes"].append("there are no questions; options are ranked after an empty one")
        return scores[self._reader.first], details


class MatchOptions:
    """Scores options by matching logit + cosine of question and option with the clip.

    Args:
        items: The questions and their options.
        model: Encodes and matches.
        settings: Words and word pieces to keep.
        runtime: Where texts go.
        progress: Told of texts encoded.
        share: Which texts this process encodes.

    Attributes:
        columns: Nothing is known of questions besides the scores of their options.
    """

    def __init__(
        self,
        items: ChoiceSet,
        model: Retriever,
        settings: ChoiceSettings,
        runtime: Runtime,
        progress: Progress,
        share: Share,
    ) -> None:
        self._items, self._model = items, model
        self.columns: list[npt.NDArray[Any]] = []
        texts = [
            f"{question} {option}".strip()
            for question, options in zip(items.questions, items.options, strict=True)
            for option in options
        ]
        kept = settings.caption_words, settings.text_tokens
        self._texts, row = encode_texts(texts, model, *kept, progress, share, runtime.device)
        self._prepared = model.prepare_texts(self._texts, work_bytes(runtime.memory_bytes))
        self._rows = np.split(row, np.cumsum([len(options) for options in items.options])[:-1])
        self._asked = of_clips(items.question_clip, len(items.clips))
        self._kept = f"{settings.caption_words} words and {settings.text_tokens} word pieces"

    def score(self, clip: int, features: Features, scores: Scores) -> None:
        """Fills the rows of all questions about a clip."""
        asked = self._asked[clip].tolist()
        if not asked:
            return
        rows, place = np.unique(np.concatenate([self._rows[question] for question in asked]), return_inverse=True)
        memory, chosen = self._model.remember(features.tokens[0]), torch.from_numpy(rows)
        embeds = self._texts.embeds[chosen.to(self._texts.embeds.device)]
        cosine = embeds @ features.embeds[0].to(embeds.device)
        of_texts = (self._model.match(memory, self._prepared, chosen).float() + cosine).cpu().numpy()
        if not np.isfinite(of_texts).all():
            raise not_finite(f"clip '{self._items.clips[clip].id}'", "matching scores")
        ends = np.cumsum([len(self._rows[question]) for question in asked])
        for question, own in zip(asked, np.split(of_texts[place.reshape(-1)], ends[:-1]), strict=True):
            scores[question, : len(own)] = own

    def finish(self, scores: Scores) -> tuple[Scores, dict[str, Any]]:
        """Returns the rows of every question and what the record keeps."""
        return scores, {"distinct_texts": len(self._texts), "notes": self._merged_note()}

    def _merged_note(self) -> list[str]:
        """Says how many questions have different options that the model cannot tell apart."""
        ids = (self._texts.ids * self._texts.mask).cpu().numpy()
        alike = np.unique(ids, axis=0, return_inverse=True)[1].reshape(-1)
        n = sum(
            len(set(alike[rows].tolist())) < len(set(options))
            for rows, options in zip(self._rows, self._items.options, strict=True)
        )
        merged = f"{n_questions(n)} had options that became the same text, cleaned and cut to {self._kept}"
        return [f"{merged}; of these only the first can be chosen"] if n else []


@torch.inference_mode()
def evaluate_choosing(
    items: ChoiceSet,
    model: ChoosingModel,
    load: LoadClips,
    settings: ChoiceSettings,
    runtime: Runtime,
    progress: Progress,
    save_scores: bool,
    share: Share,
) -> Result:
    """Evaluates multiple choice.

    Args:
        items: V clips and Q questions with their options.
        model: Has what `needs` names.
        load: Decodes clips.
        settings: The protocol.
        runtime: Where and how fast.
        progress: Told of questions answered; under `match` of texts encoded before.
        save_scores: Whether the result holds the scores of all options.
        share: Which clips this process does, with all questions about them.

    Returns:
        Metrics `choice_accuracy` and the same by kind, percent. Of options with equal scores the earlier one is chosen.
        Scores, if asked for: `choice_scores` (Q, most options) float32, higher is better, nan where there is no option
        or the clip was skipped.

    Raises:
        DataError: No clips or no questions.
        DecodeError: See `features.ClipStream.__iter__`.
        BlipvidError: The model gives numbers that are not finite.
        DoneElsewhere: The first process has the result.
    """
    refuse_empty(clips=items.clips, questions=items.questions)
    seconds = Seconds()
    way: RankOptions | MatchOptions
    if settings.choose_by == "rank":
        way = RankOptions(items, model, settings, seconds)
    else:
        way = MatchOptions(items, model, settings, runtime, progress, share)
    seconds.end("texts")
    scores = np.full((len(items.questions), max(map(len, items.options))), np.nan, np.float32)

    def answer(clip: int, features: Features) -> None:
        way.score(clip, features, scores)
        seconds.end(settings.choose_by)

    clips = visit_clips(items, load, model, settings, runtime, progress, seconds, answer, share)
    share.fill(asked_about(share.own(len(items.clips)), items.question_clip), [scores, *way.columns])
    share.leave_rest_to_first()
    scores, kept = way.finish(scores)
    chosen = np.where(np.isnan(scores), -np.inf, scores).argmax(axis=1)
    chosen[np.isnan(scores[:, 0])] = -1
    right = chosen == items.right
    tied = _tied(scores, items.options)
    found = accuracies({"choice_accuracy": right}, items, settings)
    seconds.end("metrics")
    details: dict[str, Any] = {
        "protocols": {"choice": settings.choose_by},
        **found.details,
        "chance": {"all": float(np.mean([100 / len(options) for options in items.options]))},
        **kept,
        "ties": {"best": tied},
        "backends": dict(clips.backends),
        "frame_notes": clips.notes,
        "seconds": seconds.spent,
    }
    if tied:
        details["notes"].append(
            f"{n_questions(tied)} had several best options with equal scores; the first of them counted"
        )
    return Result(
        metrics=found.metrics,
        intervals=found.intervals,
        predictions=_rows(items, chosen, scores),
        skipped=tuple(clips.skipped),
        n_clips=len(items.clips),
        n_items=len(items.questions),
        details=details,
        scores={"choice_scores": scores} if save_scores else None,
    )


def _tied(scores: Scores, options: Sequence[Sequence[str]]) -> int:
    """Counts the questions whose best score is shared by options that differ as annotated."""
    best = scores == np.fmax.reduce(scores, axis=1, keepdims=True)  # nan, no score, equals nothing
    shared = np.flatnonzero(best.sum(axis=1) > 1).tolist()
    return sum(len({options[question][k] for k in np.flatnonzero(best[question]).tolist()}) > 1 for question in shared)


def _rows(items: ChoiceSet, chosen: Ints, scores: Scores) -> list[dict[str, Any]]:
    """Makes the lines for predictions.jsonl; `chosen` is -1 where nothing was."""
    return [
        {
            "id": items.question_ids[question],
            "clip": items.clips[clip].id,
            "kind": items.kinds[question],
            "question": items.questions[question],
            "options": list(options),
            "answer": options[right],
            "prediction": options[choice] if choice >= 0 else None,
            "score": round(float(scores[question, choice]), 6) if choice >= 0 else None,
            "right": choice == right,
        }
        for question, (clip, options, right, choice) in enumerate(
            zip(items.question_clip.tolist(), items.options, items.right.tolist(), chosen.tolist(), strict=True)
        )
    ]
