import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from blipvid.core.errors import DataError
from blipvid.evaluate.captions import java
from blipvid.evaluate.captions.bleu import bleu
from blipvid.evaluate.captions.scores import score_captions
from blipvid.evaluate.captions.tokenizer import tokenize
from tests.evaluate.captions.oracle import draw_case, needs_java, score, split_by_java

OURS = {"ROUGE_L": "rouge_l", "CIDEr": "cider", **{f"Bleu_{n}": f"bleu{n}" for n in (1, 2, 3, 4)}}
KNOWN = ["nlg_eval_example", "nlg_eval_single", "clipscore_good", "clipscore_bad"]

Known = Callable[[str], tuple[list[str], list[list[str]], dict[str, float]]]


@pytest.fixture
def known(test_data: Path) -> Known:
    """Captions, references and the scores that the authors of other tools print for them."""
    folder = test_data / "data/annotations/caption_metrics"
    cases: dict[str, Any] = json.loads((folder / "known_scores.json").read_text("utf-8"))

    def read(name: str) -> tuple[list[str], list[list[str]], dict[str, float]]:
        case = cases[name]
        if "hypothesis" in case:
            return [case["hypothesis"]], [case["references"]], case["scores"]
        if isinstance(case["references"], list):
            said, *meant = (
                (folder / file).read_text("utf-8").splitlines() for file in [case["hypotheses"], *case["references"]]
            )
            return said, [list(own) for own in zip(*meant, strict=True)], case["scores"]
        hypotheses, references = (
            json.loads((folder / case[key]).read_text("utf-8")) for key in ("hypotheses", "references")
        )
        return list(hypotheses.values()), [references[name] for name in hypotheses], case["scores"]

    return read


def printed(value: float) -> float:
    """One of the last digit that a figure was printed with: some are cut, not rounded; zeros at the end are lost."""
    digits = len(repr(value).partition(".")[2].partition("e")[0])
    exponent = int(repr(value).partition("e")[2] or 0)
    return 1.01 * 10.0 ** (exponent - max(digits, 4))


@pytest.mark.parametrize("name", KNOWN)
def test_scores_that_others_print(known: Known, name: str) -> None:
    said, meant, scores = known(name)
    found = score_captions(said, meant).metrics
    for theirs, ours in OURS.items():
        assert found[ours] / 100 == pytest.approx(scores[theirs], abs=printed(scores[theirs])), theirs


@needs_java
@pytest.mark.java
@pytest.mark.parametrize(
    "name", ["clipscore_good", *(pytest.param(name, marks=pytest.mark.slow) for name in ("clipscore_bad", KNOWN[0]))]
)
def test_meteor_that_others_print(known: Known, name: str) -> None:
    said, meant, scores = known(name)
    found = java.meteor([tokenize(one) for one in said], [[tokenize(one) for one in own] for own in meant])
    assert found == [pytest.approx(scores["METEOR"], abs=printed(scores["METEOR"]))]


@needs_java
@pytest.mark.java
def test_meteor_of_a_part_is_that_of_a_set_of_its_own() -> None:
    said = ["a man plays a guitar", "two cats", "the dog runs on grass", ""]
    meant = [["a man is playing guitar", "a person plays"], ["cats sit", "two cats"], ["a dog runs"], ["a bus"]]
    part = [0, 2, 3]
    whole, of_part, of_nothing_said = java.meteor(said, meant, [part, [3]])
    assert of_part == java.meteor([said[at] for at in part], [meant[at] for at in part])[0]
    assert (of_part != whole, of_nothing_said) == (True, 0.0)


@needs_java
@pytest.mark.java
@pytest.mark.slow
@pytest.mark.parametrize("name", ["clipscore_good", "clipscore_bad", "nlg_eval_example"])
def test_spice_that_others_print(known: Known, name: str) -> None:
    package = java.package_folder()
    if package is None or not all(path.is_file() for path in java.spice_models(package)):
        pytest.skip("the models of SPICE are not there (blipvid fetch-metrics)")
    said, meant, scores = known(name)
    found = java.spice([tokenize(one) for one in said], [[tokenize(one) for one in own] for own in meant])
    assert found.mean() == pytest.approx(scores["SPICE"], abs=printed(scores["SPICE"]))


@pytest.mark.parametrize("seed", range(200))
def test_scores_are_those_of_pycocoevalcap(seed: int) -> None:
    said, meant = draw_case(seed)
    found = score_captions(said, meant)
    of_set, of_items = score([tokenize(one) for one in said], [[tokenize(one) for one in own] for own in meant])
    assert found.metrics == pytest.approx(of_set, rel=1e-9, abs=1e-12)
    for name, values in of_items.items():
        np.testing.assert_allclose(found.per_item[name], values, rtol=1e-9, atol=1e-12, err_msg=name)
        assert found.metrics[name] == pytest.approx(found.per_item[name].mean())


@needs_java
def test_scores_are_those_of_pycocoevalcap_with_its_own_tokenizer() -> None:
    cases = [draw_case(seed) for seed in range(200)]
    texts = [text for said, meant in cases for text in [*said, *(one for own in meant for one in own)]]
    words = dict(zip(texts, split_by_java(texts), strict=True))
    for said, meant in cases:
        of_set, _ = score([words[one] for one in said], [[words[one] for one in own] for own in meant])
        assert score_captions(said, meant).metrics == pytest.approx(of_set, rel=1e-9, abs=1e-12)


def test_bleu_of_a_resample_is_made_of_sums() -> None:
    said, meant = draw_case(3)
    drawn = np.array([0, 0, 1, len(said) - 1])
    statistics = score_captions(said, meant).bleu_statistics
    again = score_captions([said[v] for v in drawn], [meant[v] for v in drawn]).metrics
    times = np.bincount(drawn, minlength=len(said))
    found = bleu(np.stack([times, np.ones_like(times)]) @ statistics)
    assert (100 * found[0]).tolist() == pytest.approx([again[f"bleu{n}"] for n in (1, 2, 3, 4)])
    assert found.shape == (2, 4)


def test_a_subset_is_a_set_of_its_own() -> None:
    said = ["a red car", "a red car", "a dog runs"]
    meant = [["a red car"], ["a red car"], ["a dog runs"]]
    assert score_captions(said[:1], meant[:1]).metrics["cider"] == 0
    assert score_captions(said, meant).per_item["cider"][0] < score_captions(said[1:], meant[1:]).per_item["cider"][0]


@pytest.mark.parametrize("seed", range(40))
def test_parts_score_as_sets_of_their_own(seed: int) -> None:
    said, meant = draw_case(seed)
    parts = [list(range(0, len(said), 2)), [len(said) - 1], list(range(len(said)))[::-1]]
    for places, found in zip(parts, score_captions(said, meant, parts).subsets, strict=True):
        alone = score_captions([said[v] for v in places], [meant[v] for v in places])
        assert found.metrics == pytest.approx(alone.metrics, rel=1e-12, abs=1e-12)
        assert found.bleu_statistics.tolist() == alone.bleu_statistics.tolist()
        for name, values in alone.per_item.items():
            np.testing.assert_allclose(found.per_item[name], values, rtol=1e-12, atol=1e-12, err_msg=name)


def test_perfect_and_empty_captions() -> None:
    meant = [["a man plays the guitar"], ["two dogs run on grass"]]
    perfect = score_captions([own[0] for own in meant], meant).metrics
    assert perfect == pytest.approx({**{f"bleu{n}": 100 for n in (1, 2, 3, 4)}, "rouge_l": 100, "cider": 1000})
    empty = score_captions(["", ""], meant).metrics
    assert empty == pytest.approx(dict.fromkeys(perfect, 0), abs=1e-9)


def test_nothing_to_score_is_an_error() -> None:
    with pytest.raises(DataError, match="no captions"):
        score_captions([], [])
    with pytest.raises(DataError, match="caption 2 of 2 has no reference"):
        score_captions(["a", "b"], [["a"], []])
