"""Dialogs: a ranker whose scores follow from picture, caption and text alone; the metrics against their definitions."""

import json
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from blipvid.core.errors import BlipvidError, CapabilityError, DataError
from blipvid.core.features import Features
from blipvid.core.settings import DialogSettings
from blipvid.core.types import DialogSet, Result, Runtime
from blipvid.evaluate import dialogs
from blipvid.evaluate.metrics import ndcg
from blipvid.evaluate.run import evaluate
from tests.evaluate.echo import Echo, clips, code
from tests.evaluate.replay import Loader

WORDS = ("yes", "no", "two", "red", "i think so", "maybe")


class Ranker:
    """Satisfies ImageEncoder and DialogRanker of core.protocols; pictures come from `replay.Loader`.

    Attributes:
        remembered: (picture, caption) whose memory was made, in order.
        read: Dialogs in each call.
        tokens: Asked for last.
    """

    def __init__(self, levels: int = 5) -> None:
        self.levels = levels
        self.remembered: list[tuple[int, str]] = []
        self.read: list[list[str]] = []
        self.tokens = 0

    def encode_images(self, pixels: torch.Tensor) -> Features:
        picture = (pixels[:, 0, 0, 0] * 255).round() - 2
        return Features(picture[:, None, None].expand(-1, 3, 2), torch.ones(len(pixels), 2))

    def remember_captioned(self, tokens: torch.Tensor, caption: str) -> tuple[int, str]:
        self.remembered.append((int(tokens[0, 0]), caption))
        return self.remembered[-1]

    def score_dialogs(self, memory: tuple[int, str], dialogs: Sequence[str], max_tokens: int) -> torch.Tensor:
        assert len(set(dialogs)) == len(dialogs)
        self.read.append(list(dialogs))
        self.tokens = max_tokens
        return torch.tensor([self.score(*memory, dialog) for dialog in dialogs])

    def score(self, picture: int, caption: str, dialog: str) -> float:
        """Small whole numbers, so that equal ones are common."""
        return float(code(f"{picture} {caption} {dialog}") % self.levels)


def dialog_set(
    rounds: Sequence[tuple[int, Sequence[str], int]],
    n_clips: int,
    relevance: Sequence[Sequence[float] | None] | None = None,
) -> DialogSet:
    """Makes a set of rounds (picture, candidates, right one); each tells of the rounds before it."""
    met: dict[int, list[tuple[str, str]]] = {}
    told = []
    for number, (clip, _, _) in enumerate(rounds):
        own = met.setdefault(clip, [])
        told.append(tuple(own))
        own.append((f"question {number}", "yes"))
    return DialogSet(
        clips=clips(n_clips),
        captions=tuple(f"Caption {v}." for v in range(n_clips)),
        round_clip=np.array([clip for clip, _, _ in rounds], np.int64),
        round_number=np.array([len(own) + 1 for own in told], np.int64),
        histories=tuple(told),
        questions=tuple(f"question {number}" for number in range(len(rounds))),
        listed_answers=WORDS,
        candidates=tuple(np.array([WORDS.index(word) for word in words]) for _, words, _ in rounds),
        right=np.array([right for _, _, right in rounds], np.int64),
        relevance=tuple(None if one is None else np.array(one) for one in relevance or [None] * len(rounds)),
    )


def ranked(items: DialogSet, model: object, broken: Sequence[int] = (), **said: Any) -> Result:
    chosen = DialogSettings(**{"bootstrap": 0, "on_error": "skip" if broken else "stop", **said})
    return evaluate(items, model, Loader(broken, n_frames=(1,)), chosen, Runtime(batch_size=3), save_scores=True)


def written(items: DialogSet, asked: int, answer: str) -> str:
    """A dialog as text, put together in another way than by the code."""
    text = ""
    for question, said in items.histories[asked]:
        text += question + "? " + said + ". "
    return text + items.questions[asked] + "? " + answer


def official_ndcg(scores: Sequence[float], relevance: Sequence[float]) -> float:
    """The challenge's definition, for rankings without ties: gains of the first k places over those of the best k."""
    k = sum(one != 0 for one in relevance)
    order = sorted(range(len(scores)), key=lambda place: -scores[place])
    best = sorted(range(len(scores)), key=lambda place: -relevance[place])
    found, ideal = (sum(relevance[own[i]] / math.log2(i + 2) for i in range(k)) for own in (order, best))
    return found / ideal


SHARES = st.sampled_from([0.0, 0.0, 0.2, 0.4, 1.0])


@given(st.data(), st.integers(2, 9))
def test_ndcg_is_the_challenges_where_nothing_ties(data: st.DataObject, n: int) -> None:
    scores = data.draw(st.permutations(range(n)))
    relevance = data.draw(st.lists(SHARES, min_size=n, max_size=n).filter(any))
    found = ndcg(np.array(scores, np.float32), np.array(relevance))
    assert found == pytest.approx(official_ndcg(scores, relevance))


@settings(deadline=None)
@given(st.data(), st.integers(2, 6))
def test_ndcg_of_ties_is_the_mean_over_all_orders_of_them(data: st.DataObject, n: int) -> None:
    from itertools import permutations

    scores = data.draw(st.lists(st.integers(0, 2), min_size=n, max_size=n))
    relevance = data.draw(st.lists(SHARES, min_size=n, max_size=n).filter(any))
    # every order of the items that agrees with the scores, told apart by a small part of one
    each = [
        official_ndcg([score + place / 100 for score, place in zip(scores, own, strict=True)], relevance)
        for own in permutations(range(n))
    ]
    assert ndcg(np.array(scores, np.float32), np.array(relevance)) == pytest.approx(float(np.mean(each)))


def test_ndcg_by_hand() -> None:
    # two relevant ones: the best order gains 1/log2(2) + 0.5/log2(3), this one 0.5/log2(2) + 0/log2(3)
    found = ndcg(np.array([3, 1, 2], np.float32), np.array([0.5, 1.0, 0.0]))
    assert found == pytest.approx(0.5 / (1 + 0.5 / math.log2(3)))


@st.composite
def _cases(draw: st.DrawFn) -> tuple[DialogSet, list[int]]:
    """Small worlds: several rounds a picture or none, candidates that repeat, some with relevance; some are broken."""
    n_clips, n = draw(st.integers(1, 4)), draw(st.integers(1, 8))
    rounds, relevance = [], []
    for _ in range(n):
        words = draw(st.lists(st.sampled_from(WORDS), min_size=2, max_size=12))
        rounds.append((draw(st.integers(0, n_clips - 1)), words, draw(st.integers(0, len(words) - 1))))
        own = draw(st.lists(SHARES, min_size=len(words), max_size=len(words)))
        relevance.append(own if any(own) and draw(st.booleans()) else None)
    return dialog_set(rounds, n_clips, relevance), sorted(
        draw(st.sets(st.integers(0, n_clips - 1), max_size=n_clips - 1))
    )


@settings(max_examples=150, deadline=None)
@given(_cases())
def test_equals_candidate_by_candidate(case: tuple[DialogSet, list[int]]) -> None:
    items, broken = case
    model, alone = Ranker(), Ranker()
    found = ranked(items, model, broken)
    ranks, gains, lasts = [], [], []
    assert found.submission is not None
    for asked, candidates in enumerate(items.candidates):
        clip, right = int(items.round_clip[asked]), int(items.right[asked])
        words = [WORDS[place] for place in candidates]
        row, sent = found.predictions[asked], found.submission["submission.json"][asked]
        assert sent["round_id"] == items.round_number[asked]
        assert sent["image_id"] == f"clip{clip}"
        lasts.append(len(words))
        relevance = items.relevance[asked]
        if clip in broken:
            ranks.append(math.inf)
            gains += [0.0] if relevance is not None else []
            assert (row["rank"], row["top"], sent["ranks"]) == (None, [], list(range(1, len(words) + 1)))
            continue
        scores = [alone.score(clip, f"caption {clip}", written(items, asked, word)) for word in words]
        above, level = (sum(one > scores[right] for one in scores), sum(one == scores[right] for one in scores))
        ranks.append(above + (level + 1) / 2)
        gains += [ndcg(np.array(scores), relevance)] if relevance is not None else []
        assert row["rank"] == ranks[-1]
        assert row["answer"] == words[right]
        order = sorted(range(len(words)), key=lambda place: -scores[place])  # stable: of equal ones the earlier first
        assert [sent["ranks"][place] for place in order] == list(range(1, len(words) + 1))
        assert [score for _, score in row["top"]] == sorted(scores, reverse=True)[:10]
    settled = [last if math.isinf(rank) else rank for rank, last in zip(ranks, lasts, strict=True)]
    wanted = {f"r{k}": 100 * np.mean([rank <= k for rank in ranks]) for k in (1, 5, 10)}
    wanted |= {"mrr": 100 * np.mean([1 / rank for rank in settled]), "mean_rank": np.mean(settled)}
    wanted |= {"ndcg": 100 * np.mean(gains)} if gains else {}
    assert found.metrics == pytest.approx(wanted)
    assert len(set(model.remembered)) == len(model.remembered)
    assert {clip for clip, _ in model.remembered} == {*items.round_clip.tolist()} - {*broken}
    json.dumps([found.predictions, found.details, found.submission])


ITEMS = dialog_set([(0, WORDS, 2), (0, WORDS[:3], 0), (1, WORDS, 5)], 3, [[0, 0.5, 1, 0, 0, 0], None, None])


def test_what_the_record_keeps() -> None:
    model = Ranker(levels=10**6)
    found = ranked(ITEMS, model, bootstrap=30, dialog_tokens=77, caption_words=1)
    assert found.details["protocols"] == {"dialog": "rank"}
    assert found.details["counts"] == {"all": 3, "with_relevance": 1}
    assert set(found.intervals) == set(found.metrics) == {"mrr", "r1", "r5", "r10", "mean_rank", "ndcg"}
    assert found.intervals["ndcg"] == (found.metrics["ndcg"],) * 2  # one dialog
    assert {*found.details["intervals"]["resampled"].values()} == {dialogs.CLUSTERS}
    assert found.details["notes"] == ["NDCG is over the 1 of 3 rounds that have dense annotations"]
    assert found.details["ties"] == {"rounds": {"tied": 0}}
    assert model.remembered == [(0, "caption"), (1, "caption")]
    assert model.read[1][0] == "question 0? yes. question 1? yes"
    assert model.tokens == 77
    assert (found.n_clips, found.n_items) == (3, 3)
    assert found.scores is not None
    assert found.scores["dialog_scores"].shape == (3, 6)
    assert np.isnan(found.scores["dialog_scores"][1, 3:]).all()


def test_without_right_answers_there_is_only_a_file_to_hand_in() -> None:
    hidden = dialog_set([(0, WORDS, -1), (1, WORDS, -1)], 2)
    found = ranked(hidden, Ranker(), bootstrap=30)
    assert (found.metrics, found.intervals) == ({}, {})
    assert "submission.json" in found.details["notes"][0]
    assert found.predictions[0]["answer"] is None
    assert found.submission is not None
    assert len(found.submission["submission.json"]) == 2


def test_what_cannot_be_ranked_is_said() -> None:
    with pytest.raises(DataError, match=r"the set is empty \(2 pictures, 0 rounds\)"):
        ranked(dialog_set([], 2), Ranker())
    with pytest.raises(CapabilityError, match="Echo cannot do the task 'dialog': it lacks remember_captioned, score"):
        ranked(ITEMS, Echo())
    model = Ranker()
    model.score_dialogs = lambda memory, said, n: torch.full((len(said),), torch.inf)  # type: ignore[method-assign]
    with pytest.raises(BlipvidError, match="clip 'clip0': the model gives scores of answers that are not finite"):
        ranked(ITEMS, model)
