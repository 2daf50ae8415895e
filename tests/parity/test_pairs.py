"""The judge of pairs against the official code's recorded outputs, at the recording's own tolerance."""

import pytest
import torch
from torch.testing import assert_close

from blipvid.models.pair_judge import BlipPairJudge
from blipvid.models.retriever import BlipRetriever
from blipvid.models.tokenizer import load_tokenizer
from blipvid.train.start import in_common
from tests.load_goldens import Goldens
from tests.parity.official import judge_of, spec_of, unit_range


@pytest.fixture(scope="module")
def judge(goldens: Goldens) -> BlipPairJudge:
    return judge_of(goldens).requires_grad_(requires_grad=False)


@pytest.fixture(scope="module")
def tokens(goldens: Goldens, judge: BlipPairJudge) -> tuple[torch.Tensor, ...]:
    return judge.encode_images(unit_range(goldens["nlvr"].tensors("inputs")["image"])).tokens.chunk(2)


def test_states_of_the_twin_tower(goldens: Goldens, judge: BlipPairJudge, tokens: tuple[torch.Tensor, ...]) -> None:
    case = goldens["nlvr"]
    wanted = case.tensors("outputs")
    ids, mask = judge.tokenizer(case.meta["texts"]["sentences"])
    ids[:, 0] = judge.tokenizer.enc
    assert torch.equal(ids, wanted["text_ids"])
    assert torch.equal(mask, wanted["text_mask"])
    states = judge.text_encoder(ids, mask, judge.text_encoder.remember(torch.stack(tokens, dim=1)))
    assert_close(states, wanted["last_hidden"], atol=case.atol, rtol=1e-4)


def test_logits(goldens: Goldens, judge: BlipPairJudge, tokens: tuple[torch.Tensor, ...]) -> None:
    case = goldens["nlvr"]
    logits = judge.judge_pairs(*tokens, case.meta["texts"]["sentences"], max_tokens=64)
    assert_close(logits, case.tensors("outputs")["logits"], atol=case.atol, rtol=1e-4)


def test_a_plain_checkpoint_gives_what_it_gave_to_the_official_model(goldens: Goldens, judge: BlipPairJudge) -> None:
    recorded = goldens["nlvr"].meta["values"]["load_from_plain"]
    spec = spec_of(goldens["nlvr"], str(goldens.vocab))
    plain = BlipRetriever(spec, load_tokenizer(spec.vocab)).state_dict()
    own = judge.state_dict()
    came_from = {id(tensor): key for key, tensor in plain.items()}
    taken = {name: came_from[id(tensor)] for name, tensor in in_common(own, plain).items()}
    assert sorted(own.keys() - taken.keys()) == recorded["missing_keys"]
    renamed = {name: key for name, key in taken.items() if name != key}
    assert renamed == {name: key for name, key in recorded["copied_from"].items() if key is not None}
    heads = ("vision_proj", "text_proj", "itm_head")  # the recorded checkpoint had no heads
    unused = plain.keys() - own.keys()
    assert sorted(key for key in unused if not key.startswith(heads)) == recorded["unexpected_keys"]
