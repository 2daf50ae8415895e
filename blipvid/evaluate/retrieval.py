"""The retrieval task: clips and texts ranked against each other in both directions, by cosine and then by matching.

What happens to clips that give no frames (`on_error: skip`): they leave the gallery of text-to-video; their texts stay
in the gallery of video-to-text; every query about them, in both directions, is a miss at every K and has the rank after
the last item of the whole gallery in median and mean rank.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch

from blipvid.core.protocols import (
    ClipEncoder,
    ExactMatcher,
    ImageEncoder,
    LoadClips,
    Matcher,
    Progress,
    Retriever,
    TextEncoder,
)
from blipvid.core.settings import RetrievalSettings
from blipvid.core.types import Result, RetrievalSet, Runtime
from blipvid.evaluate.certificate import certify
from blipvid.evaluate.directions import LISTED, Direction, text_to_video, video_to_text
from blipvid.evaluate.features import ClipStream
from blipvid.evaluate.metrics import Ranks, figures
from blipvid.evaluate.refusals import refuse_empty
from blipvid.evaluate.rerank import UNRANKED, Candidates, Floats, Ints, Pairs, Reranker, unite
from blipvid.evaluate.seconds import Seconds
from blipvid.evaluate.share import Share
from blipvid.evaluate.similarity import Similarity
from blipvid.evaluate.statistics import bootstrap_details, clustered, paired_details, rank_intervals
from blipvid.evaluate.store import FeatureStore
from blipvid.evaluate.sweep import recall_by_k
from blipvid.evaluate.texts import encode_texts

CLUSTERS = "clips with all their queries"


def needs(settings: RetrievalSettings) -> list[tuple[type, ...]]:
    """Returns what a model must be, each a choice of protocols; plain cosine needs no matching head."""
    towers: list[tuple[type, ...]] = [(ImageEncoder, ClipEncoder), (TextEncoder,)]
    return [*towers, (Matcher,)] if settings.rerank_top_k else towers


@torch.inference_mode()
def evaluate_retrieval(
    items: RetrievalSet,
    model: Retriever,
    load: LoadClips,
    settings: RetrievalSettings,
    runtime: Runtime,
    progress: Progress,
    save_scores: bool,
    share: Share,
) -> Result:
    """Evaluates text-to-video and video-to-text retrieval.

    Args:
        items: V clips and Q texts.
        model: Has what `needs` names.
        load: Decodes clips.
        settings: The protocol.
        runtime: Where and how fast.
        progress: Told of clips encoded, texts encoded, clips re-ranked.
        save_scores: Whether the result holds dense matrices.
        share: Which clips this process encodes and re-ranks.

    Returns:
        Metrics `t2v_*`, `v2t_*` by the final score and `itc_t2v_*`, `itc_v2t_*` by the cosine alone (equal with
        `rerank_top_k: 0`). Scores, if asked for: `itc` (V,Q), `t2v` (Q,V), `v2t` (V,Q) float32, -100 where a pair was
        not re-ranked or its clip gave no frames.

    Raises:
        DataError: No clips or no texts.
        DecodeError: See `features.ClipStream.__iter__`.
        BlipvidError: The model gives numbers that are not finite, or scratch files have no room.
        DoneElsewhere: The first process has the result.
    """
    refuse_empty(clips=items.clips, texts=items.texts)
    seconds = Seconds()
    kept_as = torch.float32 if runtime.precision == "fp32" else torch.float16
    with FeatureStore(kept_as, runtime.device, runtime.memory_bytes) as store:
        own: dict[int, npt.NDArray[np.float32]] = {}
        with ClipStream(items.clips, load, model, settings, runtime, progress, share) as clips:
            for position, features in clips:
                store.add(features.tokens[0])
                own[position] = features.embeds[0].cpu().numpy()
        kept, embeds = clips.kept, _of_all(own, share)
        own_rows = np.searchsorted(kept, list(own)).tolist()
        seconds.end("clips")
        kept_of_texts = settings.caption_words, settings.text_tokens
        texts, text_row = encode_texts(items.texts, model, *kept_of_texts, progress, share, runtime.device)
        seconds.end("texts")
        similarity = Similarity(embeds, texts.embeds, text_row, runtime.memory_bytes)
        t2v_index, v2t_index = best_candidates(similarity, settings.rerank_top_k or LISTED)
        # machines may differ in the last bit, and with it in what they would ask for
        t2v_index, v2t_index = share.as_first((t2v_index, v2t_index))
        seconds.end("similarity")
        to_video = text_to_video(items, kept)
        to_text = video_to_text(items, kept, best_in_group=settings.v2t_protocol == "best-in-group")
        directions = (to_video, to_text)
        pairs = unite(t2v_index, v2t_index, text_row)
        t2v, v2t = by_cosine = pairs.candidates(similarity.cosine[pairs.clip, pairs.text])
        certificate: dict[str, Any] = {}
        if settings.rerank_top_k:
            clip_ids = [items.clips[clip].id for clip in kept]
            ranker = partial(Reranker, model, store, texts, similarity, clip_ids, runtime.memory_bytes, share, own_rows)
            scores = ranker().score(pairs.clip, pairs.text, progress)
            seconds.end("re-ranking")
            if runtime.precision != "fp32":
                scores, certificate = _certify(model, ranker, pairs, scores, directions, settings, progress)
                seconds.end("certificate")
            t2v, v2t = pairs.candidates(scores)
    share.leave_rest_to_first()

    itc = {
        "t2v": to_video.rank(similarity.of_texts, settings.ties),
        "v2t": to_text.rank(similarity.of_clips, settings.ties),
    }
    final = itc
    if settings.rerank_top_k:
        final = {"t2v": to_video.rank(t2v.rows, settings.ties), "v2t": to_text.rank(v2t.rows, settings.ties)}
    metrics, bounds = _figures(directions, {"": final, "itc_": itc}, settings)
    predictions = [
        *to_video.predictions(t2v, final["t2v"], settings.ties),
        *to_text.predictions(v2t, final["v2t"], settings.ties),
    ]
    curve = {}
    if settings.rerank_top_k:
        curve = _curve(settings.rerank_top_k, directions, by_cosine, (t2v, v2t), metrics, settings.ties)
    seconds.end("metrics")

    details: dict[str, Any] = {
        "score": "matching logit + cosine" if settings.rerank_top_k else "cosine",
        "gallery": {one.name: {"queries": len(one.query_ids), "items": one.n_items} for one in directions},
        "distinct_texts": len(texts),
        "ties": {"rule": settings.ties, **{one.name: _ties(final[one.name]) for one in directions}},
        "features": {"kept_as": str(kept_as).removeprefix("torch.")},
        "backends": dict(clips.backends),
        "frame_notes": clips.notes,
        "seconds": seconds.spent,
    }
    if settings.rerank_top_k:
        details |= _rerank_details(settings.rerank_top_k, t2v, v2t, len(pairs), directions) | certificate
        reranked, by_itc = ("re-ranked", final["t2v"].rank <= 1), ("cosine alone", itc["t2v"].rank <= 1)
        details["paired"] = paired_details("t2v_r1", reranked, by_itc, to_video.query_clip, "texts")
    if settings.bootstrap:
        resampled = {one.name: CLUSTERS if clustered(one.query_clip) else "queries" for one in directions}
        details["intervals"] = bootstrap_details(settings.bootstrap, settings.bootstrap_seed, resampled)
    return Result(
        metrics=metrics,
        intervals=bounds,
        predictions=predictions,
        skipped=tuple(clips.skipped),
        n_clips=len(items.clips),
        n_items=len(items.texts),
        details=details,
        curve=curve,
        scores=_dense(items, kept, similarity, t2v, v2t, bool(settings.rerank_top_k)) if save_scores else None,
    )


def _of_all(own: Mapping[int, npt.NDArray[np.float32]], share: Share) -> torch.Tensor:
    """Returns the embeddings (V', E) that all processes made, in the order of the clips."""
    found = {position: embed for theirs in share.gather(own) for position, embed in theirs.items()}
    return torch.from_numpy(np.stack([found[position] for position in sorted(found)]))


def best_candidates(similarity: Similarity, k: int) -> tuple[Ints, Ints]:
    """Finds the k best clips of each distinct text (U, k) and the k best texts of each clip (V, k'), by cosine.

    k and k' are clipped to the number of clips and of texts.
    """
    (n_clips, n_distinct), n_texts = similarity.cosine.shape, len(similarity.text_row)
    to_video = similarity.best(similarity.of_distinct_texts, n_distinct, n_clips, min(k, n_clips))
    return to_video, similarity.best(similarity.of_clips, n_clips, n_texts, min(k, n_texts))


def _certify(
    model: Retriever,
    ranker: Callable[[], Reranker],
    pairs: Pairs,
    scores: Floats,
    directions: tuple[Direction, Direction],
    settings: RetrievalSettings,
    progress: Progress,
) -> tuple[Floats, dict[str, Any]]:
    """Returns scores that give the ranks of fp32 where the model can be asked for them, and what the record keeps."""
    if not isinstance(model, ExactMatcher):
        return scores, {"certificate": {"note": "the model cannot match in fp32, so its scores stand as they are"}}
    with model.exactly():
        exact = ranker()  # prepares the texts anew, in fp32

        def score(some: Ints) -> Floats:
            return exact.score(pairs.clip[some], pairs.text[some], progress, "checking in fp32")

        surer, certificate = certify(pairs, scores, score, directions, settings.ties)
    return surer, {"certificate": certificate}


def _curve(
    k: int,
    directions: tuple[Direction, Direction],
    by_cosine: tuple[Candidates, Candidates],
    reranked: tuple[Candidates, Candidates],
    itc: Mapping[str, float],
    ties: Literal["expected", "blip"],
) -> dict[str, list[float]]:
    """Returns recall for 0, the cosine alone, to `k` re-ranked candidates, of each direction at each K."""
    curve: dict[str, list[float]] = {"k": [float(n) for n in range(k + 1)]}
    for one, cosine, scored in zip(directions, by_cosine, reranked, strict=True):
        for key, values in recall_by_k(one, scored, cosine.scores, ties).items():
            beyond = values[-1:] * (k - len(values))  # the gallery is no larger
            curve[f"{one.name}_{key}"] = [itc[f"itc_{one.name}_{key}"], *values, *beyond]
    return curve


def _figures(
    directions: Sequence[Direction], ranks: Mapping[str, Mapping[str, Ranks]], settings: RetrievalSettings
) -> tuple[dict[str, float], dict[str, tuple[float, float]]]:
    """Makes metrics and intervals from the ranks by prefix and direction."""
    metrics: dict[str, float] = {}
    bounds: dict[str, tuple[float, float]] = {}
    for prefix, of_prefix in ranks.items():
        for one in directions:
            rank, name = of_prefix[one.name].rank, f"{prefix}{one.name}"
            metrics |= {f"{name}_{key}": value for key, value in figures(rank, one.last).items()}
            if settings.bootstrap:
                found = rank_intervals(rank, one.last, one.query_clip, settings.bootstrap, settings.bootstrap_seed)
                bounds |= {f"{name}_{key}": bound for key, bound in found.items()}
    return metrics, bounds


def _ties(ranks: Ranks) -> dict[str, int]:
    """Counts queries whose rank depends on the tie rule, and those whose own items were all left out of re-ranking."""
    left_out = ranks.best == UNRANKED
    return {"tied": int((ranks.tied & ~left_out).sum()), "own_not_reranked": int(left_out.sum())}


def _rerank_details(
    k: int, t2v: Candidates, v2t: Candidates, n_scored: int, directions: Sequence[Direction]
) -> dict[str, Any]:
    used = {"t2v": t2v.index.shape[1], "v2t": v2t.index.shape[1]}
    asked = t2v.index.size + v2t.index.size
    counted = {"t2v": "clips", "v2t": "texts"}
    notes = [
        f"rerank_top_k {k} is larger than the gallery of {used[one.name]} {counted[one.name]} ({one.name}): "
        "all of it was re-ranked"
        for one in directions
        if used[one.name] < k
    ]
    pairs = {"pairs_asked": asked, "pairs_scored": n_scored, "share": round(n_scored / asked, 4)}
    return {"rerank": {"top_k": k, "used": used, **pairs}, "notes": notes}


def _dense(
    items: RetrievalSet, kept: Ints, similarity: Similarity, t2v: Candidates, v2t: Candidates, reranked: bool
) -> dict[str, npt.NDArray[np.generic]]:
    n_clips, n_texts = len(items.clips), len(items.texts)
    scores = {
        "itc": np.full((n_clips, n_texts), UNRANKED, np.float32),
        "t2v": np.full((n_texts, n_clips), UNRANKED, np.float32),
        "v2t": np.full((n_clips, n_texts), UNRANKED, np.float32),
    }
    scores["itc"][kept] = similarity.of_clips(slice(None))
    if reranked:
        np.put_along_axis(scores["t2v"], kept[t2v.index], t2v.scores, axis=1)
        scores["v2t"][kept] = v2t.rows(slice(None))
    return {**scores}
