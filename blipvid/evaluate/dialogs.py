"""The task of dialogs: which of many candidates is the next answer in a dialog about a captioned picture?

Picture and caption are prepared once for all rounds of their dialog. In each round the model scores every candidate at
the end of the true dialog so far. What happens to rounds about pictures that cannot be read (`on_error: skip`): the
right answer is a miss at every K and has the last rank otherwise, and the gain of what is relevant is 0.
"""

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch

from blipvid.core.features import Features
from blipvid.core.protocols import ClipEncoder, DialogRanker, ImageEncoder, LoadClips, Progress, no_progress
from blipvid.core.settings import DialogSettings
from blipvid.core.text import clean_caption, write_dialog
from blipvid.core.types import DialogSet, Result, Runtime
from blipvid.evaluate.features import ClipStream
from blipvid.evaluate.metrics import RECALLS, Ranks, ndcg, rank_own, settle
from blipvid.evaluate.questions import asked_about, of_clips
from blipvid.evaluate.refusals import not_finite, refuse_empty
from blipvid.evaluate.seconds import Seconds
from blipvid.evaluate.share import Share
from blipvid.evaluate.statistics import bootstrap_details, clustered, mean_intervals

Floats = npt.NDArray[np.float64]
Scores = npt.NDArray[np.float32]

LISTED = 10
"""Candidates named in each line of predictions.jsonl, the best first."""

SUBMISSION = "submission.json"
CLUSTERS = "dialogs with all their rounds"


class DialogModel(ImageEncoder, DialogRanker, Protocol):
    """What this task needs of a model."""


def needs(settings: DialogSettings) -> list[tuple[type, ...]]:
    """Returns what a model must be, each a choice of protocols."""
    return [(ImageEncoder, ClipEncoder), (DialogRanker,)]


@torch.inference_mode()
def evaluate_dialogs(
    items: DialogSet,
    model: DialogModel,
    load: LoadClips,
    settings: DialogSettings,
    runtime: Runtime,
    progress: Progress,
    save_scores: bool,
    share: Share,
) -> Result:
    """Evaluates the ranking of candidate answers.

    Args:
        items: V pictures and R rounds.
        model: Has what `needs` names.
        load: Decodes pictures.
        settings: The protocol.
        runtime: Where and how fast.
        progress: Told of rounds that are through.
        save_scores: Whether the result holds the scores.
        share: Which pictures this process does, with all rounds about them.

    Returns:
        Where right answers are annotated, `mrr`, `r1`, `r5`, `r10` in percent and `mean_rank`; where relevance is,
        `ndcg` in percent. Candidates with equal scores share the mean of their ranks. The submission holds the ranks of
        all candidates, from 1, of equal scores the earlier candidate first. Scores, if asked for: `dialog_scores`
        (R, most candidates) float32, nan where there is no candidate or the picture was skipped.

    Raises:
        DataError: No pictures or no rounds.
        DecodeError: See `features.ClipStream.__iter__`.
        BlipvidError: The model gives numbers that are not finite.
        DoneElsewhere: The first process has the result.
    """
    refuse_empty(pictures=items.clips, rounds=items.questions)
    seconds = Seconds()
    scores = np.full((len(items.questions), max(map(len, items.candidates))), np.nan, np.float32)
    rounds = of_clips(items.round_clip, len(items.clips))
    mine, total = asked_about(share.own(len(items.clips)), items.round_clip), len(items.questions)
    through = np.cumsum(np.bincount(items.round_clip[mine], minlength=len(items.clips))).tolist()

    def rank_rounds(clip: int, features: Features) -> None:
        if not len(rounds[clip]):
            return
        caption = clean_caption(items.captions[clip], settings.caption_words)
        memory = model.remember_captioned(features.tokens[0], caption)
        for asked in rounds[clip].tolist():
            told = write_dialog(items.histories[asked], items.questions[asked])
            distinct, place = np.unique(items.candidates[asked], return_inverse=True)  # equal texts have equal scores
            dialogs = [f"{told} {items.listed_answers[answer]}" for answer in distinct.tolist()]
            found = model.score_dialogs(memory, dialogs, settings.dialog_tokens).float().cpu().numpy()
            if not np.isfinite(found).all():
                raise not_finite(f"clip '{items.clips[clip].id}'", "scores of answers")
            scores[asked, : len(place)] = found[place.reshape(-1)]

    progress("ranking", 0, total)
    with ClipStream(items.clips, load, model, settings, runtime, no_progress, share) as clips:
        for clip, features in clips:
            seconds.end("clips")
            rank_rounds(clip, features)
            seconds.end("ranking")
            progress("ranking", through[clip], total)
    progress("ranking", len(mine), total)
    share.fill(mine, [scores])
    share.leave_rest_to_first()

    own = [row[: len(candidates)] for row, candidates in zip(scores, items.candidates, strict=True)]
    ranks = _ranks(own, items)
    columns = _columns(own, ranks, items)
    metrics = {name: float(np.nanmean(column)) for name, column in columns.items()}
    intervals, details = _intervals(columns, items, settings)
    seconds.end("metrics")
    return Result(
        metrics=metrics,
        intervals=intervals,
        predictions=[_row(items, asked, scored, ranks, columns.get("ndcg")) for asked, scored in enumerate(own)],
        skipped=tuple(clips.skipped),
        n_clips=len(items.clips),
        n_items=len(items.questions),
        details={
            "protocols": {"dialog": "rank"},
            "counts": {"all": len(own), "with_relevance": sum(one is not None for one in items.relevance)},
            "ties": {"rounds": {"tied": int(ranks.tied.sum()) if ranks else 0}},
            **details,
            "backends": dict(clips.backends),
            "frame_notes": clips.notes,
            "notes": _notes(items),
            "seconds": seconds.spent,
        },
        scores={"dialog_scores": scores} if save_scores else None,
        submission={SUBMISSION: [_submitted(items, asked, scored) for asked, scored in enumerate(own)]},
    )


def _ranks(scores: list[Scores], items: DialogSet) -> Ranks | None:
    """Ranks the right answer of each round among its candidates; inf where nothing was scored."""
    if (items.right < 0).any():
        return None
    parts = []
    for scored, right in zip(scores, items.right.tolist(), strict=True):
        is_right = (np.arange(len(scored)) == right).astype(np.int64)
        known = np.where(np.isnan(scored), -np.inf, scored)[None]
        parts.append(rank_own(known, np.ones(1, np.int64), is_right, "expected"))
    return Ranks.join(parts)


def _columns(scores: list[Scores], ranks: Ranks | None, items: DialogSet) -> dict[str, Floats]:
    """Returns for each metric its value (R,) in every round, nan in rounds that do not count."""
    columns: dict[str, Floats] = {}
    if ranks is not None:
        settled = settle(ranks.rank, np.array([len(scored) for scored in scores], np.float64))
        columns["mrr"] = 100 / settled
        columns |= {f"r{k}": 100 * (ranks.rank <= k).astype(np.float64) for k in RECALLS}
        columns["mean_rank"] = settled
    if any(one is not None for one in items.relevance):
        columns["ndcg"] = np.array([_gain(*pair) for pair in zip(scores, items.relevance, strict=True)])
    return columns


def _gain(scored: Scores, relevance: Floats | None) -> float:
    if relevance is None:
        return float("nan")
    return 0.0 if np.isnan(scored[0]) else 100 * ndcg(scored, relevance)


def _intervals(
    columns: Mapping[str, Floats], items: DialogSet, settings: DialogSettings
) -> tuple[dict[str, tuple[float, float]], dict[str, Any]]:
    if not settings.bootstrap or not columns:
        return {}, {}
    values = np.stack(list(columns.values()), axis=1)
    bounds = mean_intervals(values, items.round_clip, settings.bootstrap, settings.bootstrap_seed)
    drawn = CLUSTERS if clustered(items.round_clip) else "rounds"
    how = bootstrap_details(settings.bootstrap, settings.bootstrap_seed, dict.fromkeys(columns, drawn))
    return dict(zip(columns, bounds, strict=True)), {"intervals": how}


def _notes(items: DialogSet) -> list[str]:
    notes = []
    dense = sum(one is not None for one in items.relevance)
    if dense:
        notes.append(f"NDCG is over the {dense:,} of {len(items.questions):,} rounds that have dense annotations")
    if (items.right < 0).any():
        notes.append(f"the annotations hold no right answers; the ranks for a server that has them are in {SUBMISSION}")
    return notes


def _row(items: DialogSet, asked: int, scored: Scores, ranks: Ranks | None, gains: Floats | None) -> dict[str, Any]:
    """Makes a line for predictions.jsonl; the rank is None for a miss."""
    clip, number, right = (
        items.clips[items.round_clip[asked]].id,
        int(items.round_number[asked]),
        int(items.right[asked]),
    )
    texts = [items.listed_answers[answer] for answer in items.candidates[asked].tolist()]
    best = [] if np.isnan(scored[0]) else np.argsort(-scored, kind="stable")[:LISTED].tolist()
    row: dict[str, Any] = {"id": f"{clip}#{number}", "clip": clip, "round": number, "question": items.questions[asked]}
    row["answer"] = texts[right] if right >= 0 else None
    row["rank"] = float(ranks.rank[asked]) if ranks is not None and np.isfinite(ranks.rank[asked]) else None
    if gains is not None and not np.isnan(gains[asked]):
        row["ndcg"] = round(float(gains[asked]), 4)
    return row | {"top": [[texts[place], round(float(scored[place]), 6)] for place in best]}


def _submitted(items: DialogSet, asked: int, scored: Scores) -> dict[str, Any]:
    """Makes an entry of the file that the server of VisDial takes. Source: its challenge, format of results."""
    clip = items.clips[items.round_clip[asked]].id
    ranks = np.empty(len(scored), np.int64)
    ranks[np.argsort(-np.nan_to_num(scored), kind="stable")] = np.arange(1, len(scored) + 1)
    return {
        "image_id": int(clip) if clip.isdecimal() else clip,
        "round_id": int(items.round_number[asked]),
        "ranks": ranks.tolist(),
    }
