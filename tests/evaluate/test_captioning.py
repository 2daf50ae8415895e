import json
from collections.abc import Iterator, Sequence
from typing import Any
from zlib import crc32

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from blipvid.core.errors import BlipvidError, CapabilityError, DataError, DecodeError
from blipvid.core.features import Answer
from blipvid.core.settings import CaptionSettings, Writing
from blipvid.core.types import CaptionSet, Result, Runtime
from blipvid.evaluate import captioning
from blipvid.evaluate.captioning import seed_of
from blipvid.evaluate.captions.scores import score_captions
from blipvid.evaluate.run import evaluate, task_for
from tests.evaluate.echo import Echo, clips
from tests.evaluate.replay import Loader

SENTENCES = ("a dog runs", "a red dog runs on the grass", "two cats sit", "the cat", "a man plays a guitar on a stage")


@pytest.fixture(autouse=True, scope="module")
def _no_java() -> Iterator[None]:
    """Programs in Java take seconds to start; what they give is tested where they are called."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("blipvid.evaluate.captions.java.find_java", lambda: None)
        yield


class Speaker:
    """Satisfies ImageEncoder and Captioner: what is said of a clip follows from clip, settings and seed alone.

    Attributes:
        groups: The clips of each call of `caption`.
    """

    encode_images = Echo.encode_images

    def __init__(self, score: float = -0.5) -> None:
        self.groups: list[list[int]] = []
        self.score = score

    def caption(self, tokens: torch.Tensor, writing: Writing, seeds: Sequence[int]) -> list[list[Answer]]:
        assert tokens.ndim == 3
        assert len(tokens) == len(seeds)
        numbers = [int(own.unique()) for own in tokens]
        self.groups.append(numbers)
        return [self.say(number, writing, seed) for number, seed in zip(numbers, seeds, strict=True)]

    def say(self, clip: int, writing: Writing, seed: int) -> list[Answer]:
        chance = seed if writing.search == "nucleus" else 0
        place = crc32(f"{clip} {chance} {writing.beams}".encode())
        texts = [SENTENCES[(place + beam) % len(SENTENCES)] for beam in range(writing.beams)]
        return [Answer(text, self.score - beam, -9.0) for beam, text in enumerate(texts)]


def caption_set(
    n_clips: int, references: Sequence[Sequence[str]] | None = None, kinds: Sequence[str] = ()
) -> CaptionSet:
    return CaptionSet(
        clips=clips(n_clips),
        ids=tuple(str(7 * number) for number in range(n_clips)),
        references=tuple(map(tuple, references or [()] * n_clips)),
        kinds=tuple(kinds or [""] * n_clips),
    )


def run(
    items: CaptionSet, model: Any = None, broken: Sequence[int] = (), n_frames: Sequence[int] = (2,), **said: Any
) -> Result:
    given_settings = CaptionSettings(**{"bootstrap": 0, "on_error": "skip" if broken else "stop", **said})
    loader = Loader(broken, n_frames)
    return evaluate(items, model or Speaker(), loader, given_settings, Runtime(batch_size=3))


@st.composite
def _cases(draw: st.DrawFn) -> dict[str, Any]:
    """Small worlds with broken clips, clips of different lengths, several references, and kinds."""
    n = draw(st.integers(1, 7))
    of_clip = st.lists(st.sampled_from(SENTENCES), min_size=1, max_size=3)
    return {
        "references": draw(st.lists(of_clip, min_size=n, max_size=n)),
        "kinds": draw(st.sampled_from([[""] * n, draw(st.lists(st.sampled_from("ab"), min_size=n, max_size=n))])),
        "broken": sorted(draw(st.sets(st.integers(0, n - 1), max_size=n - 1))),
        "n_frames": draw(st.sampled_from([(2,), (2, 1), (1, 1, 3)])),
        "settings": {
            "search": draw(st.sampled_from(["beam", "nucleus"])),
            "beams": draw(st.integers(1, 3)),
            "seed": draw(st.integers(0, 3)),
        },
    }


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(_cases(), st.sampled_from([1, 12, 10**4]))
def test_equals_clip_by_clip(monkeypatch: pytest.MonkeyPatch, case: dict[str, Any], at_once: int) -> None:
    monkeypatch.setattr(captioning, "TOKENS_AT_ONCE", at_once)
    n, model = len(case["references"]), Speaker()
    items = caption_set(n, case["references"], case["kinds"])
    found = run(items, model, case["broken"], case["n_frames"], **case["settings"])

    writing = Writing(**case["settings"])
    said = [
        None if v in case["broken"] else Speaker().say(v, writing, seed_of(writing.seed, f"clip{v}"))[0]
        for v in range(n)
    ]
    assert [row["prediction"] for row in found.predictions] == [None if one is None else one.text for one in said]
    assert [row["score"] for row in found.predictions] == [None if one is None else one.score for one in said]
    texts = ["" if one is None else one.text for one in said]
    assert found.submission == {
        "submission.json": [{"image_id": 7 * v, "caption": text} for v, text in enumerate(texts)]
    }
    wanted = dict(score_captions(texts, items.references).metrics)
    for kind in set(case["kinds"]) - {""}:
        own = [v for v in range(n) if case["kinds"][v] == kind]
        scores = score_captions([texts[v] for v in own], [items.references[v] for v in own])
        wanted |= {f"{name}_{kind}": value for name, value in scores.metrics.items()}
    assert found.metrics == pytest.approx(wanted)
    assert [row["references"] for row in found.predictions] == [list(own) for own in case["references"]]

    assert sorted(v for group in model.groups for v in group) == [v for v in range(n) if v not in case["broken"]]
    tokens = [3 * case["n_frames"][v % len(case["n_frames"])] for v in range(n)]
    for group in model.groups:
        assert len({tokens[v] for v in group}) == 1
        assert len(group) == 1 or sum(tokens[v] for v in group) <= at_once
    assert (found.n_clips, found.n_items) == (n, n)
    assert [one.clip_id for one in found.skipped] == [f"clip{v}" for v in case["broken"]]
    json.dumps([found.predictions, dict(found.details)])  # as the record keeps them


def test_clips_of_one_size_are_captioned_together_while_there_is_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(captioning, "TOKENS_AT_ONCE", 18)  # three clips of two frames of three tokens
    model = Speaker()
    run(caption_set(7), model)
    assert [len(group) for group in model.groups] == [3, 3, 1]


def test_without_annotations_there_is_a_file_to_hand_in_and_nothing_else() -> None:
    found = run(caption_set(3))
    assert (found.metrics, found.intervals) == ({}, {})
    assert found.submission is not None
    assert [row["image_id"] for row in found.submission["submission.json"]] == [0, 7, 14]
    assert "nothing is scored" in found.details["notes"][0]
    assert [row["metrics"] for row in found.predictions] == [{}, {}, {}]


def test_ids_that_are_no_numbers_stay_text() -> None:
    items = CaptionSet(clips(2), ("7", "video8"), ((), ()), ("", ""))
    found = run(items)
    assert found.submission is not None
    assert [row["image_id"] for row in found.submission["submission.json"]] == ["7", "video8"]


def test_what_was_not_computed_is_said_and_is_no_metric() -> None:
    found = run(caption_set(2, [["a dog runs"], ["a cat sits"]]))
    missing = score_captions(["a dog"], [["a dog"]]).not_computed
    assert found.details["not_computed"] == dict(missing)
    assert not set(missing) & set(found.metrics)


def test_kinds_ask_for_nothing_that_all_clips_were_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def meteor(said: Sequence[str], meant: Any, subsets: Sequence[Sequence[int]], progress: Any) -> list[float]:
        asked.append((len(said), [list(places) for places in subsets]))
        progress("METEOR", len(said), len(said))
        return [0.3, 0.2, 0.1]

    monkeypatch.setattr("blipvid.evaluate.captions.java.meteor", meteor)
    found = run(caption_set(3, [["a dog"], ["a cat"], ["a cow"]], ["in", "out", "in"]))
    assert asked == [(3, [[0, 2], [1]])]
    kept = {name: found.metrics[name] for name in ("meteor", "meteor_in", "meteor_out")}
    assert kept == pytest.approx({"meteor": 30, "meteor_in": 20, "meteor_out": 10})
    assert found.details["not_computed"] == {"spice": "needs Java"}


@pytest.mark.parametrize(
    ("kinds", "alone"),
    [(["in", "in", "out"], "out"), (["in"], "in, all"), ([""], "all"), (["in", "in"], None), (["", ""], None)],
)
def test_cider_of_one_clip_is_explained(kinds: list[str], alone: str | None) -> None:
    found = run(caption_set(len(kinds), [["a dog runs"]] * len(kinds), kinds))
    assert found.details["notes"] == ([] if alone is None else [captioning.CIDER_OF_ONE.format(alone)])
    for kind in alone.split(", ") if alone else []:
        assert found.metrics["cider" if kind == "all" else f"cider_{kind}"] == 0


def test_a_clip_without_frames_is_scored_as_an_empty_caption() -> None:
    references = [["a dog runs on the grass"], ["two cats sit on a bench"], ["a man plays a guitar"]]
    broken = run(caption_set(3, references), broken=[1])
    texts = [row["prediction"] or "" for row in broken.predictions]
    assert texts[1] == ""
    assert broken.predictions[1]["prediction"] is None
    assert broken.metrics == pytest.approx(dict(score_captions(texts, references).metrics))
    assert broken.predictions[1]["metrics"]["cider"] == 0


def test_intervals_are_over_clips() -> None:
    references = [[SENTENCES[v % len(SENTENCES)]] for v in range(40)]
    kinds = ["odd" if v % 2 else "even" for v in range(40)]
    found = run(caption_set(40, references, kinds), bootstrap=500)
    values = np.array([row["metrics"]["cider"] for row in found.predictions])
    assert found.metrics["cider"] == pytest.approx(values.mean(), abs=1e-3)
    low, high = found.intervals["cider"]
    assert low < found.metrics["cider"] < high
    assert (high - low) / 2 == pytest.approx(1.96 * values.std() / np.sqrt(40), rel=0.2)
    assert set(found.intervals) == set(found.metrics)
    assert {"bleu4_odd", "cider_even"} <= set(found.intervals)


def test_intervals_of_bleu_are_those_of_sets_drawn_from_the_clips() -> None:
    texts = [SENTENCES[v % 4] for v in range(12)]
    references = [[SENTENCES[v % 5]] for v in range(12)]
    scores = score_captions(texts, references)
    found = captioning._intervals(scores, CaptionSettings(bootstrap=400))
    rng = np.random.default_rng(42)
    drawn = [rng.integers(0, 12, 12).tolist() for _ in range(400)]
    bleu4 = [score_captions([texts[v] for v in own], [references[v] for v in own]).metrics["bleu4"] for own in drawn]
    assert found["bleu4"] == pytest.approx(np.percentile(bleu4, [2.5, 97.5]), rel=1e-6, abs=1e-6)


def test_chance_depends_on_seed_and_clip_alone() -> None:
    seeds = {seed_of(seed, clip) for seed in range(3) for clip in ("a", "b", "1:a")}
    assert len(seeds) == 9
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert seed_of(42, "clip0") == seed_of(42, "clip0")


def test_progress_is_told_of_every_clip() -> None:
    told: list[tuple[str, int, int]] = []
    evaluate(
        caption_set(4),
        Speaker(),
        Loader([1], (1,)),
        CaptionSettings(on_error="skip"),
        Runtime(),
        lambda *report: told.append(report),
    )
    assert told[0] == ("captioning", 0, 4)
    assert told[-1] == ("captioning", 4, 4)
    assert [done for _, done, _ in told] == sorted(done for _, done, _ in told)


def test_what_ends_in_an_error() -> None:
    with pytest.raises(DataError, match="the set is empty"):
        run(caption_set(0))
    with pytest.raises(DataError, match=r"1 of 2 clips have no captions.*'clip1'"):
        run(caption_set(2, [["a dog"], []]))
    with pytest.raises(BlipvidError, match="clip 'clip0': the model gives scores of captions that are not finite"):
        run(caption_set(2), Speaker(score=float("nan")))
    with pytest.raises(DecodeError, match="is broken"):
        run(caption_set(2), Speaker(), broken=[0], on_error="stop")
    with pytest.raises(DecodeError, match="none of the 2 clips"):
        run(caption_set(2), Speaker(), broken=[0, 1])


def test_a_model_that_cannot_caption_is_named_before_any_decoding() -> None:
    with pytest.raises(CapabilityError, match=r"model 'mine' .*cannot do the task 'caption': it lacks caption"):
        task_for(caption_set(1), Echo, CaptionSettings(), "model 'mine'")
