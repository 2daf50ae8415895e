import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blipvid.core.settings import RetrievalSettings
from blipvid.core.types import Runtime
from blipvid.evaluate import similarity
from blipvid.evaluate.run import evaluate
from tests.evaluate.replay import Loader, Replay, retrieval_set
from tests.evaluate.test_retrieval import _cases


@settings(max_examples=60, deadline=None)
@given(_cases(), st.sampled_from([1, 10**6]))
def test_every_point_is_what_an_evaluation_with_so_many_candidates_gives(case: dict, cells: int) -> None:
    """Ties in cosine and score, equal captions, clips without texts, broken clips, galleries smaller than k."""
    most = max(1, case["k"])
    items = retrieval_set(case["text_clip"], len(case["cosine"]), case["captions"])

    def run(k: int):
        said = RetrievalSettings(
            bootstrap=0,
            on_error="skip",
            rerank_top_k=k,
            ties=case["ties"],
            v2t_protocol=case["v2t_protocol"],
        )
        model = Replay(case["cosine"], case["logits"])
        return evaluate(items, model, Loader(case["broken"]), said, Runtime())

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(similarity, "CHUNK_CELLS", cells)
        curve = run(most).curve
    assert curve["k"] == list(range(most + 1))
    for k in range(most + 1):
        metrics = run(k).metrics
        for name, values in curve.items():
            if name != "k":
                assert values[k] == pytest.approx(metrics[name]), (name, k)


def test_one_text_by_hand() -> None:
    cosine = np.array([[0.3], [0.2], [0.1]])
    logits = np.array([[0.0], [1.0], [0.5]])
    said = RetrievalSettings(bootstrap=0, rerank_top_k=3)
    found = evaluate(retrieval_set([1], 3), Replay(cosine, logits), Loader(), said, Runtime())
    # second by cosine; among one candidate it ties with clip 2 behind clip 0, rank 2.5; then matching puts it first
    assert found.curve["t2v_r1"] == [0.0, 0.0, 100.0, 100.0]
    assert found.curve["v2t_r1"] == [100.0] * 4


def test_without_reranking_there_is_no_curve() -> None:
    found = evaluate(
        retrieval_set([0], 1), Replay([[0.5]], [[1]]), Loader(), RetrievalSettings(rerank_top_k=0), Runtime()
    )
    assert not found.curve
