"""The task of pairs: is a sentence true of two pictures?

Each picture is encoded once, however many pairs it stands in, and forgotten after the last of them: where the pairs of
one picture stand near each other, as in NLVR2, only a few are kept at any time, and never more than fit the budget,
beyond which they lie in a file. Pairs of which a picture cannot be read (`on_error: skip`) count as judged wrongly.
"""

from collections.abc import Sequence
from itertools import groupby
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch

from blipvid.core.features import Features
from blipvid.core.protocols import ClipEncoder, ImageEncoder, LoadClips, PairJudge, Progress, no_progress
from blipvid.core.settings import PairSettings
from blipvid.core.text import clean_caption, exchange_sides
from blipvid.core.types import PairSet, Result, Runtime
from blipvid.evaluate.features import ClipStream
from blipvid.evaluate.refusals import not_finite, refuse_empty
from blipvid.evaluate.seconds import Seconds
from blipvid.evaluate.share import Share
from blipvid.evaluate.statistics import bootstrap_details, clustered, mean_intervals
from blipvid.evaluate.store import FeatureStore

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

TRUE = 1
"""Index of "true" in the two-way classifier. Source: salesforce/BLIP models/blip_nlvr.py."""

JUDGED_TOGETHER = 32
"""Pairs that the text tower reads at once, as soon as both pictures of each are there."""

CLUSTERS = "groups of pairs that share pictures or sentences"


class JudgingModel(ImageEncoder, PairJudge, Protocol):
    """What this task needs of a model."""


def needs(settings: PairSettings) -> list[tuple[type, ...]]:
    """Returns what a model must be, each a choice of protocols."""
    return [(ImageEncoder, ClipEncoder), (PairJudge,)]


class Judgement:
    """Judges pairs as soon as both of their pictures are there, and forgets pictures of which no pair is left.

    Args:
        items: V pictures and P pairs.
        model: Judges.
        settings: Which order pictures are shown in, and how much is kept of the sentences.
        store: Holds the tokens of pictures that pairs still wait for.

    Attributes:
        turned: (P,) bool, pairs that are shown the other way round.
        logits: (P, 2) float32, nan where a pair was not judged.
    """

    def __init__(self, items: PairSet, model: PairJudge, settings: PairSettings, store: FeatureStore) -> None:
        self._items, self._model, self._settings, self._store = items, model, settings, store
        self.turned = turned_pairs(len(items.sentences), settings)
        self._shown = np.where(self.turned[:, None], items.pairs[:, ::-1], items.pairs)
        cleaned = [clean_caption(sentence, settings.sentence_words) for sentence in items.sentences]
        self._said = [
            exchange_sides(one) if turned else one for one, turned in zip(cleaned, self.turned.tolist(), strict=True)
        ]
        self.logits = np.full((len(cleaned), 2), np.nan, np.float32)
        self._complete = _by_value(items.pairs.max(axis=1), len(items.clips))
        self._leaving = _by_value(_last_partner(items), len(items.clips))
        self._place: dict[int, int] = {}  # picture -> where the store holds it
        self._met, self._seen = 0, 0
        self._ready: list[int] = []

    def take(self, picture: int, features: Features) -> None:
        """Takes in the next picture and judges the pairs that have waited for it, once they are enough."""
        self._store.add(features.tokens[0])
        self._place[picture] = self._seen
        self._seen += 1
        self._ready += [pair for pair in self._complete[picture] if {*self._shown[pair].tolist()} <= self._place.keys()]
        if len(self._ready) >= JUDGED_TOGETHER:
            self.judge_ready(picture)

    def judge_ready(self, until: int) -> None:
        """Judges all pairs that are ready; then forgets pictures of which no pair comes after picture `until`.

        Raises:
            BlipvidError: A logit is not finite.
        """
        ready = sorted(self._ready, key=lambda pair: tuple(self._shown[pair].tolist()))
        self._ready = []
        about = [list(own) for _, own in groupby(ready, key=lambda pair: tuple(self._shown[pair].tolist()))]
        about.sort(key=len)
        for _, alike in groupby(about, key=len):  # sentences about the same two pictures meet one memory
            self._judge(list(alike))
        for passed in range(self._met, until + 1):
            for picture in self._leaving[passed]:
                if (place := self._place.pop(picture, None)) is not None:
                    self._store.drop(place)
        self._met = until + 1

    def _judge(self, alike: Sequence[Sequence[int]]) -> None:
        for start in range(0, len(alike), JUDGED_TOGETHER):
            some = alike[start : start + JUDGED_TOGETHER]
            pictures = self._shown[[own[0] for own in some]]
            first, second = (
                torch.stack([self._store.get(self._place[v]) for v in side.tolist()]) for side in pictures.T
            )
            pairs = [pair for own in some for pair in own]
            said = [self._said[pair] for pair in pairs]
            found = self._model.judge_pairs(first, second, said, self._settings.sentence_tokens).float().cpu().numpy()
            wrong = ~np.isfinite(found).all(axis=1)
            if wrong.any():
                pair = self._items.pair_ids[pairs[int(np.argmax(wrong))]]
                raise not_finite(f"pair '{pair}'", "logits")
            self.logits[pairs] = found


@torch.inference_mode()
def evaluate_judging(
    items: PairSet,
    model: JudgingModel,
    load: LoadClips,
    settings: PairSettings,
    runtime: Runtime,
    progress: Progress,
    save_scores: bool,
    share: Share,
) -> Result:
    """Evaluates the judgement of sentences about two pictures.

    Args:
        items: V pictures and P pairs.
        model: Has what `needs` names.
        load: Decodes pictures.
        settings: The protocol.
        runtime: Where and how fast.
        progress: Told of pictures that are through.
        save_scores: Whether the result holds the logits.
        share: Which pictures this process looks at, with the pairs they stand in.

    Returns:
        Metric `accuracy`, percent. Of equal logits the sentence counts as judged false. Scores, if asked for:
        `pair_logits` (P,2) float32, false and true, nan for pairs of skipped pictures.

    Raises:
        DataError: No pictures or no pairs.
        DecodeError: See `features.ClipStream.__iter__`.
        BlipvidError: The model gives numbers that are not finite, or scratch files have no room.
        DoneElsewhere: The first process has the result.
    """
    refuse_empty(pictures=items.clips, pairs=items.sentences)
    seconds = Seconds()
    own = own_pictures(items, share)
    progress("judging", 0, len(items.clips))
    with (
        FeatureStore(torch.float32, runtime.device, runtime.memory_bytes) as store,
        ClipStream(items.clips, load, model, settings, runtime, no_progress, share, own) as clips,
    ):
        judgement = Judgement(items, model, settings, store)
        for done, (picture, features) in enumerate(clips, start=1):
            seconds.end("clips")
            judgement.take(picture, features)
            seconds.end("judging")
            progress("judging", done, len(items.clips))
        judgement.judge_ready(len(items.clips) - 1)
        seconds.end("judging")
    progress("judging", len(own), len(items.clips))
    share.fill(np.flatnonzero(np.isin(items.pairs[:, 0], own)), [judgement.logits])
    share.leave_rest_to_first()

    judged = ~np.isnan(judgement.logits[:, TRUE])
    said_true = judgement.logits[:, TRUE] > judgement.logits[:, 1 - TRUE]
    right = judged & (said_true == items.right)
    intervals, details = _interval(right, items, settings)
    seconds.end("metrics")
    return Result(
        metrics={"accuracy": 100 * float(right.mean())},
        intervals=intervals,
        predictions=_rows(items, judgement, said_true, right),
        skipped=tuple(clips.skipped),
        n_clips=len(items.clips),
        n_items=len(items.sentences),
        details={
            "protocols": {"pairs": "judge"},
            "counts": {"all": len(right), "true": int(items.right.sum())},
            "turned": int(judgement.turned.sum()),
            **details,
            "backends": dict(clips.backends),
            "frame_notes": clips.notes,
            "notes": _notes(items, judgement.logits),
            "seconds": seconds.spent,
        },
        scores={"pair_logits": judgement.logits} if save_scores else None,
    )


def own_pictures(items: PairSet, share: Share) -> Sequence[int]:
    """Returns the pictures that this process looks at, ascending: those that meet in any pair belong to one process."""
    if share.count == 1:
        return range(len(items.clips))
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    n, (first, second) = len(items.clips), items.pairs.T
    meet = coo_array((np.ones(len(first)), (first, second)), shape=(n, n))
    n_groups, group = connected_components(meet, directed=False)
    own: list[int] = np.flatnonzero(np.isin(group, share.own(n_groups))).tolist()
    return own


def turned_pairs(n_pairs: int, settings: PairSettings) -> Bools:
    """Returns (P,) bool, which pairs are shown the other way round; the first pairs of a set are turned like all."""
    if settings.order == "fixed":
        return np.zeros(n_pairs, np.bool_)
    # parity: the released code does so in evaluation too, unseeded (tests/evaluate/test_judging.py)
    return np.random.default_rng(settings.order_seed).random(n_pairs) > 0.5


def _by_value(values: Ints, n: int) -> list[list[int]]:
    """Returns for each number below n the places at which it stands."""
    order = np.argsort(values, kind="stable")
    return [own.tolist() for own in np.split(order, np.searchsorted(values[order], np.arange(1, n)))]


def _last_partner(items: PairSet) -> Ints:
    """Returns for each picture the later one of it and all pictures that it is paired with."""
    last = np.arange(len(items.clips))
    for side in (0, 1):
        np.maximum.at(last, items.pairs[:, side], items.pairs[:, 1 - side])
    return last


def _interval(
    right: Bools, items: PairSet, settings: PairSettings
) -> tuple[dict[str, tuple[float, float]], dict[str, Any]]:
    if not settings.bootstrap:
        return {}, {}
    percent = 100 * right[:, None].astype(np.float64)
    (bounds,) = mean_intervals(percent, items.group, settings.bootstrap, settings.bootstrap_seed)
    drawn = CLUSTERS if clustered(items.group) else "pairs"
    how = bootstrap_details(settings.bootstrap, settings.bootstrap_seed, {"accuracy": drawn})
    return {"accuracy": bounds}, {"intervals": how}


def _notes(items: PairSet, logits: npt.NDArray[np.float32]) -> list[str]:
    share = float(items.right.mean())
    word = "true" if share >= 0.5 else "false"
    notes = [f"whoever always says {word} is right of {100 * max(share, 1 - share):.1f}% of the pairs"]
    if tied := int((logits[:, 0] == logits[:, 1]).sum()):
        notes.append(f"{tied:,} pairs had equal logits; they count as judged false")
    return notes


def _rows(items: PairSet, judgement: Judgement, said_true: Bools, right: Bools) -> list[dict[str, Any]]:
    """Makes the lines for predictions.jsonl; `score` is the probability that the sentence is true."""
    rows: list[dict[str, Any]] = []
    surely = torch.from_numpy(judgement.logits).double().softmax(1)[:, TRUE].tolist()
    for pair, pictures in enumerate(items.pairs.tolist()):
        judged = not np.isnan(surely[pair])
        rows.append(
            {
                "id": items.pair_ids[pair],
                "clips": [items.clips[picture].id for picture in pictures],
                "sentence": items.sentences[pair],
                "turned": bool(judgement.turned[pair]),
                "label": bool(items.right[pair]),
                "prediction": bool(said_true[pair]) if judged else None,
                "score": round(surely[pair], 6) if judged else None,
                "right": bool(right[pair]),
            }
        )
    return rows
