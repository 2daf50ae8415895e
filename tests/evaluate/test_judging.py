"""Pairs of pictures: a judge whose logits follow from pictures and sentence alone, and the official code's own."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from blipvid.core.errors import BlipvidError, CapabilityError, DataError
from blipvid.core.features import Features
from blipvid.core.settings import PairSettings
from blipvid.core.types import PairSet, Result, Runtime
from blipvid.evaluate import judging
from blipvid.evaluate.run import evaluate
from tests.evaluate.echo import Echo, clips, code
from tests.evaluate.replay import Loader
from tests.load_goldens import Goldens
from tests.parity.official import judge_of, unit_range

SENTENCES = ["a dog", "A  dog.", "the left one is red", "right and left are equal", "two"]


def pair_set(pairs: Sequence[tuple[int, int]], said: Sequence[str], right: Sequence[bool], n_clips: int) -> PairSet:
    """Makes a set in which each pair is a group of its own."""
    return PairSet(
        clips=clips(n_clips),
        pairs=np.array(pairs, np.int64).reshape(-1, 2),
        sentences=tuple(said),
        pair_ids=tuple(f"p{number}" for number in range(len(said))),
        right=np.array(right, np.bool_),
        group=np.arange(len(said)),
    )


class Judge:
    """Satisfies ImageEncoder and PairJudge of core.protocols; pictures come from `replay.Loader`.

    Attributes:
        seen: Pictures encoded, in order.
        judged: (first, second, sentence) in order.
        most: Most pairs of one call.
        tokens: Asked for last.
    """

    def __init__(self) -> None:
        self.seen: list[int] = []
        self.judged: list[tuple[int, int, str]] = []
        self.most, self.tokens = 0, 0

    def encode_images(self, pixels: torch.Tensor) -> Features:
        picture = (pixels[:, 0, 0, 0] * 255).round() - 2
        self.seen += picture.int().tolist()
        return Features(picture[:, None, None].expand(-1, 3, 2), torch.ones(len(pixels), 2))

    def judge_pairs(
        self, first: torch.Tensor, second: torch.Tensor, sentences: Sequence[str], max_tokens: int
    ) -> torch.Tensor:
        assert first.shape == second.shape
        each = len(sentences) // len(first)
        assert len(sentences) == each * len(first)
        self.most, self.tokens = max(self.most, len(first)), max_tokens
        sides = [side[:, 0, 0].int().repeat_interleave(each).tolist() for side in (first, second)]
        asked = list(zip(*sides, sentences, strict=True))
        self.judged += asked
        return torch.tensor([logits(*one) for one in asked])


def logits(first: int, second: int, sentence: str) -> list[float]:
    """Small whole numbers, so that equal ones are common."""
    return [float(code(f"{side} {first} {second} {sentence}") % 4) for side in ("false", "true")]


def judged(items: PairSet, model: object, broken: Sequence[int] = (), memory_bytes: int = 100, **said: Any) -> Result:
    chosen = PairSettings(**{"bootstrap": 0, "on_error": "skip" if broken else "stop", **said})
    runtime = Runtime(batch_size=3, memory_bytes=memory_bytes)
    return evaluate(items, model, Loader(broken, n_frames=(1,)), chosen, runtime, save_scores=True)


@st.composite
def _cases(draw: st.DrawFn) -> tuple[PairSet, list[int]]:
    """Small worlds: pictures in no, one or many pairs, in any order, also twice in one pair; some are broken."""
    n_clips, n = draw(st.integers(1, 6)), draw(st.integers(1, 12))
    place = st.integers(0, n_clips - 1)
    items = pair_set(
        draw(st.lists(st.tuples(place, place), min_size=n, max_size=n)),
        draw(st.lists(st.sampled_from(SENTENCES), min_size=n, max_size=n)),
        draw(st.lists(st.booleans(), min_size=n, max_size=n)),
        n_clips,
    )
    return items, sorted(draw(st.sets(place, max_size=n_clips - 1)))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(_cases(), st.sampled_from([1, 2, 100]))
def test_equals_pair_by_pair(monkeypatch: pytest.MonkeyPatch, case: tuple[PairSet, list[int]], together: int) -> None:
    monkeypatch.setattr(judging, "JUDGED_TOGETHER", together)
    items, broken = case
    model = Judge()
    found = judged(items, model, broken)
    hits = []
    assert found.scores is not None
    for number, (first, second) in enumerate(items.pairs.tolist()):
        row, right = found.predictions[number], bool(items.right[number])
        cleaned = {"A  dog.": "a dog"}.get(items.sentences[number], items.sentences[number])
        own = None if {first, second} & {*broken} else logits(first, second, cleaned)
        said = None if own is None else own[1] > own[0]
        hits.append(said == right)
        assert row == {
            "id": f"p{number}",
            "clips": [f"clip{first}", f"clip{second}"],
            "sentence": items.sentences[number],
            "turned": False,
            "label": right,
            "prediction": said,
            "score": None if own is None else pytest.approx(1 / (1 + np.exp(own[0] - own[1])), abs=1e-6),
            "right": said == right,
        }
        np.testing.assert_array_equal(found.scores["pair_logits"][number], own or [np.nan, np.nan])
    assert found.metrics == {"accuracy": pytest.approx(100 * np.mean(hits))}
    assert model.seen == [v for v in range(len(items.clips)) if v not in broken]  # each once
    assert len(model.judged) == sum(row["prediction"] is not None for row in found.predictions)
    assert model.most <= together
    assert [one.clip_id for one in found.skipped] == [f"clip{v}" for v in broken]
    json.dumps([found.predictions, found.details])


def test_pictures_are_forgotten_after_their_last_pair(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judging, "JUDGED_TOGETHER", 1)
    kept = []
    take = judging.Judgement.take

    def noting(self: judging.Judgement, picture: int, features: Features) -> None:
        take(self, picture, features)
        kept.append(len(self._store))

    monkeypatch.setattr(judging.Judgement, "take", noting)
    chain = pair_set([(v, v + 1) for v in range(20)], ["a dog"] * 20, [True] * 20, 21)
    judged(chain, Judge())
    assert max(kept) <= 2
    assert kept[-1] == 0


def test_beyond_the_budget_pictures_lie_in_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("BLIPVID_CACHE", str(tmp_path))
    far = pair_set([(v, 9 - v) for v in range(5)], SENTENCES, [True] * 5, 10)
    found = [judged(far, Judge(), memory_bytes=budget).predictions for budget in (0, 50, 10**6)]
    assert found[0] == found[1] == found[2]


def test_sentences_about_the_same_two_pictures_go_together() -> None:
    model = Judge()
    judged(pair_set([(0, 1), (0, 1), (1, 0), (0, 1)], ["a", "b", "c", "d"], [True] * 4, 2), model)
    assert sorted(model.judged) == [(0, 1, "a"), (0, 1, "b"), (0, 1, "d"), (1, 0, "c")]
    assert model.most == 1


def test_random_order_turns_pictures_and_words_together() -> None:
    said = "the left, left one is red"
    items = pair_set([(0, 1)] * 400, [said] * 400, [True] * 400, 2)
    model = Judge()
    found = judged(items, model, order="random")
    turned = [row["turned"] for row in found.predictions]
    assert 160 < sum(turned) < 240
    assert found.details["turned"] == sum(turned)
    assert {*model.judged} == {(0, 1, said), (1, 0, "the left, right one is red")}
    for row in found.predictions:
        own = logits(1, 0, "the left, right one is red") if row["turned"] else logits(0, 1, said)
        assert row["prediction"] == (own[1] > own[0])
        assert row["clips"] == ["clip0", "clip1"]
        assert row["sentence"] == said
    again, other = (judged(items, Judge(), order="random", order_seed=seed).predictions for seed in (42, 7))
    assert [row["turned"] for row in again] == turned
    assert [row["turned"] for row in other] != turned
    first = pair_set([(0, 1)] * 10, [said] * 10, [True] * 10, 2)
    assert [row["turned"] for row in judged(first, Judge(), order="random").predictions] == turned[:10]


def test_what_the_record_keeps() -> None:
    items = pair_set([(0, 1), (0, 1), (1, 2)], ["one two three four", "two", "a dog"], [True, False, True], 3)
    items = PairSet(items.clips, items.pairs, items.sentences, items.pair_ids, items.right, np.array([0, 0, 1]))
    model = Judge()
    found = judged(items, model, bootstrap=30, sentence_words=2, sentence_tokens=9)
    assert found.details["protocols"] == {"pairs": "judge"}
    assert found.details["counts"] == {"all": 3, "true": 2}
    assert found.details["intervals"]["resampled"] == {"accuracy": judging.CLUSTERS}
    assert found.details["notes"][0] == "whoever always says true is right of 66.7% of the pairs"
    assert set(found.intervals) == {"accuracy"}
    assert {sentence for *_, sentence in model.judged} == {"one two", "two", "a dog"}
    assert model.tokens == 9
    assert (found.n_clips, found.n_items) == (3, 3)
    alone = pair_set([(0, 1)], ["a"], [True], 2)
    assert judged(alone, Judge(), bootstrap=9).details["intervals"]["resampled"] == {"accuracy": "pairs"}


def test_what_cannot_be_judged_is_said() -> None:
    with pytest.raises(DataError, match=r"the set is empty \(2 pictures, 0 pairs\)"):
        judged(pair_set([], [], [], 2), Judge())
    with pytest.raises(CapabilityError, match=r"Echo cannot do the task 'pairs': it lacks judge_pairs"):
        judged(pair_set([(0, 1)], ["a"], [True], 2), Echo())
    model = Judge()
    model.judge_pairs = lambda *said: torch.full((2, 2), torch.nan)  # type: ignore[method-assign]
    with pytest.raises(BlipvidError, match="pair 'p0': the model gives logits that are not finite"):
        judged(pair_set([(0, 1), (0, 1)], ["a", "b"], [True] * 2, 2), model)


def test_the_recorded_case_pair_by_pair(goldens: Goldens) -> None:
    case = goldens["nlvr"]
    said, pixels = case.meta["texts"]["sentences"], unit_range(case.tensors("inputs")["image"])
    targets = case.meta["values"]["targets"]
    model = judge_of(goldens).requires_grad_(requires_grad=False)
    n = len(said)

    class Recorded:
        """The model, given the recorded pixels in place of the ones that name them."""

        def encode_images(self, grey: torch.Tensor) -> Features:
            return model.encode_images(pixels[(grey[:, 0, 0, 0] * 255).round().long() - 2])

        judge_pairs = staticmethod(model.judge_pairs)

    items = pair_set([(v, n + v) for v in range(n)], said, [bool(one) for one in targets], 2 * n)
    found = judged(items, Recorded(), sentence_tokens=64)
    assert found.scores is not None
    wanted = case.tensors("outputs")["logits"]
    assert_close(torch.from_numpy(found.scores["pair_logits"]), wanted, atol=case.atol, rtol=1e-4)
    right = wanted.argmax(1) == torch.tensor(targets)
    assert found.metrics["accuracy"] == pytest.approx(100 * float(right.float().mean()))


def test_sides_are_exchanged_as_recorded(goldens: Goldens, monkeypatch: pytest.MonkeyPatch) -> None:
    case = goldens["datasets"]
    annotated = json.loads((case.folder / "annotation" / "nlvr_dev.json").read_text())
    rows = case.meta["values"]["nlvr"]
    turned = np.array([row["random"] > 0.5 for row in rows])
    monkeypatch.setattr(judging, "turned_pairs", lambda n, said: turned)
    said = [annotated[row["index"]]["sentence"] for row in rows]
    items = pair_set([(0, 1)] * len(rows), said, [bool(row["label"]) for row in rows], 2)
    model = Judge()
    judged(items, model, order="random")
    wanted = [(0, 1) if row["first_is_images0"] else (1, 0) for row in rows]
    assert sorted(model.judged) == sorted(
        (*pictures, row["sentence"]) for pictures, row in zip(wanted, rows, strict=True)
    )
