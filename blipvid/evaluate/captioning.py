"""The task of captioning: what a model says of each clip, how near that comes to what people said, a file to hand in.

Clips stream through. Those that fit together are captioned together, and then nothing of them is kept but the words.
A clip that gives no frames (`on_error: skip`) has an empty caption, and is scored with it.
"""

import hashlib
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch

from blipvid.core.errors import DataError
from blipvid.core.features import Answer
from blipvid.core.protocols import Captioner, ClipEncoder, ImageEncoder, LoadClips, Progress, no_progress
from blipvid.core.settings import CaptionSettings
from blipvid.core.types import CaptionSet, Clip, Result, Runtime
from blipvid.evaluate.captions.bleu import bleu
from blipvid.evaluate.captions.scores import CaptionScores, score_captions
from blipvid.evaluate.features import ClipStream
from blipvid.evaluate.refusals import not_finite, refuse_empty
from blipvid.evaluate.seconds import Seconds
from blipvid.evaluate.share import Share
from blipvid.evaluate.statistics import Bounds, bootstrap_details, cluster_bootstrap, mean_intervals

TOKENS_AT_ONCE = 2**13
"""Tokens of clips that are captioned together: 14 pictures or one clip of 8 frames at 384 px, whose keys and values in
twelve layers of width 768 take 600 MB in fp32. A clip of more tokens is captioned alone."""

SUBMISSION = "submission.json"
NOTHING_SCORED = f"no captions are annotated, so nothing is scored; {SUBMISSION} is to be handed in"
CIDER_OF_ONE = "CIDEr of one clip is 0 by definition, as words weigh by how few of the clips have them; of one clip: {}"


class CaptioningModel(ImageEncoder, Captioner, Protocol):
    """What this task needs of a model."""


def needs(settings: CaptionSettings) -> list[tuple[type, ...]]:
    """Returns what a model must be, each a choice of protocols."""
    return [(ImageEncoder, ClipEncoder), (Captioner,)]


class Captions:
    """Captions clips, as many together as there is room for.

    Args:
        clips: V clips.
        model: Captions them.
        settings: How captions are written.

    Attributes:
        found: (V,) captions, None where there is none yet.
    """

    def __init__(self, clips: Sequence[Clip], model: Captioner, settings: CaptionSettings) -> None:
        self._clips, self._model, self._settings = clips, model, settings
        self._waiting: list[tuple[int, torch.Tensor]] = []
        self.found = np.full(len(clips), None, np.object_)

    def add(self, position: int, tokens: torch.Tensor) -> None:
        """Takes the tokens (1, N*T, D) of one clip; captions those that wait where it does not fit among them.

        Raises:
            BlipvidError: The model gives numbers that are not finite.
        """
        if self._waiting:
            shape = self._waiting[0][1].shape
            if tokens.shape != shape or (len(self._waiting) + 1) * shape[1] > TOKENS_AT_ONCE:
                self.finish()
        self._waiting.append((position, tokens))

    def finish(self) -> None:
        """Captions the clips that are still waiting.

        Raises:
            BlipvidError: The model gives numbers that are not finite.
        """
        if not self._waiting:
            return
        positions, tokens = zip(*self._waiting, strict=True)
        self._waiting.clear()
        seeds = [seed_of(self._settings.seed, self._clips[position].id) for position in positions]
        written = self._model.caption(torch.cat(tokens), self._settings, seeds)
        for position, (best, *_) in zip(positions, written, strict=True):
            if not math.isfinite(best.score):
                raise not_finite(f"clip '{self._clips[position].id}'", "scores of captions")
            self.found[position] = best


def seed_of(seed: int, clip_id: str) -> int:
    """Returns what chance begins from for one clip: it depends on seed and clip alone, not on order or process."""
    return int.from_bytes(hashlib.sha256(f"{seed}:{clip_id}".encode()).digest()[:7], "big")


@torch.inference_mode()
def evaluate_captioning(
    items: CaptionSet,
    model: CaptioningModel,
    load: LoadClips,
    settings: CaptionSettings,
    runtime: Runtime,
    progress: Progress,
    save_scores: bool,
    share: Share,
) -> Result:
    """Evaluates captions.

    Args:
        items: V clips, with captions to compare with or without any.
        model: Has what `needs` names.
        load: Decodes clips.
        settings: How captions are written.
        runtime: Where and how fast.
        progress: Told of clips captioned.
        save_scores: There is nothing dense to save.
        share: Which clips this process captions.

    Returns:
        Where there are references the metrics of `captions.scores.score_captions`, percent, over all clips and, as
        `METRIC_KIND`, over the clips of each kind as a set of their own. Always the captions in the form that the
        evaluation servers of COCO and NoCaps take.

    Raises:
        DataError: No clips, or references for some of them only.
        DecodeError: See `features.ClipStream.__iter__`.
        BlipvidError: The model gives numbers that are not finite.
        DoneElsewhere: The first process has the result.
    """
    scored = _has_references(items)
    seconds = Seconds()
    captions, own = Captions(items.clips, model, settings), share.own(len(items.clips))
    progress("captioning", 0, len(items.clips))
    with ClipStream(items.clips, load, model, settings, runtime, no_progress, share) as clips:
        for position, features in clips:
            seconds.end("clips")
            captions.add(position, features.tokens)
            seconds.end("captions")
            progress("captioning", own.index(position) + 1, len(items.clips))
    captions.finish()
    seconds.end("captions")
    progress("captioning", len(own), len(items.clips))
    share.fill(own, [captions.found])
    share.leave_rest_to_first()
    written: list[Answer | None] = captions.found.tolist()
    texts, kinds = ["" if caption is None else caption.text for caption in written], _places_of_kinds(items)
    counts = {**{kind: len(places) for kind, places in kinds.items()}, "all": len(items.clips)}
    details: dict[str, Any] = {
        "protocols": {"caption": _how(settings)},
        "counts": counts if kinds else {},
        "references": sum(map(len, items.references)),
        "distinct_captions": len(set(texts) - {""}),
        "notes": _notes(counts) if scored else [NOTHING_SCORED],
    }
    metrics: dict[str, float] = {}
    intervals: dict[str, Bounds] = {}
    of_clip: Mapping[str, npt.NDArray[np.float64]] = {}
    if scored:
        found = score_captions(texts, items.references, list(kinds.values()), progress, settings.java_metrics)
        of_clip, details["not_computed"] = found.per_item, dict(found.not_computed)
        metrics, intervals = _figures(found, list(kinds), settings)
        if intervals:
            details["intervals"] = bootstrap_details(settings.bootstrap, settings.bootstrap_seed, {"captions": "clips"})
    seconds.end("metrics")
    details |= {"backends": dict(clips.backends), "frame_notes": clips.notes, "seconds": seconds.spent}
    return Result(
        metrics=metrics,
        intervals=intervals,
        predictions=_rows(items, written, of_clip),
        skipped=tuple(clips.skipped),
        n_clips=len(items.clips),
        n_items=len(items.clips),
        details=details,
        submission={SUBMISSION: _submission(items.ids, texts)},
    )


def _has_references(items: CaptionSet) -> bool:
    refuse_empty(clips=items.clips)
    without = [clip.id for clip, own in zip(items.clips, items.references, strict=True) if not own]
    if without and len(without) < len(items.clips):
        raise DataError(
            f"{len(without):,} of {len(items.clips):,} clips have no captions to compare with, the first is "
            f"'{without[0]}'; annotate them or leave them out."
        )
    return not without


def _notes(counts: Mapping[str, int]) -> list[str]:
    """Returns what a reader of the figures should know; `counts` are the clips of each kind and of all."""
    alone = [kind for kind, count in counts.items() if count == 1]
    return [CIDER_OF_ONE.format(", ".join(alone))] if alone else []


def _figures(
    found: CaptionScores, kinds: Sequence[str], settings: CaptionSettings
) -> tuple[dict[str, float], dict[str, Bounds]]:
    """Returns metrics and intervals over all clips, then over those of each kind."""
    metrics, intervals = dict(found.metrics), _intervals(found, settings)
    for kind, scores in zip(kinds, found.subsets, strict=True):
        metrics |= {f"{name}_{kind}": value for name, value in scores.metrics.items()}
        intervals |= {f"{name}_{kind}": bounds for name, bounds in _intervals(scores, settings).items()}
    return metrics, intervals


def _intervals(found: CaptionScores, settings: CaptionSettings) -> dict[str, Bounds]:
    """Returns the intervals of BLEU and of the metrics that are means over clips; METEOR has none."""
    if not settings.bootstrap:
        return {}
    n, drawing = len(found.bleu_statistics), (settings.bootstrap, settings.bootstrap_seed)
    of_bleu = cluster_bootstrap(lambda times: 100 * bleu(times @ found.bleu_statistics), n, n, *drawing)
    of_means = mean_intervals(np.stack(list(found.per_item.values()), axis=1), np.arange(n), *drawing)
    names = [name for name in found.metrics if name.startswith("bleu")]
    return dict(zip([*names, *found.per_item], [*of_bleu, *of_means], strict=True))


def _how(settings: CaptionSettings) -> str:
    if settings.search == "nucleus":
        return "nucleus"
    return "beam" if settings.beams > 1 else "greedy"


def _places_of_kinds(items: CaptionSet) -> dict[str, list[int]]:
    """Returns the places of the clips of each kind, the commonest first; nothing where clips have no kinds."""
    return {
        kind: [place for place, own in enumerate(items.kinds) if own == kind]
        for kind, _ in Counter(items.kinds).most_common()
        if kind
    }


def _submission(ids: Sequence[str], texts: Sequence[str]) -> list[dict[str, Any]]:
    numbers = all(own_id.isdecimal() for own_id in ids)
    return [
        {"image_id": int(own_id) if numbers else own_id, "caption": text}
        for own_id, text in zip(ids, texts, strict=True)
    ]


def _rows(
    items: CaptionSet, captions: Sequence[Answer | None], of_clip: Mapping[str, npt.NDArray[np.float64]]
) -> list[dict[str, Any]]:
    """Makes the lines for predictions.jsonl."""
    return [
        {
            "id": items.ids[position],
            "clip": clip.id,
            **({"kind": kind} if kind else {}),
            "prediction": caption.text if caption else None,
            "references": list(references),
            "score": round(caption.score, 6) if caption else None,
            "metrics": {name: round(float(values[position]), 4) for name, values in of_clip.items()},
        }
        for position, (clip, kind, references, caption) in enumerate(
            zip(items.clips, items.kinds, items.references, captions, strict=True)
        )
    ]
