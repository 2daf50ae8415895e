import numpy as np
import pytest
import torch

from blipvid.core.errors import BlipvidError
from blipvid.core.features import Texts
from blipvid.core.protocols import no_progress
from blipvid.evaluate import rerank
from blipvid.evaluate.rerank import Candidates, Reranker, unite
from blipvid.evaluate.similarity import Similarity
from blipvid.evaluate.store import FeatureStore
from tests.evaluate.replay import Replay

COSINE = np.array([[0.5, 0.25, 0.0], [0.125, 0.5, 0.25]], np.float32)
LOGITS = np.array([[1, 2, 3], [4, 5, 6]], np.float32)


def _rerank(model: Replay, t2v: list[list[int]], v2t: list[list[int]]) -> tuple[Candidates, Candidates, int]:
    with FeatureStore(torch.float32, "cpu", 10**6) as store:
        for clip in range(2):
            store.add(torch.full((3 + clip, 2), float(clip)))
        texts = Texts(torch.tensor([[7, 0], [7, 1], [7, 2]]), torch.ones(3, 2), torch.from_numpy(COSINE.T.copy()))
        similarity = Similarity(torch.eye(2), texts.embeds, np.array([0, 1, 2, 2]), 10**6)  # texts 2 and 3 are equal
        pairs = unite(np.array(t2v), np.array(v2t), similarity.text_row)
        ranker = Reranker(model, store, texts, similarity, ["a", "b"], 10**6)
        return *pairs.candidates(ranker.score(pairs.clip, pairs.text, no_progress)), len(pairs)


@pytest.mark.parametrize("ahead", [1, 2, 16])
def test_each_pair_is_scored_once_and_serves_both_directions(ahead: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rerank, "clips_ahead", lambda device: ahead)
    model = Replay(COSINE, LOGITS)
    t2v, v2t, n_scored = _rerank(model, [[0], [1], [1]], [[3, 0], [2, 3]])
    assert model.remembered == [0, 1]
    assert sorted(model.matched) == [(0, 0), (0, 2), (1, 1), (1, 2)]
    assert n_scored == 4
    np.testing.assert_array_equal(t2v.scores, [[1.5], [5.5], [6.25], [6.25]])
    np.testing.assert_array_equal(v2t.scores, [[3.0, 1.5], [6.25, 6.25]])
    np.testing.assert_array_equal(t2v.rows(slice(0, 3)), [[1.5, -100], [-100, 5.5], [-100, 6.25]])
    np.testing.assert_array_equal(v2t.rows(slice(1, 2)), [[-100, -100, 6.25, 6.25]])


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_scores_that_are_not_finite_name_the_clip(value: float) -> None:
    logits = LOGITS.copy()
    logits[1, 2] = value
    with pytest.raises(BlipvidError, match=r"clip 'b'.*not finite"):
        _rerank(Replay(COSINE, logits), [[0], [1], [1]], [[0], [2]])
