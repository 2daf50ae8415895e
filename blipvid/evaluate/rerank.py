"""Re-scores the candidates of both directions with the matching head, exactly, clip after clip.

A text meets a clip if either direction put it among the candidates; each such pair is scored once and the score
serves both directions. One clip's memory is made once and shared by all its texts.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from blipvid.core.features import Texts
from blipvid.core.protocols import Matcher, Progress
from blipvid.evaluate.refusals import not_finite
from blipvid.evaluate.share import ALONE, Share
from blipvid.evaluate.similarity import Similarity
from blipvid.evaluate.store import FeatureStore

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]

UNRANKED = -100.0
"""Score of a pair that was not re-ranked. Source: salesforce/BLIP eval_retrieval_video.py, `evaluation`."""

WORK_SHARE = 16
LEAST_WORK_BYTES = 2**26


@dataclass(frozen=True, slots=True)
class Candidates:
    """The pairs that a direction scored, sparse; all other cells of its matrix hold UNRANKED.

    Attributes:
        index: (A, k) int64 columns of each row.
        scores: (A, k) float32.
        n_columns: Columns of the full matrix.
    """

    index: Ints
    scores: Floats
    n_columns: int

    def rows(self, part: slice) -> Floats:
        """Returns the full rows (A', n_columns) in a slice."""
        full = np.full((len(self.index[part]), self.n_columns), UNRANKED, np.float32)
        np.put_along_axis(full, self.index[part], self.scores[part], axis=1)
        return full


@dataclass(frozen=True, slots=True)
class Pairs:
    """The pairs of clip and text that either direction asks for, each once, sorted by clip.

    Attributes:
        clip: (P,) int64, out of V.
        text: (P,) int64, out of the U distinct texts.
        t2v_index: (Q, k) clips that each text is to be matched with.
        v2t_index: (V, k') texts, out of Q, that each clip is to be matched with.
        t2v: (Q, k) the pair of each of these.
        v2t: (V, k') likewise.
        n_clips: V.
    """

    clip: Ints
    text: Ints
    t2v_index: Ints
    v2t_index: Ints
    t2v: Ints
    v2t: Ints
    n_clips: int

    def __len__(self) -> int:
        return len(self.clip)

    def candidates(self, scores: Floats) -> tuple[Candidates, Candidates]:
        """Returns both directions, text-to-video first, with the scores (P,) of the pairs."""
        return (
            Candidates(self.t2v_index, scores[self.t2v], self.n_clips),
            Candidates(self.v2t_index, scores[self.v2t], len(self.t2v_index)),
        )


def unite(t2v_index: Ints, v2t_index: Ints, text_row: Ints) -> Pairs:
    """Finds the pairs that either direction asks for.

    Args:
        t2v_index: (U, k) clips that each distinct text is to be matched with.
        v2t_index: (V, k') texts, out of Q, that each clip is to be matched with.
        text_row: (Q,) for each text its distinct text.
    """
    n_clips, n_texts = len(v2t_index), len(t2v_index)
    t2v_keys = t2v_index * n_texts + np.arange(n_texts)[:, None]
    v2t_keys = np.arange(n_clips)[:, None] * n_texts + text_row[v2t_index]
    keys, place = np.unique(np.concatenate([t2v_keys.ravel(), v2t_keys.ravel()]), return_inverse=True)
    t2v, v2t = np.split(place.reshape(-1), [t2v_keys.size])
    clip, text = np.divmod(keys, n_texts)
    of_texts = t2v.reshape(t2v_keys.shape)[text_row]
    return Pairs(clip, text, t2v_index[text_row], v2t_index, of_texts, v2t.reshape(v2t_keys.shape), n_clips)


def work_bytes(memory_bytes: int) -> int:
    """Returns what matching may work in, a part of the budget of the run: 256 MiB of the usual 4 GiB."""
    return max(memory_bytes // WORK_SHARE, LEAST_WORK_BYTES)


def clips_ahead(device: torch.device) -> int:
    """Returns how many clips are handed over before scores are waited for; a GPU then never waits for Python."""
    return 1 if device.type == "cpu" else 16


class Reranker:
    """Scores pairs: matching logit plus cosine, in float32.

    Args:
        model: Matches texts with a clip.
        store: Tokens of the V clips, or of those that are this process' own.
        texts: The U distinct texts.
        similarity: Cosines of the clips and of the texts.
        clip_ids: (V,) for messages.
        memory_bytes: The budget of the run; matching takes `work_bytes` of it.
        share: Brings together what all processes score.
        own: Which of the V clips the store holds, ascending; None is all.

    Source: salesforce/BLIP eval_retrieval_video.py, `evaluation`, which scores both directions apart.
    """

    def __init__(
        self,
        model: Matcher,
        store: FeatureStore,
        texts: Texts,
        similarity: Similarity,
        clip_ids: list[str],
        memory_bytes: int,
        share: Share = ALONE,
        own: Sequence[int] | None = None,
    ) -> None:
        self._model, self._store, self._cosine, self._clip_ids = model, store, similarity.cosine, clip_ids
        self._share = share
        self._place = {clip: place for place, clip in enumerate(range(len(clip_ids)) if own is None else own)}
        self._texts = model.prepare_texts(texts, work_bytes(memory_bytes))

    def score(self, clip: Ints, text: Ints, progress: Progress, stage: str = "re-ranking") -> Floats:
        """Scores pairs clip by clip.

        Args:
            clip: (P,), ascending.
            text: (P,) distinct texts.
            progress: Told of each clip.
            stage: What the work is called there.

        Returns:
            (P,) float32.

        Raises:
            BlipvidError: A score is not finite.
        """
        scores = np.empty(len(clip), np.float32)
        own = np.flatnonzero(np.isin(clip, list(self._place)))
        clips, begins = np.unique(clip[own], return_index=True)
        n_clips = len(np.unique(clip))
        progress(stage, 0, n_clips)
        waiting: list[tuple[int, Ints, torch.Tensor]] = []
        for done, (one, rows) in enumerate(zip(clips.tolist(), np.split(own, begins[1:]), strict=False), start=1):
            memory = self._model.remember(self._store.get(self._place[one]))
            waiting.append((one, rows, self._model.match(memory, self._texts, torch.from_numpy(text[rows]))))
            if len(waiting) < clips_ahead(waiting[0][2].device) and done < len(clips):
                continue
            for scored, places, logits in waiting:
                scores[places] = logits.float().cpu().numpy() + self._cosine[scored, text[places]]
                if not np.isfinite(scores[places]).all():
                    raise not_finite(f"clip '{self._clip_ids[scored]}'", "matching scores")
            waiting.clear()
            progress(stage, done, n_clips)
        self._share.fill(own, [scores])
        return scores
