import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from blipvid.core.errors import BlipvidError, DataError, DecodeError
from blipvid.core.features import Answer, QuestionStates, RankedAnswers
from blipvid.core.settings import AnsweringSettings
from blipvid.core.text import clean_question
from blipvid.core.types import AnswerList, QuestionSet, Result, Runtime
from blipvid.evaluate import answering, questions
from blipvid.evaluate.answers import VQA, normalise
from blipvid.evaluate.run import evaluate
from tests.evaluate.echo import WORDS, Echo, clips
from tests.evaluate.replay import Loader

TEXTS = ("Who is it?", "who is it?", "What (really) is the man there doing?", "what now", "How many dogs are there")
BOTH = ("generate", "rank")


def question_set(
    texts: Sequence[str],
    question_clip: Sequence[int],
    answers: Sequence[str | Sequence[str]],
    n_clips: int,
    listed: Sequence[str] | None = WORDS,
) -> QuestionSet:
    """Makes a set whose kinds are the first words of the questions; answers of one annotator each are mere text."""
    return QuestionSet(
        clips=clips(n_clips),
        questions=tuple(texts),
        question_ids=tuple(f"q{q}" for q in range(len(texts))),
        question_clip=np.array(question_clip, np.int64),
        kinds=tuple(text.split()[0].lower() for text in texts),
        answers=tuple((own,) if isinstance(own, str) else tuple(own) for own in answers),
        answer_list=None if listed is None else AnswerList("words.txt", tuple(listed), "5ha"),
    )


def _evaluate(items: QuestionSet, model: Echo | None = None, broken: Sequence[int] = (), **said: Any) -> Result:
    given_settings = AnsweringSettings(**{"bootstrap": 0, "on_error": "skip" if broken else "stop", **said})
    loader = Loader(broken, n_frames=(2, 1))
    return evaluate(items, model or Echo(), loader, given_settings, Runtime(batch_size=3), save_scores=True)


@st.composite
def _cases(draw: st.DrawFn) -> dict[str, Any]:
    """Small worlds with equal questions, clips without questions, broken clips, cut questions and equal losses."""
    n_clips, n = draw(st.integers(1, 4)), draw(st.integers(1, 12))
    return {
        "n_clips": n_clips,
        "texts": draw(st.lists(st.sampled_from(TEXTS), min_size=n, max_size=n)),
        "question_clip": draw(st.lists(st.integers(0, n_clips - 1), min_size=n, max_size=n)),
        "answers": draw(st.lists(st.sampled_from(WORDS), min_size=n, max_size=n)),
        "listed": draw(st.lists(st.sampled_from(WORDS), min_size=1, unique=True)),
        "broken": sorted(draw(st.sets(st.integers(0, n_clips - 1), max_size=n_clips - 1))),
        "settings": {
            "answer_by": draw(st.sampled_from([("generate",), ("rank",), BOTH])),
            "answer_top_k": draw(st.integers(0, 8)),
            "question_words": draw(st.sampled_from([3, 50])),
            "question_tokens": draw(st.sampled_from([5, 35])),
            "question_mask": draw(st.sampled_from(["padding", "ones"])),
            "question_batch": draw(st.integers(1, 5)),
        },
    }


def _one_by_one(case: dict[str, Any]) -> tuple[dict[str, list[Any]], np.ndarray, np.ndarray]:
    """The whole task written plainly: batches in the order of the set, each question read and answered alone."""
    said, model, n = AnsweringSettings(**case["settings"]), Echo(), len(case["texts"])
    cleaned = [clean_question(text, said.question_words) for text in case["texts"]]
    k = min(said.answer_top_k or len(case["listed"]), len(case["listed"]))
    found: dict[str, list[Any]] = {"generate": [None] * n, "rank": [None] * n}
    losses, candidates = np.full((n, k), np.inf, np.float32), np.full((n, k), -1)
    for start in range(0, n, said.question_batch):
        batch = range(start, min(start + said.question_batch, n))
        longest = max(min(len(cleaned[q].split()) + 2, said.question_tokens) for q in batch)
        for q in batch:
            if case["question_clip"][q] in case["broken"]:
                continue
            ones = said.question_mask == "ones"
            states = model.read_questions(
                case["question_clip"][q], [cleaned[q]], said.question_tokens, longest if ones else None
            )
            ranked = model.rank_answers(states, tuple(case["listed"]), k)
            losses[q], candidates[q] = ranked.losses[0], ranked.index[0]
            loss, best = min(zip(losses[q].tolist(), candidates[q].tolist(), strict=True))
            found["rank"][q] = (case["listed"][best], -loss)
            if ones:
                states = QuestionStates(states.states, torch.ones(1, longest), states.cut)
            answer = model.generate_answers(states, said.beams, said.answer_max_tokens, said.answer_min_tokens)[0][0]
            found["generate"][q] = (answer.text, answer.score)
    return found, losses, candidates


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(_cases(), st.sampled_from([1, 80, 10**4]))
def test_equals_question_by_question(monkeypatch: pytest.MonkeyPatch, case: dict[str, Any], at_once: int) -> None:
    monkeypatch.setattr(questions, "TOKENS_AT_ONCE", at_once)
    items = question_set(case["texts"], case["question_clip"], case["answers"], case["n_clips"], case["listed"])
    model = Echo()
    found = _evaluate(items, model, case["broken"], **case["settings"])
    expected, losses, candidates = _one_by_one(case)

    for protocol in case["settings"]["answer_by"]:
        rows = [row for row in found.predictions if row["protocol"] == protocol]
        assert [row["id"] for row in rows] == list(items.question_ids)
        assert [row["score"] is None for row in rows] == [one is None for one in expected[protocol]]
        assert [(row["prediction"], row["score"]) for row in rows] == [
            one or (None, None) for one in expected[protocol]
        ]
        answers = [one[0] if one else None for one in expected[protocol]]
        right = [own == true for own, (true,) in zip(answers, items.answers, strict=True)]
        vqa = [
            own is not None and normalise(own) == normalise(true)
            for own, (true,) in zip(answers, items.answers, strict=True)
        ]
        for prefix, hits in (("", right), ("vqa_", vqa)):
            assert found.metrics[f"{prefix}{protocol}_accuracy"] == pytest.approx(100 * np.mean(hits))
            for kind in set(items.kinds):
                of_kind = [hit for hit, own in zip(hits, items.kinds, strict=True) if own == kind]
                assert found.metrics[f"{prefix}{protocol}_accuracy_{kind}"] == pytest.approx(100 * np.mean(of_kind))
    if "rank" in case["settings"]["answer_by"]:
        assert found.scores is not None
        np.testing.assert_array_equal(found.scores["rank_neg_logprob"], losses)
        np.testing.assert_array_equal(found.scores["rank_candidates"], candidates)
        assert (found.scores["rank_neg_logprob"].dtype, found.scores["rank_candidates"].dtype) == (np.float32, np.int64)
        assert model.lists == [tuple(case["listed"])]
        answered = np.isfinite(losses).all(axis=1)
        tied = sum(sorted(own)[1:2] == sorted(own)[:1] for own in losses[answered].tolist())
        assert found.details["ties"] == {"rank": tied}
        assert any("equal losses" in note for note in found.details["notes"]) == (tied > 0)
    else:
        assert found.scores is None

    assert len(set(model.reads)) == len(model.reads)
    assert len(set(model.remembered)) == len(model.remembered)
    assert max(model.portions, default=0) <= max(1, at_once // case["settings"]["question_tokens"])
    assert found.n_items == len(items.questions)
    assert [one.clip_id for one in found.skipped] == [f"clip{v}" for v in case["broken"]]


def test_one_clip_with_many_questions_is_remembered_once(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [f"what is number {number % 900}" for number in range(1000)]
    model, told = Echo(), []
    items = question_set([*texts, "who"], [1] * 1000 + [0], ["dog"] * 1001, 3)
    evaluate(items, model, Loader(), AnsweringSettings(bootstrap=0), Runtime(), lambda *report: told.append(report))
    assert model.remembered == [0, 1]  # clip 2 has no questions
    assert sum(model.portions) == 901
    assert max(model.portions) == questions.TOKENS_AT_ONCE // 35
    assert {stage for stage, _, _ in told} == {"answering"}
    assert [done for _, done, _ in told] == [0, 1, 1001, 1001, 1001]
    assert {total for _, _, total in told} == {1001}


def test_both_protocols_share_the_reading() -> None:
    model = Echo()
    _evaluate(question_set(TEXTS, [0, 0, 1, 1, 0], ["dog"] * 5, 2), model, answer_by=BOTH)
    assert len(model.reads) == 4  # the first two are equal once cleaned


def test_what_the_record_keeps() -> None:
    items = question_set(TEXTS, [0, 1, 1, 1, 0], ["dog", "dog", "bird", "two", "2"], 3)
    found = _evaluate(items, answer_by=BOTH, question_tokens=6, bootstrap=40)
    details = found.details
    assert details["protocols"] == {"generate": "generate", "rank": "rank:words.txt"}
    assert details["counts"] == {"who": 2, "what": 2, "how": 1, "all": 5}
    assert details["answer_list"] == {"name": "words.txt", "sha256": "5ha", "size": 7, "coverage": 80.0}
    assert details["commonest"] == {"all": 80.0, "who": 100.0, "what": 50.0, "how": 100.0}
    assert details["questions_cut"] == 2
    tied = details["ties"]["rank"]
    assert tied > 1
    assert details["notes"] == [
        "2 questions were cut to 6 word pieces",
        f"{tied} questions had several best answers with equal losses; the first in the list counted",
        "the best answers of the list would have 80.0% exact match; answers by rank cannot exceed it",
    ]
    predicted = {name: [row["prediction"] for row in found.predictions if row["protocol"] == name] for name in BOTH}
    assert details["distinct_answers"] == {name: len(set(own)) for name, own in predicted.items()}
    assert details["backends"] == {"even": 2, "odd": 1}
    assert details["frame_notes"] == [{"note": "counted", "clips": 1, "first": ["clip1"]}]
    assert list(details["seconds"]) == ["lists", "clips", "questions", "generate", "rank", "metrics"]
    assert set(details["intervals"]["resampled"].values()) == {"clips with all their questions"}
    right = {name: [own == true for own, (true,) in zip(predicted[name], items.answers, strict=True)] for name in BOTH}
    gained = sum(ours and not theirs for ours, theirs in zip(right["generate"], right["rank"], strict=True))
    paired = details["paired"]
    assert (paired["metric"], paired["ours"], paired["theirs"]) == ("generate_accuracy", "generate", "rank")
    assert paired["gained"] == gained
    assert "the questions of one clip" in paired["note"]
    assert set(found.intervals) == set(found.metrics)
    for name, (low, high) in found.intervals.items():
        assert low <= found.metrics[name] <= high
    assert list(found.metrics)[:5] == [
        "generate_accuracy",
        "generate_accuracy_who",
        "generate_accuracy_what",
        "generate_accuracy_how",
        "rank_accuracy",
    ]
    assert list(found.metrics)[8] == "vqa_generate_accuracy"
    json.dumps([details, found.predictions])


def test_one_protocol_alone() -> None:
    items = question_set(TEXTS, [0, 1, 1, 1, 0], WORDS[:5], 2, listed=None)
    found = _evaluate(items)
    assert found.details["protocols"] == {"generate": "generate"}
    assert not {"answer_list", "paired", "intervals"} & set(found.details)
    assert found.intervals == {}
    assert found.details["notes"] == []
    ranked = _evaluate(question_set(TEXTS, [0, 1, 1, 1, 0], WORDS[:5], 2), answer_by="rank")
    assert not any("the best answers" in note for note in ranked.details["notes"])  # it holds every right answer


def test_the_ceiling_is_never_rounded_up_to_all() -> None:
    items = question_set(["what"] * 5000, [0] * 5000, ["dog"] * 4999 + ["bird"], 1)
    assert "have 99.9% exact match" in _evaluate(items, answer_by="rank").details["notes"][-1]


def test_questions_that_lose_words_are_cut_too() -> None:
    items = question_set(["what (is) it", "what is it now", "who", "what is it then"], [0, 0, 1, 1], ["dog"] * 4, 2)
    details = _evaluate(items, question_words=3).details
    assert details["questions_cut"] == 2  # though the first is equal to the second once that is cut
    assert details["notes"] == ["2 questions were cut to 3 words"]
    details = _evaluate(items, question_words=3, question_tokens=4).details
    assert details["questions_cut"] == 3
    assert details["notes"] == ["3 questions were cut to 3 words or 4 word pieces"]


def test_a_prediction_line() -> None:
    items = question_set(["What (now)?", "Who"], [1, 0], ["cat", "dog"], 2)
    found = _evaluate(items, broken=[0])
    assert found.predictions[0].keys() == {
        "id", "clip", "kind", "question", "answer", "prediction", "right", "score", "protocol",
    }  # fmt: skip
    assert found.predictions[0]["question"] == "What (now)?"  # as annotated
    assert found.predictions[0]["clip"] == "clip1"
    assert found.predictions[1] == {
        "id": "q1",
        "clip": "clip0",
        "kind": "who",
        "question": "Who",
        "answer": "dog",
        "prediction": None,
        "right": 0.0,
        "score": None,
        "protocol": "generate",
    }


ANNOTATED = [["dog"] * 10, ["dog"] * 2 + ["cat"] * 8, ["two"] + ["2"] * 9, ["cat"] * 5 + ["dog"] * 5, ["bird"] * 10]


def test_several_annotators_make_it_the_accuracy_of_vqa() -> None:
    items = question_set(TEXTS, [0, 0, 1, 1, 0], ANNOTATED, 2)
    found = _evaluate(items, answer_by=BOTH, bootstrap=30)
    assert found.details["measure"] == "VQA accuracy"
    assert not [name for name in found.metrics if name.startswith("vqa_")]
    for protocol in BOTH:
        rows = [row for row in found.predictions if row["protocol"] == protocol]
        percent = 100 * VQA.right([row["prediction"] for row in rows], ANNOTATED)
        assert [row["right"] for row in rows] == pytest.approx(percent / 100)
        assert found.metrics[f"{protocol}_accuracy"] == pytest.approx(percent.mean())
        assert found.metrics[f"{protocol}_accuracy_who"] == pytest.approx(percent[:2].mean())
        clusters = [[0, 1, 4], [2, 3]]  # both clips, one of them twice, or the other
        drawn = [percent[[*one, *other]].mean() for one in clusters for other in clusters]
        assert found.intervals[f"{protocol}_accuracy"] == pytest.approx((min(drawn), max(drawn)))
    assert [row["answer"] for row in found.predictions[:5]] == ["dog", "cat", "2", "cat", "bird"]
    one, other = ([row["right"] for row in found.predictions if row["protocol"] == name] for name in BOTH)
    assert found.details["paired"]["gained"] == sum(a > b for a, b in zip(one, other, strict=True))
    assert found.details["commonest"]["who"] == pytest.approx(80.0)  # dog: 100 and 60
    assert found.details["answer_list"]["coverage"] == pytest.approx(VQA.ceiling(ANNOTATED, WORDS))


def test_answers_are_handed_in_as_the_server_reads_them() -> None:
    items = question_set(TEXTS, [0, 0, 1, 1, 0], ANNOTATED, 2)
    assert _evaluate(question_set(TEXTS, [0, 0, 1, 1, 0], ["dog"] * 5, 2)).submission is None
    found = _evaluate(replace(items, question_ids=("17", "4", "9", "1", "3")), answer_by=BOTH, broken=[1])
    assert found.submission is not None
    assert list(found.submission) == ["submission_generate.json", "submission_rank.json"]
    for protocol in BOTH:
        said = [row["prediction"] or "" for row in found.predictions if row["protocol"] == protocol]
        wanted = [{"question_id": id_, "answer": own} for id_, own in zip([17, 4, 9, 1, 3], said, strict=True)]
        assert found.submission[f"submission_{protocol}.json"] == wanted
    assert found.submission["submission_rank.json"][2] == {"question_id": 9, "answer": ""}  # its clip is broken


def test_without_known_answers_nothing_is_measured() -> None:
    found = _evaluate(question_set(TEXTS, [0, 0, 1, 1, 0], [[]] * 5, 2), answer_by=BOTH, bootstrap=30)
    assert (found.metrics, found.intervals) == ({}, {})
    assert found.details["notes"][-1].startswith("the annotations hold no answers, so nothing is measured")
    assert found.details["measure"] == "VQA accuracy"  # by which whoever has the answers measures them
    assert not {"commonest", "paired", "intervals"} & set(found.details)
    assert {(row["answer"], row["right"]) for row in found.predictions} == {(None, None)}
    assert all(row["prediction"] for row in found.predictions)
    assert found.submission is not None
    assert found.submission["submission_generate.json"][0]["question_id"] == "q0"
    json.dumps([found.details, found.predictions, found.submission])


def test_the_search_is_the_one_asked_for() -> None:
    asked = []

    class Asked(Echo):
        def generate_answers(self, questions: QuestionStates, *search: int) -> list[list[Answer]]:
            asked.append(search)
            return super().generate_answers(questions, *search)

    _evaluate(question_set(["what"], [0], ["dog"], 1), Asked(), beams=2, answer_max_tokens=6, answer_min_tokens=3)
    assert asked == [(2, 6, 3)]


@pytest.mark.parametrize(("texts", "n_clips"), [([], 3), ([], 0)])
def test_an_empty_set_is_said(texts: list[str], n_clips: int) -> None:
    with pytest.raises(DataError, match="the set is empty"):
        _evaluate(question_set(texts, [], [], n_clips))


@pytest.mark.parametrize("listed", [None, ()])
def test_ranking_without_a_list_is_said_before_any_decoding(listed: tuple[str, ...] | None) -> None:
    loader = Loader()
    said = AnsweringSettings(answer_by="rank")
    with pytest.raises(DataError, match=r"no list of answers.*settings\.answers"):
        evaluate(question_set(["what"], [0], ["dog"], 1, listed), Echo(), loader, said, Runtime())
    assert loader.asked == []


def test_broken_clips_stop_the_run_by_default() -> None:
    with pytest.raises(DecodeError, match=r"0\.mp4"):
        _evaluate(question_set(["what"], [0], ["dog"], 1), broken=[0], on_error="stop")


@pytest.mark.parametrize("spoiled", ["states of questions", "scores of answers", "losses of answers"])
def test_numbers_that_are_not_finite_name_the_clip(spoiled: str) -> None:
    class Spoiled(Echo):
        def read_questions(self, memory: int, *rest: Any) -> QuestionStates:
            states = super().read_questions(memory, *rest)
            if spoiled.startswith("states") and memory == 1:
                states.states[0, 0, 0] = torch.inf
            return states

        def generate_answers(self, *asked: Any) -> list[list[Answer]]:
            answers = super().generate_answers(*asked)
            return [*answers[:-1], [Answer("dog", float("nan"), 0.0)]] if spoiled.startswith("scores") else answers

        def rank_answers(self, *asked: Any) -> RankedAnswers:
            ranked = super().rank_answers(*asked)
            if spoiled.startswith("losses"):
                ranked.losses[-1, -1] = torch.nan
            return ranked

    with pytest.raises(BlipvidError, match=f"clip 'clip1': the model gives {spoiled} that are not finite"):
        _evaluate(question_set(["what", "who"], [0, 1], ["dog", "cat"], 2), Spoiled(), answer_by=BOTH)


def test_answers_do_not_depend_on_how_many_questions_are_answered_together(monkeypatch: pytest.MonkeyPatch) -> None:
    texts, clips = ["what", "who is it", "what", "where is the dog now", "who"], [0, 0, 1, 1, 2]
    asked = question_set(texts, clips, ["dog"] * 5, 3)
    found = []
    for together in (1, 3, 64):
        monkeypatch.setattr(answering, "ANSWERED_TOGETHER", together)
        found.append([row["prediction"] for row in _evaluate(asked, answer_by=BOTH).predictions])
    assert found[0] == found[1] == found[2]
