"""Re-scores the candidates of both directions with the matching head, exactly, clip after clip.

A text meets a clip if either direction put it among the candidates; each such pair is scored once and the score
serves both directions. One clip's memory is made once and shared by all its texts.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from blipvid.core.errors import BlipvidError
from blipvid.core.features import Texts
from blipvid.core.protocols import Matcher, Progress
from blipvid.evaluate.similarity import Similarity
from blipvid.evaluate.store import FeatureStore

UNRANKED = -100.0
"""Score of a pair that was not re-ranked. Source: salesforce/BLIP eval_retrieval_video.py, `evaluation`."""


@dataclass(frozen=True, slots=True)
class Candidates:
    """The pairs that a direction scored, sparse; all other cells of its matrix hold UNRANKED.

    Attributes:
        index: (A, k) int64 columns of each row.
        scores: (A, k) float32.
        n_columns: Columns of the full matrix.
    """

    index: npt.NDArray[np.int64]
    scores: npt.NDArray[np.float32]
    n_columns: int

    def rows(self, part: slice) -> npt.NDArray[np.float32]:
        """Returns the full rows (A', n_columns) in a slice."""
        full = np.full((len(self.index[part]), self.n_columns), UNRANKED, np.float32)
        np.put_along_axis(full, self.index[part], self.scores[part], axis=1)
        return full

    def take(self, rows: npt.NDArray[np.int64]) -> "Candidates":
        """Returns the candidates of some rows, in that order."""
        return Candidates(self.index[rows], self.scores[rows], self.n_columns)


def rerank(
    model: Matcher,
    store: FeatureStore,
    texts: Texts,
    similarity: Similarity,
    t2v_index: npt.NDArray[np.int64],
    v2t_index: npt.NDArray[np.int64],
    clip_ids: list[str],
    progress: Progress,
) -> tuple[Candidates, Candidates, int]:
    """Scores the union of the candidates of both directions.

    The score is the matching logit plus the cosine, in float32.

    Args:
        model: Matches texts with a clip.
        store: Tokens of the V clips.
        texts: The U distinct texts.
        similarity: Cosines of the clips and of the Q texts.
        t2v_index: (U, k) clips that each distinct text is to be matched with.
        v2t_index: (V, k') texts, out of Q, that each clip is to be matched with.
        clip_ids: (V,) for messages.
        progress: Told of each clip.

    Returns:
        t2v over the U distinct texts, v2t over the V clips, and the number of pairs scored.

    Raises:
        BlipvidError: A score is not finite.

    Source: salesforce/BLIP eval_retrieval_video.py, `evaluation`, which scores both directions apart.
    """
    n_clips, n_texts = similarity.cosine.shape
    t2v_keys = t2v_index * n_texts + np.arange(n_texts)[:, None]
    v2t_keys = np.arange(n_clips)[:, None] * n_texts + similarity.text_row[v2t_index]
    pairs, place = np.unique(np.concatenate([t2v_keys.ravel(), v2t_keys.ravel()]), return_inverse=True)
    clip_of, text_of = np.divmod(pairs, n_texts)
    begin = np.searchsorted(clip_of, np.arange(n_clips + 1))

    scores = np.empty(len(pairs), np.float32)
    progress("re-ranking", 0, n_clips)
    for clip in range(n_clips):
        own = slice(begin[clip], begin[clip + 1])
        rows = torch.from_numpy(text_of[own]).to(texts.ids.device)
        logits = model.match(model.remember(store.get(clip)), texts.take(rows)).float().cpu().numpy()
        scores[own] = logits + similarity.cosine[clip, text_of[own]]
        if not np.isfinite(scores[own]).all():
            raise BlipvidError(
                f"clip '{clip_ids[clip]}': the matching head gives scores that are not finite; "
                "try precision fp32, and check the checkpoint."
            )
        progress("re-ranking", clip + 1, n_clips)

    t2v = scores[place[: t2v_keys.size]].reshape(t2v_keys.shape)
    v2t = scores[place[t2v_keys.size :]].reshape(v2t_keys.shape)
    return Candidates(t2v_index, t2v, n_clips), Candidates(v2t_index, v2t, len(similarity.text_row)), len(pairs)
