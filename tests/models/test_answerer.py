from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import cross_entropy
from torch.testing import assert_close

from blipvid.core.features import QuestionStates
from blipvid.core.protocols import Answerer, ImageEncoder, Matcher
from blipvid.models import answerer
from blipvid.models.answer_tree import AnswerTree
from blipvid.models.answerer import BlipAnswerer
from blipvid.models.generation import Rules, beam_search
from tests.models.tiny import WORDS, tiny_answerer, tiny_retriever

QUESTIONS = ["a red dog runs on the grass?", "the cat?", "dogs", "a green cat sits on the dog ?"]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> BlipAnswerer:
    return tiny_answerer(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def questions(model: BlipAnswerer) -> QuestionStates:
    tokens = torch.randn(10, 24, generator=torch.Generator().manual_seed(2))
    return model.read_questions(model.remember(tokens), QUESTIONS, 35)


def test_it_is_what_is_asked_for(model: BlipAnswerer, tmp_path: Path) -> None:
    assert isinstance(model, Answerer)
    assert isinstance(model, ImageEncoder)
    assert not isinstance(model, Matcher)
    assert not isinstance(tiny_retriever(tmp_path), Answerer)


def test_questions_read_together_are_questions_read_alone(model: BlipAnswerer, questions: QuestionStates) -> None:
    tokens = torch.randn(10, 24, generator=torch.Generator().manual_seed(2))
    for number, question in enumerate(QUESTIONS):
        alone = model.read_questions(model.remember(tokens), [question], 35)
        length = alone.states.shape[1]
        assert questions.mask[number].sum() == length
        assert_close(questions.states[number, :length], alone.states[0], atol=2e-6, rtol=1e-5)
    assert questions.mask.sum(1).tolist() == model.count_tokens(QUESTIONS, 35).tolist()


def test_long_questions_are_cut_and_say_so(model: BlipAnswerer) -> None:
    memory = model.remember(torch.randn(10, 24))
    long = " ".join(["dog"] * 60)
    by_setting = model.read_questions(memory, [long, "dogs"], 20)
    assert by_setting.cut.tolist() == [True, False]
    assert by_setting.states.shape[1] == 20
    by_positions = model.read_questions(memory, [long], 500)
    assert by_positions.cut.all()
    assert by_positions.states.shape[1] == 40  # all the positions the tiny tower has
    assert model.count_tokens([long, "dogs"], 20).tolist() == [20, 4]


def losses_one_by_one(model: BlipAnswerer, states: torch.Tensor, answer: str) -> tuple[float, float]:
    """The official loss of one answer to one question: the whole answer, nothing shared."""
    ids, mask = model.tokenizer([answer])
    ids[:, 0] = model.tokenizer.dec
    logits = model.text_decoder(ids, mask, model.text_decoder.remember(states[None]))[0, :-1]
    smoothed = cross_entropy(logits, ids[0, 1:], label_smoothing=0.1, reduction="sum")
    return float(smoothed), -float(cross_entropy(logits, ids[0, 1:], reduction="sum"))


@settings(max_examples=25, deadline=None)
@given(
    answers=st.lists(
        st.lists(st.sampled_from(WORDS[:6]), min_size=1, max_size=4).map(" ".join), min_size=1, max_size=12, unique=True
    ),
    nodes=st.integers(1, 40),
    logits=st.integers(1, 400),
)
def test_the_tree_scores_each_answer_as_if_it_stood_alone(
    model: BlipAnswerer, questions: QuestionStates, answers: list[str], nodes: int, logits: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(answerer, "NODES_AT_ONCE", nodes)
        patch.setattr(answerer, "LOGITS_AT_ONCE", logits)
        ranked = model.rank_answers(questions, model.list_answers(answers), 0)
    assert sorted(ranked.index[0].tolist()) == list(range(len(answers)))
    for row, length in enumerate(questions.mask.sum(1).tolist()):
        for column, number in enumerate(ranked.index[row].tolist()):
            wanted = losses_one_by_one(model, questions.states[row, :length], answers[number])
            ours = float(ranked.losses[row, column]), float(ranked.logprobs[row, column])
            assert ours == pytest.approx(wanted, abs=2e-4)


def test_given_candidates_keep_their_places(model: BlipAnswerer, questions: QuestionStates) -> None:
    table = model.list_answers(["a dog", "a cat", "grass", "a dog runs"])
    everything = model.rank_answers(questions, table, 0)
    index = torch.tensor([[3, 0], [1, 1], [2, 3], [0, 2]])
    some = model.score_answers(questions, table, index)
    assert torch.equal(some.index, index)
    for row in range(4):
        for column in range(2):
            place = everything.index[row].tolist().index(int(index[row, column]))
            assert_close(some.losses[row, column], everything.losses[row, place], atol=1e-5, rtol=1e-5)


def test_candidates_are_those_of_the_likeliest_first_tokens(model: BlipAnswerer, questions: QuestionStates) -> None:
    answers = ["dog", "a cat", "cat", "a dog", "grass", "a"]  # "a cat", "a dog" and "a" begin alike
    table = model.list_answers(answers)
    start = torch.full((len(questions), 1), model.tokenizer.dec)
    memory = model.text_decoder.remember(questions.states, questions.mask)
    first = model.text_decoder.begin(memory).step(start).softmax(1)
    for k in range(1, 8):
        ranked = model.rank_answers(questions, table, k)
        for row in range(len(questions)):
            chance = [float(first[row, model.tokenizer([a.split()[0]])[0][0, 1]]) for a in answers]
            wanted = sorted(range(6), key=lambda a: (-chance[a], a))[:k]
            assert ranked.index[row].tolist() == wanted


def test_generated_answers_do_not_depend_on_the_company(model: BlipAnswerer, questions: QuestionStates) -> None:
    together = model.generate_answers(questions, 3, 10, 1)
    for row, length in enumerate(questions.mask.sum(1).tolist()):
        alone = QuestionStates(
            questions.states[row : row + 1, :length],
            questions.mask[row : row + 1, :length],
            questions.cut[row : row + 1],
        )
        (own,) = model.generate_answers(alone, 3, 10, 1)
        assert [a.text for a in own] == [a.text for a in together[row]]
        assert [a.logprob for a in own] == pytest.approx([a.logprob for a in together[row]], abs=1e-4)


def test_no_answer_is_longer_than_the_tower_has_positions(model: BlipAnswerer, questions: QuestionStates) -> None:
    bounded = model.generate_answers(questions, 2, 100, 90)
    assert bounded == model.generate_answers(questions, 2, 40, 40)


def test_the_probability_of_a_written_text_is_that_of_the_ranked_one(tmp_path: Path, questions: QuestionStates) -> None:
    model = tiny_answerer(tmp_path)
    decoder, end = model.text_decoder, model.tokenizer.sep
    decoder.cls.predictions.bias.data[end] = 4.0  # with weights from chance few texts end by themselves
    start = torch.full((len(questions), 1), model.tokenizer.dec)
    writing = decoder.begin(decoder.remember(questions.states, questions.mask))
    found = beam_search(writing, start, Rules(end, max_length=6), beams=4)
    checked = 0
    for row, own in enumerate(found):
        ended = [text for text in own if len(text.ids) < 6]
        states = QuestionStates(*(part[row : row + 1] for part in (questions.states, questions.mask, questions.cut)))
        for text in ended:
            ids = torch.tensor([[*text.ids, end]])
            ranked = model.rank_answers(states, AnswerTree(ids, torch.ones_like(ids)), 1)
            assert float(ranked.logprobs[0, 0]) == pytest.approx(text.logprob, abs=1e-4)
            checked += 1
    assert checked
