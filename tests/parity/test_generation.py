"""Texts written by beam search and greedily against those of the official captioner, token by token."""

import pytest
import torch
from torch.testing import assert_close

from blipvid.core.settings import Writing
from blipvid.models.captioner import BlipCaptioner
from blipvid.models.generation import Hypothesis, Rules, beam_search, greedy
from blipvid.models.med import Memory
from tests.load_goldens import Goldens
from tests.parity.official import captioner_of, unit_range

DEFAULTS = {"num_beams": 3, "max_length": 30, "min_length": 10, "repetition_penalty": 1.0}
CASES = ["coco", "nocaps", "greedy", "default", "beam5", "greedy_rp", "beam1_short", "beam3_nomin"]


@pytest.fixture(scope="module")
def captioner(goldens: Goldens) -> BlipCaptioner:
    return captioner_of(goldens)


@pytest.fixture(scope="module")
def memory(captioner: BlipCaptioner, goldens: Goldens) -> Memory:
    return captioner.text_decoder.remember(captioner.see(unit_range(goldens["captioning"].tensors("inputs")["image"])))


def write(
    captioner: BlipCaptioner, memory: Memory, start: torch.Tensor, settings: dict[str, float]
) -> list[Hypothesis]:
    asked = {**DEFAULTS, **settings}
    beams, max_length, min_length, penalty = (asked[key] for key in DEFAULTS)
    rules = Rules(captioner.tokenizer.sep, int(max_length), int(min_length), penalty)
    writing = captioner.text_decoder.begin(memory)
    if beams == 1:
        return greedy(writing, start, rules)
    return [own[0] for own in beam_search(writing, start, rules, int(beams))]


@pytest.mark.parametrize("name", CASES)
def test_the_same_tokens_and_texts(captioner: BlipCaptioner, memory: Memory, goldens: Goldens, name: str) -> None:
    case = goldens["captioning"]
    wanted, values = case.tensors("outputs"), case.meta["values"]
    written = write(captioner, memory, wanted[f"gen_{name}_start_ids"], values["settings"][name])
    for own, recorded in zip(written, wanted[f"gen_{name}_ids"].tolist(), strict=True):
        rest = recorded[len(own.ids) :]
        assert list(own.ids) == recorded[: len(own.ids)]
        assert rest == [captioner.tokenizer.sep, *[captioner.tokenizer.pad] * (len(rest) - 1)][: len(rest)]
    prompt = len(case.config["prompt"])
    assert [captioner.tokenizer.decode(own.ids)[prompt:] for own in written] == values[f"gen_{name}_text"]


def test_the_recorded_cases_are_all_here(goldens: Goldens) -> None:
    assert sorted(goldens["captioning"].meta["values"]["settings"]) == sorted(CASES)


def test_scores(captioner: BlipCaptioner, memory: Memory, goldens: Goldens) -> None:
    case = goldens["captioning"]
    wanted = case.tensors("outputs")
    written = write(captioner, memory, wanted["gen_coco_start_ids"], case.meta["values"]["settings"]["coco"])
    scores = torch.tensor([own.score for own in written])
    assert_close(scores, wanted["gen_coco_scores"], atol=case.atol, rtol=1e-4)
    assert_close(scores * torch.tensor([len(own.ids) for own in written]), torch.tensor([o.logprob for o in written]))


def test_start(captioner: BlipCaptioner, goldens: Goldens) -> None:
    case = goldens["captioning"]
    assert (case.tensors("outputs")["gen_coco_start_ids"] == captioner.start(case.config["prompt"])).all()


@pytest.mark.parametrize("name", CASES)
def test_the_captioner_itself_says_the_same(
    captioner: BlipCaptioner, memory: Memory, goldens: Goldens, name: str
) -> None:
    values = goldens["captioning"].meta["values"]
    asked = {**DEFAULTS, **values["settings"][name]}
    beams, longest, shortest, penalty = (asked[key] for key in DEFAULTS)
    writing = Writing(beams=beams, max_tokens=longest, min_tokens=shortest, repetition_penalty=penalty)
    found = captioner.caption(memory.tokens, writing)
    assert [own[0].text for own in found] == values[f"gen_{name}_text"]


def test_logits_of_given_texts(captioner: BlipCaptioner, memory: Memory, goldens: Goldens) -> None:
    case = goldens["captioning"]
    wanted = case.tensors("outputs")
    logits = captioner.text_decoder(wanted["lm_input_ids"], wanted["lm_mask"], memory)
    seen = wanted["lm_mask"][:2].bool()
    assert_close(logits[:2][seen], wanted["lm_logits_first2"][seen], atol=case.atol, rtol=1e-4)
