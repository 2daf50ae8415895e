import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from blipvid.core.errors import DataError, DecodeError
from blipvid.core.settings import RetrievalSettings
from blipvid.core.types import Result, RetrievalSet, Runtime
from blipvid.evaluate import similarity
from blipvid.evaluate.run import evaluate
from tests.evaluate.official import fold, rank_one, rerank_one_by_one
from tests.evaluate.replay import Loader, Replay, retrieval_set
from tests.load_goldens import Goldens


def _evaluate(
    items: RetrievalSet,
    model: Replay,
    broken: Sequence[int] = (),
    runtime: Runtime | None = None,
    progress: Any = None,
    **given_settings: Any,
) -> Result:
    said = RetrievalSettings(**{"bootstrap": 0, "on_error": "skip" if broken else "stop", **given_settings})
    more = {"progress": progress} if progress else {}
    return evaluate(items, model, Loader(broken), said, runtime or Runtime(), save_scores=True, **more)


@st.composite
def _cases(draw: st.DrawFn) -> dict[str, Any]:
    """Small worlds with ties in the cosine and in the scores, equal captions, clips without texts, broken clips."""
    n_clips, n_texts, n_captions = draw(st.integers(1, 6)), draw(st.integers(1, 9)), draw(st.integers(1, 9))
    cells = n_clips * n_captions
    cosine = draw(st.lists(st.integers(-8, 8), min_size=cells, max_size=cells))
    logits = draw(st.lists(st.sampled_from([-1.5, 0.0, 0.25, 2.0]), min_size=cells, max_size=cells))
    broken = draw(st.sets(st.integers(0, n_clips - 1), max_size=n_clips - 1))
    return {
        "cosine": np.array(cosine, np.float32).reshape(n_clips, n_captions) / 8,
        "logits": np.array(logits, np.float32).reshape(n_clips, n_captions),
        "captions": draw(st.lists(st.integers(0, n_captions - 1), min_size=n_texts, max_size=n_texts)),
        "text_clip": draw(st.lists(st.integers(0, n_clips - 1), min_size=n_texts, max_size=n_texts)),
        "broken": sorted(broken),
        "k": draw(st.integers(0, 10)),
        "ties": draw(st.sampled_from(["expected", "blip"])),
        "v2t_protocol": draw(st.sampled_from(["best-in-group", "any-text"])),
    }


def _recalls(ranks: list[float], last: int) -> dict[str, float]:
    settled = [last if rank == float("inf") else rank for rank in ranks]
    recalls = {f"r{k}": 100 * sum(rank <= k for rank in ranks) / len(ranks) for k in (1, 5, 10)}
    return {**recalls, "mdr": float(np.median(settled)), "mnr": sum(settled) / len(settled)}


def _slow(case: dict[str, Any]) -> tuple[dict[str, float], dict[str, np.ndarray]]:
    """The whole task written plainly: full matrices, one pair at a time, one rank at a time."""
    n_clips, text_clip, k, ties = len(case["cosine"]), case["text_clip"], case["k"], case["ties"]
    kept = [v for v in range(n_clips) if v not in case["broken"]]
    itc, logits = case["cosine"][kept][:, case["captions"]], case["logits"][kept][:, case["captions"]]
    by_itc = {"v2t": itc, "t2v": itc.T}
    ranked = {name: rerank_one_by_one(by_itc[name], full, k) for name, full in (("v2t", logits), ("t2v", logits.T))}
    metrics: dict[str, float] = {}
    for prefix, scores in (("", ranked if k else by_itc), ("itc_", by_itc)):
        to_video = [
            rank_one(row.tolist(), [kept.index(clip)] if clip in kept else [], ties)
            for row, clip in zip(scores["t2v"], text_clip, strict=True)
        ]
        metrics |= {f"{prefix}t2v_{key}": value for key, value in _recalls(to_video, n_clips + 1).items()}
        to_text = []
        for clip in sorted(set(text_clip)):
            row, groups = (scores["v2t"][kept.index(clip)].tolist(), text_clip) if clip in kept else ([], [])
            if row and case["v2t_protocol"] == "best-in-group":
                row, groups = fold(row, groups)
            to_text.append(rank_one(row, [i for i, group in enumerate(groups) if group == clip], ties))
        last = 1 + (len(set(text_clip)) if case["v2t_protocol"] == "best-in-group" else len(text_clip))
        metrics |= {f"{prefix}v2t_{key}": value for key, value in _recalls(to_text, last).items()}
    dense = {"itc": np.full((n_clips, len(text_clip)), -100.0)}
    dense["v2t"], dense["t2v"] = dense["itc"].copy(), dense["itc"].T.copy()
    dense["itc"][kept] = itc
    if k:
        dense["v2t"][kept], dense["t2v"][:, kept] = ranked["v2t"], ranked["t2v"]
    return metrics, dense


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(_cases(), st.sampled_from([1, 10, 10**6]), st.sampled_from([0, 10**6]))
def test_equals_the_plain_double_loop(
    monkeypatch: pytest.MonkeyPatch, case: dict[str, Any], cells: int, memory_bytes: int
) -> None:
    monkeypatch.setattr(similarity, "CHUNK_CELLS", cells)
    model = Replay(case["cosine"], case["logits"])
    items = retrieval_set(case["text_clip"], len(case["cosine"]), case["captions"])
    found = _evaluate(
        items,
        model,
        case["broken"],
        Runtime(batch_size=3, memory_bytes=memory_bytes),
        rerank_top_k=case["k"],
        ties=case["ties"],
        v2t_protocol=case["v2t_protocol"],
    )
    metrics, dense = _slow(case)
    assert dict(found.metrics) == pytest.approx(metrics)
    assert found.scores is not None
    for name, expected in dense.items():
        assert found.scores[name].dtype == np.float32
        np.testing.assert_array_equal(found.scores[name], expected, err_msg=name)
    assert len(set(model.matched)) == len(model.matched)
    assert len(set(model.remembered)) == len(model.remembered)
    assert found.n_clips == len(case["cosine"])
    assert [one.clip_id for one in found.skipped] == [f"clip{v}" for v in case["broken"]]
    if case["k"]:
        assert found.details["rerank"]["pairs_scored"] == len(model.matched)
    ranks = [one["rank"] for one in found.predictions if one["direction"] == "t2v"]
    settled = [len(case["cosine"]) + 1 if rank is None else rank for rank in ranks]
    assert np.mean(settled) == pytest.approx(metrics["t2v_mnr"])


@settings(max_examples=30, deadline=None)
@given(_cases(), st.randoms(use_true_random=False))
def test_the_order_of_clips_and_texts_does_not_matter(case: dict[str, Any], random: Any) -> None:
    """Under the tie rule `expected` with all items as candidates, or none; a tie for the last place has an order."""
    k = random.choice([0, 100])
    n_clips, n_texts = len(case["cosine"]), len(case["text_clip"])
    clips, texts = random.sample(range(n_clips), n_clips), random.sample(range(n_texts), n_texts)
    said = {"rerank_top_k": k, "v2t_protocol": case["v2t_protocol"]}
    first = _evaluate(
        retrieval_set(case["text_clip"], n_clips, case["captions"]), Replay(case["cosine"], case["logits"]), **said
    )
    second = _evaluate(
        retrieval_set(
            [clips.index(case["text_clip"][q]) for q in texts], n_clips, [case["captions"][q] for q in texts]
        ),
        Replay(case["cosine"][clips], case["logits"][clips]),
        **said,
    )
    assert dict(first.metrics) == pytest.approx(dict(second.metrics))


def _close(found: Result, direction: str, recorded: dict[str, float], prefix: str, recalls: Sequence[int]) -> None:
    for k in recalls:
        assert found.metrics[f"{direction}_r{k}"] == pytest.approx(recorded[f"{prefix}_r{k}"], abs=1e-9)


@pytest.mark.parametrize("ties", ["expected", "blip"])
def test_recorded_video_retrieval(goldens: Goldens, ties: str) -> None:
    case = goldens["video_retrieval"]
    recorded, values = case.tensors("outputs"), case.meta["values"]
    cosine = recorded["sims_v2t"].numpy()
    logits = recorded["full_score_v2t"].numpy() - cosine
    np.testing.assert_allclose(recorded["full_score_t2v"].numpy().T - cosine, logits, atol=1e-5)
    items = retrieval_set(range(12), 12)

    found = _evaluate(items, Replay(cosine, logits), rerank_top_k=case.config["k_test"], ties=ties)
    assert found.scores is not None
    np.testing.assert_allclose(found.scores["itc"], cosine, atol=1e-6)
    for name in ("v2t", "t2v"):
        np.testing.assert_allclose(found.scores[name], recorded[f"score_{name}"].numpy(), atol=1e-5)
    sure = (1, 5, 10) if ties == "blip" else (1, 5)  # at K > k the recording depends on the order of ties
    _close(found, "v2t", values["metrics"], "txt", sure)
    _close(found, "t2v", values["metrics"], "vid", sure)
    if ties == "blip":
        assert found.metrics["t2v_mdr"] == values["metrics"]["vid_mdR"]
    unranked = [int((recorded[f"score_{name}"].diag() == -100).sum()) for name in ("t2v", "v2t")]
    assert min(unranked) > 0
    assert [found.details["ties"][name]["own_not_reranked"] for name in ("t2v", "v2t")] == unranked

    full = _evaluate(items, Replay(cosine, logits), rerank_top_k=12, ties=ties)
    _close(full, "v2t", values["full_metrics"], "txt", (1, 5, 10))
    _close(full, "t2v", values["full_metrics"], "vid", (1, 5, 10))
    assert full.metrics["t2v_mdr"] == values["full_metrics"]["vid_mdR"]
    assert full.details["rerank"]["share"] == 0.5
    # two ranks of the official program add up their matrices, so its cells are shifted; the same cells are scored
    assert (found.scores["v2t"] == -100).tolist() == (recorded["world2_score_v2t"] == -200).tolist()


@pytest.mark.parametrize("ties", ["expected", "blip"])
def test_recorded_image_retrieval_with_several_captions(goldens: Goldens, ties: str) -> None:
    case = goldens["image_retrieval"]
    recorded, values = case.tensors("outputs"), case.meta["values"]
    cosine = recorded["sims_i2t"].numpy()
    logits = recorded["kmax_score_t2i"].numpy().T - cosine
    counts = [len(own) for own in case.meta["texts"]["captions_per_image"]]
    items = retrieval_set(np.repeat(np.arange(7), counts).tolist(), 7)
    for k, prefix in ((case.config["k_test"], ""), (values["kmax"], "kmax_")):
        found = _evaluate(items, Replay(cosine, logits), rerank_top_k=k, ties=ties, v2t_protocol="any-text")
        assert found.scores is not None
        np.testing.assert_allclose(found.scores["v2t"], recorded[f"{prefix}score_i2t"].numpy(), atol=1e-5)
        np.testing.assert_allclose(found.scores["t2v"], recorded[f"{prefix}score_t2i"].numpy(), atol=1e-5)
        sure = {number for number in (1, 5, 10) if number <= k}
        _close(found, "v2t", values[f"{prefix}metrics"], "txt", sorted(sure))
        _close(found, "t2v", values[f"{prefix}metrics"], "img", sorted(sure | ({5, 10} if k == 7 else set())))


# three clips; clip 0 has texts 0 and 1, clip 1 has text 2, clip 2 has text 3
COSINE = np.array([[0.75, 0.5, 0.25, 0.0], [0.5, 0.25, 0.5, 0.0], [0.25, 0.75, 0.0, 0.5]], np.float32)
LOGITS = np.array([[0, 4, 0, 0], [2, 0, 4, 0], [0, 0, 0, 4]], np.float32)
ITEMS = retrieval_set([0, 0, 1, 2], 3)


def test_predictions_by_hand() -> None:
    found = _evaluate(ITEMS, Replay(COSINE, LOGITS), rerank_top_k=2)
    assert json.loads(json.dumps(found.predictions)) == [
        {"direction": "t2v", "query": "text0", "target": "clip0", "rank": 2, "top": [["clip1", 2.5], ["clip0", 0.75]]},
        {"direction": "t2v", "query": "text1", "target": "clip0", "rank": 1, "top": [["clip0", 4.5], ["clip2", 0.75]]},
        {"direction": "t2v", "query": "text2", "target": "clip1", "rank": 1, "top": [["clip1", 4.5], ["clip0", 0.25]]},
        {"direction": "t2v", "query": "text3", "target": "clip2", "rank": 1, "top": [["clip2", 4.5], ["clip0", 0.0]]},
        {
            "direction": "v2t",
            "query": "clip0",
            "target": ["text0", "text1"],
            "rank": 1,
            "top": [["text1", 4.5], ["text0", 0.75]],
        },
        {"direction": "v2t", "query": "clip1", "target": ["text2"], "rank": 1, "top": [["text2", 4.5], ["text0", 2.5]]},
        {
            "direction": "v2t",
            "query": "clip2",
            "target": ["text3"],
            "rank": 1,
            "top": [["text3", 4.5], ["text1", 0.75]],
        },
    ]
    assert found.n_items == 4
    assert found.metrics["itc_t2v_r1"] == 75.0  # text1 goes to clip 2 by cosine; matching mends it and spoils text0
    assert found.metrics["t2v_r1"] == 75.0
    paired = found.details["paired"]
    assert (paired["gained"], paired["lost"], paired["p"]) == (1, 1, 1.0)
    assert "independent" in paired["note"]


def test_what_the_record_keeps() -> None:
    found = _evaluate(ITEMS, Replay(COSINE, LOGITS), rerank_top_k=5, bootstrap=50)
    assert found.details["rerank"] == {
        "top_k": 5,
        "used": {"t2v": 3, "v2t": 4},
        "pairs_asked": 24,
        "pairs_scored": 12,
        "share": 0.5,
    }
    assert found.details["notes"] == [
        "rerank_top_k 5 is larger than the gallery of 3 clips (t2v): all of it was re-ranked",
        "rerank_top_k 5 is larger than the gallery of 4 texts (v2t): all of it was re-ranked",
    ]
    assert found.details["gallery"] == {"t2v": {"queries": 4, "items": 3}, "v2t": {"queries": 3, "items": 3}}
    assert found.details["backends"] == {"even": 2, "odd": 1}
    assert found.details["frame_notes"] == [{"note": "counted", "clips": 1, "first": ["clip1"]}]
    assert set(found.details["seconds"]) == {"clips", "texts", "similarity", "re-ranking", "metrics"}
    assert found.details["intervals"]["resampled"] == {"t2v": "clips with all their queries", "v2t": "queries"}
    assert set(found.intervals) == set(found.metrics)
    for name, (low, high) in found.intervals.items():
        assert low <= found.metrics[name] <= high
    json.dumps(found.details)


def test_cosine_alone() -> None:
    found = _evaluate(ITEMS, Replay(COSINE, LOGITS), rerank_top_k=0)
    assert found.details["score"] == "cosine"
    assert "paired" not in found.details
    assert found.predictions[1]["top"] == [["clip2", 0.75], ["clip0", 0.5], ["clip1", 0.25]]
    for name in ("t2v_r1", "v2t_mnr"):
        assert found.metrics[name] == found.metrics[f"itc_{name}"]
    assert found.details["ties"]["t2v"] == {"tied": 0, "own_not_reranked": 0}
    assert found.details["ties"]["v2t"] == {"tied": 1, "own_not_reranked": 0}  # clip 1: its text and text 0


def test_ties_are_counted_apart() -> None:
    cosine = np.array([[0.5, 0.25, 0.25], [0.5, 0.5, 0.5], [0.25, 0.75, 0.75]], np.float32)
    found = _evaluate(retrieval_set([0, 1, 0], 3), Replay(cosine, np.zeros((3, 3))), rerank_top_k=2)
    # text 0: clips 0 and 1 tie; text 1: clip 2 before clip 1; text 2: its clip 0 is not among the two best
    assert found.details["ties"]["t2v"] == {"tied": 1, "own_not_reranked": 1}
    assert [one["rank"] for one in found.predictions[:3]] == [1.5, 2, 3]


def test_a_skipped_clip_costs_its_queries_and_its_place_in_the_gallery() -> None:
    found = _evaluate(ITEMS, Replay(COSINE, LOGITS), broken=[0], rerank_top_k=2)
    assert found.metrics["t2v_r10"] == 50.0
    assert found.metrics["t2v_mnr"] == (4 + 4 + 1 + 1) / 4
    assert found.metrics["v2t_r10"] == pytest.approx(200 / 3)
    assert found.predictions[0]["rank"] is None
    assert [item for item, _ in found.predictions[0]["top"]] == ["clip1", "clip2"]
    missed = next(one for one in found.predictions if one["query"] == "clip0")
    assert (missed["rank"], missed["top"], missed["target"]) == (None, [], ["text0", "text1"])
    others = next(one for one in found.predictions if one["query"] == "clip1")
    assert "text0" in [item for item, _ in others["top"]]  # its texts stay in the other gallery
    assert found.details["gallery"]["t2v"] == {"queries": 4, "items": 2}
    assert (found.n_clips, [one.clip_id for one in found.skipped]) == (3, ["clip0"])


def test_broken_clips_stop_the_run_by_default() -> None:
    with pytest.raises(DecodeError, match=r"0\.mp4"):
        _evaluate(ITEMS, Replay(COSINE, LOGITS), broken=[0], on_error="stop")


@pytest.mark.parametrize(("text_clip", "n_clips"), [([], 3), ([], 0)])
def test_an_empty_set_is_said(text_clip: list[int], n_clips: int) -> None:
    with pytest.raises(DataError, match="the set is empty"):
        _evaluate(retrieval_set(text_clip, n_clips), Replay(COSINE, LOGITS))


def test_progress_and_chunks_of_texts() -> None:
    n = 300
    generator = np.random.default_rng(0)
    cosine, logits = generator.normal(size=(2, 3, n)).astype(np.float32)
    told: list[tuple[str, int, int]] = []
    items = retrieval_set((np.arange(n) % 3).tolist(), 3, [*range(n - 1), 0])  # the last text repeats the first
    _evaluate(items, Replay(cosine, logits), progress=lambda *report: told.append(report))
    stages = ["encoding clips", "encoding texts", "re-ranking"]
    assert list(dict.fromkeys(stage for stage, _, _ in told)) == stages
    for stage, total in zip(stages, (3, n - 1, 3), strict=True):
        steps = [(done, of) for name, done, of in told if name == stage]
        assert steps[0] == (0, total)
        assert steps[-1] == (total, total)
        assert steps == sorted(steps)


def test_half_precision_is_kept_in_half_the_room() -> None:
    exact = _evaluate(ITEMS, Replay(COSINE, LOGITS))
    half = _evaluate(ITEMS, Replay(COSINE, LOGITS), runtime=Runtime(precision="bf16"))
    assert exact.metrics == half.metrics  # the replayed tokens are small whole numbers
