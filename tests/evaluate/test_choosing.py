import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from blipvid.core.errors import BlipvidError, DataError
from blipvid.core.features import QuestionStates, RankedAnswers, Texts
from blipvid.core.settings import ChoiceSettings
from blipvid.core.types import ChoiceSet, Result, Runtime
from blipvid.evaluate import questions
from blipvid.evaluate.run import evaluate
from tests.evaluate.echo import WORDS, Echo, clips
from tests.evaluate.replay import Loader, Replay


def choice_set(
    texts: Sequence[str],
    question_clip: Sequence[int],
    options: Sequence[Sequence[str]],
    right: Sequence[int],
    n_clips: int,
) -> ChoiceSet:
    """Makes a set whose kinds are `even` and `odd` by the length of the question."""
    return ChoiceSet(
        clips=clips(n_clips),
        questions=tuple(texts),
        question_ids=tuple(f"q{q}" for q in range(len(texts))),
        question_clip=np.array(question_clip, np.int64),
        kinds=tuple("odd" if len(text) % 2 else "even" for text in texts),
        options=tuple(map(tuple, options)),
        right=np.array(right, np.int64),
    )


def _evaluate(items: ChoiceSet, model: object, broken: Sequence[int] = (), **said: Any) -> Result:
    given_settings = ChoiceSettings(**{"bootstrap": 0, "on_error": "skip" if broken else "stop", **said})
    loader = Loader(broken, n_frames=(2, 1))
    return evaluate(items, model, loader, given_settings, Runtime(batch_size=3), save_scores=True)


@st.composite
def _cases(draw: st.DrawFn, texts: Sequence[str], words: Sequence[str]) -> tuple[ChoiceSet, list[int]]:
    """Small worlds with different numbers of options, equal questions, equal options and broken clips."""
    n_clips, n = draw(st.integers(1, 4)), draw(st.integers(1, 9))
    options = draw(st.lists(st.lists(st.sampled_from(words), min_size=2, max_size=5), min_size=n, max_size=n))
    items = choice_set(
        draw(st.lists(st.sampled_from(texts), min_size=n, max_size=n)),
        draw(st.lists(st.integers(0, n_clips - 1), min_size=n, max_size=n)),
        options,
        [draw(st.integers(0, len(own) - 1)) for own in options],
        n_clips,
    )
    return items, sorted(draw(st.sets(st.integers(0, n_clips - 1), max_size=n_clips - 1)))


def _check(found: Result, items: ChoiceSet, scores: list[list[float] | None]) -> None:
    """Compares a result with the scores of each question's options, None for a skipped clip."""
    most = max(map(len, items.options))
    dense = np.full((len(scores), most), np.nan, np.float32)
    hits = []
    for q, own in enumerate(scores):
        row = found.predictions[q]
        options, right = items.options[q], int(items.right[q])
        best = own.index(max(own)) if own else None
        if own:
            dense[q, : len(own)] = own
        hits.append(best == right)
        assert row == {
            "id": f"q{q}",
            "clip": f"clip{items.question_clip[q]}",
            "kind": items.kinds[q],
            "question": items.questions[q],
            "options": list(options),
            "answer": options[right],
            "prediction": None if best is None else options[best],
            "score": None if best is None else pytest.approx(own[best]),
            "right": best == right,
        }
    best = [
        {options[k] for k, one in enumerate(own or []) if one == max(own or [])}
        for options, own in zip(items.options, scores, strict=True)
    ]
    tied = sum(len(own) > 1 for own in best)
    assert found.details["ties"] == {"best": tied}
    assert any("equal scores" in note for note in found.details["notes"]) == (tied > 0)
    assert found.scores is not None
    np.testing.assert_array_equal(found.scores["choice_scores"], dense)
    assert found.metrics["choice_accuracy"] == pytest.approx(100 * np.mean(hits))
    for kind in set(items.kinds):
        of_kind = [hit for hit, own in zip(hits, items.kinds, strict=True) if own == kind]
        assert found.metrics[f"choice_accuracy_{kind}"] == pytest.approx(100 * np.mean(of_kind))
    json.dumps([found.predictions, found.details])


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(_cases(["what is it", "What  is it?", "who", ""], WORDS), st.sampled_from([1, 80, 10**4]))
def test_rank_equals_question_by_question(
    monkeypatch: pytest.MonkeyPatch, case: tuple[ChoiceSet, list[int]], at_once: int
) -> None:
    monkeypatch.setattr(questions, "TOKENS_AT_ONCE", at_once)
    items, broken = case
    model, alone = Echo(), Echo()
    found = _evaluate(items, model, broken)
    scores: list[list[float] | None] = []
    for q, options in enumerate(items.options):
        if items.question_clip[q] in broken:
            scores.append(None)
            continue
        states = alone.read_questions(int(items.question_clip[q]), [items.questions[q].lower()], 35)
        losses = alone.score_answers(states, options, torch.arange(len(options))[None]).losses[0]
        scores.append((-losses).tolist())
    _check(found, items, scores)
    assert len(set(model.remembered)) == len(model.remembered)
    assert len(model.lists) == len(model.remembered)
    assert all(len(set(own)) == len(own) for own in model.lists)


GENERATOR = np.random.default_rng(5)
COSINE = (GENERATOR.integers(-8, 9, (4, 6)) / 8).astype(np.float32)
LOGITS = (GENERATOR.integers(-4, 5, (4, 6)) / 4).astype(np.float32)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(_cases(["Text", "text "], [f"{number}." for number in range(6)]))
def test_match_equals_option_by_option(case: tuple[ChoiceSet, list[int]]) -> None:
    items, broken = case
    model = Replay(COSINE, LOGITS)
    found = _evaluate(items, model, broken, choose_by="match")
    both = COSINE + LOGITS
    _check(
        found,
        items,
        [
            None if clip in broken else [float(both[clip, int(option[0])]) for option in options]
            for clip, options in zip(items.question_clip.tolist(), items.options, strict=True)
        ],
    )
    assert len(set(model.matched)) == len(model.matched)
    assert len(set(model.remembered)) == len(model.remembered)
    assert found.details["distinct_texts"] == len({option for options in items.options for option in options})


def test_options_that_become_the_same_text_are_counted() -> None:
    options = [("Text 0", "Text 1"), ("Text 2", "text 2."), ("Text 3", "Text 3", "Text 4"), ("Text 5 a", "Text 5 b")]
    items = choice_set([""] * 4, [0] * 4, options, [0, 1, 2, 0], 1)
    found = _evaluate(items, Replay(COSINE, LOGITS), choose_by="match", text_tokens=4)
    assert found.details["notes"][0] == (
        "2 questions had options that became the same text, cleaned and cut to 40 words and 4 word pieces; "
        "of these only the first can be chosen"
    )
    assert found.details["ties"]["best"] >= 2
    assert _evaluate(items, Replay(COSINE, LOGITS), choose_by="match", caption_words=2).details["distinct_texts"] == 6


def test_rank_without_questions_is_said() -> None:
    options = [("dog", "cat"), ("two", "2")]
    note = "there are no questions; options are ranked after an empty one"
    assert note in _evaluate(choice_set(["", ""], [0, 1], options, [0, 1], 2), Echo()).details["notes"]
    assert note not in _evaluate(choice_set(["", "who"], [0, 1], options, [0, 1], 2), Echo()).details["notes"]


def test_match_without_questions() -> None:
    options = [("Text 0", "Text 1", "Text 2"), ("Text 3", "Text 4.")]
    found = _evaluate(choice_set(["", ""], [0, 1], options, [0, 1], 2), Replay(COSINE, LOGITS), choose_by="match")
    both = COSINE + LOGITS
    _check(found, choice_set(["", ""], [0, 1], options, [0, 1], 2), [both[0, :3].tolist(), both[1, 3:5].tolist()])


ITEMS = choice_set(
    ["what is it", "what is that thing over there", "what is it"],
    [0, 1, 0],
    [("dog", "cat"), ("two", "2", "none", "cat"), ("dog", "cat")],
    [1, 2, 0],
    3,
)


def test_what_the_record_keeps() -> None:
    model = Echo()
    found = _evaluate(ITEMS, model, question_tokens=7, bootstrap=30)
    assert found.details["protocols"] == {"choice": "rank"}
    assert found.details["chance"] == {"all": pytest.approx((50 + 25 + 50) / 3)}
    assert found.details["counts"] == {"even": 2, "odd": 1, "all": 3}
    assert found.details["questions_cut"] == 1
    assert found.details["notes"][0] == "1 question was cut to 7 word pieces"
    assert found.details["backends"] == {"even": 2, "odd": 1}
    assert found.details["intervals"]["resampled"] == {"choice_accuracy": "clips with all their questions"}
    assert list(found.details["seconds"]) == ["texts", "clips", "questions", "rank", "metrics"]
    assert set(found.intervals) == set(found.metrics)
    assert len(model.reads) == 2  # equal questions with equal options are read once
    assert model.lists == [("dog", "cat"), ("two", "2", "none", "cat")]
    assert (found.n_clips, found.n_items) == (3, 3)


def test_equal_questions_with_other_options_keep_their_own() -> None:
    model = Echo()
    _evaluate(choice_set(["who"] * 3, [0] * 3, [("a", "b"), ("c", "d"), ("a", "b")], [0] * 3, 1), model)
    assert len(model.reads) == 2
    assert model.lists == [("a", "b", "c", "d")]


def test_an_empty_set_is_said() -> None:
    with pytest.raises(DataError, match="the set is empty"):
        _evaluate(choice_set([], [], [], [], 2), Echo())


def test_losses_that_are_not_finite_name_the_clip() -> None:
    class Spoiled(Echo):
        def score_answers(self, states: QuestionStates, answers: Any, index: torch.Tensor) -> RankedAnswers:
            ranked = super().score_answers(states, answers, index)
            return RankedAnswers(index, ranked.losses / (1 - self.remembered[-1]), ranked.logprobs)

    with pytest.raises(BlipvidError, match=r"clip 'clip1'.*losses of options that are not finite"):
        _evaluate(ITEMS, Spoiled())


def test_matching_scores_that_are_not_finite_name_the_clip() -> None:
    class Spoiled(Replay):
        def match(self, memory: int, texts: Texts, rows: torch.Tensor) -> torch.Tensor:
            return super().match(memory, texts, rows) / (1 - memory)

    items = choice_set(["", ""], [0, 1], [("Text 0", "Text 1")] * 2, [0, 0], 2)
    with pytest.raises(BlipvidError, match=r"clip 'clip1'.*matching scores that are not finite"):
        _evaluate(items, Spoiled(COSINE, LOGITS), choose_by="match")
