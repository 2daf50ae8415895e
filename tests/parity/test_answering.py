"""Question states, generated and ranked answers against the official VQA model's recorded ones."""

import pytest
import torch
from torch.testing import assert_close

from blipvid.core.features import QuestionStates
from blipvid.models.answerer import BlipAnswerer
from tests.load_goldens import Goldens
from tests.parity.official import answerer_of, unit_range


@pytest.fixture(scope="module")
def model(goldens: Goldens) -> BlipAnswerer:
    return answerer_of(goldens)


def read(model: BlipAnswerer, goldens: Goldens, padded: bool) -> QuestionStates:
    """Reads each recorded question with its own picture; all padded to the longest, as one official batch is."""
    case = goldens["vqa"]
    tokens = model.encode_images(unit_range(case.tensors("inputs")["image"])).tokens
    longest = case.tensors("outputs")["question_ids"].shape[1]
    read = [
        model.read_questions(model.remember(own), [question], 35, longest if padded else None)
        for own, question in zip(tokens, case.meta["texts"]["questions"], strict=True)
    ]
    states = [torch.nn.functional.pad(q.states, (0, 0, 0, longest - q.states.shape[1])) for q in read]
    masks = [torch.nn.functional.pad(q.mask, (0, longest - q.mask.shape[1])) for q in read]
    return QuestionStates(torch.cat(states), torch.cat(masks), torch.cat([q.cut for q in read]))


@pytest.mark.parametrize("padded", [True, False])
def test_question_states(model: BlipAnswerer, goldens: Goldens, padded: bool) -> None:
    case = goldens["vqa"]
    wanted, questions = case.tensors("outputs"), read(model, goldens, padded)
    assert torch.equal(questions.mask, wanted["question_mask"])
    assert not questions.cut.any()
    seen = torch.ones_like(questions.mask) if padded else questions.mask  # unpadded reading gives padding no states
    assert_close(questions.states * seen[..., None], wanted["question_states"] * seen[..., None], atol=1e-4, rtol=1e-4)


def test_counted_tokens_are_those_that_are_read(model: BlipAnswerer, goldens: Goldens) -> None:
    case = goldens["vqa"]
    assert torch.equal(
        model.count_tokens(case.meta["texts"]["questions"], 35), case.tensors("outputs")["question_mask"].sum(1)
    )


def test_generated_answers(model: BlipAnswerer, goldens: Goldens) -> None:
    case, questions = goldens["vqa"], read(model, goldens, padded=True)
    seen = QuestionStates(questions.states, torch.ones_like(questions.mask), questions.cut)
    answers = model.generate_answers(seen, beams=3, max_tokens=10, min_tokens=1)
    assert [own[0].text for own in answers] == case.meta["values"]["generate_text"]
    assert all([a.score for a in own] == sorted((a.score for a in own), reverse=True) for own in answers)


@pytest.mark.parametrize("k", [6, 24])
@pytest.mark.parametrize("padded", [True, False])
def test_ranked_answers(model: BlipAnswerer, goldens: Goldens, k: int, padded: bool) -> None:
    case = goldens["vqa"]
    wanted, listed = case.tensors("outputs"), case.meta["texts"]["answer_list"]
    ranked = model.rank_answers(read(model, goldens, padded), model.list_answers(listed), k)
    assert [listed[i] for i in best(ranked.index, ranked.losses)] == case.meta["values"][f"rank_k{k}_text"]
    assert torch.equal(best(ranked.index, ranked.losses), wanted[f"rank_k{k}"])
    # candidates of equal first tokens may stand in any order, so each recorded one is looked up by its ids
    recorded = wanted[f"rank_k{k}_candidate_ids"].view(len(ranked.index), k, -1)
    ids = wanted["answer_ids"]
    for row in range(len(ranked.index)):
        number = [(ids == candidate).all(1).nonzero().item() for candidate in recorded[row]]
        assert sorted(number) == sorted(ranked.index[row].tolist())
        place = torch.tensor([ranked.index[row].tolist().index(one) for one in number])
        assert_close(ranked.losses[row][place], wanted[f"rank_k{k}_neg_logprob"][row].abs(), atol=case.atol, rtol=1e-4)


def best(index: torch.Tensor, losses: torch.Tensor) -> torch.Tensor:
    return index.gather(1, losses.argmin(1, keepdim=True))[:, 0]


def test_first_tokens(model: BlipAnswerer, goldens: Goldens) -> None:
    case = goldens["vqa"]
    wanted, questions = case.tensors("outputs"), read(model, goldens, padded=False)
    table = model.list_answers(case.meta["texts"]["answer_list"])
    start = torch.full((len(questions), 1), model.tokenizer.dec)
    logits = model.text_decoder.begin(model.text_decoder.remember(questions.states, questions.mask)).step(start)
    assert_close(logits[:, table.first], wanted["rank_k24_first_logits_at_answers"], atol=case.atol, rtol=1e-4)
