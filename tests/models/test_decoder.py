import pytest
import torch
from torch.testing import assert_close

from blipvid.models.answerer import BlipAnswerer
from tests.models.tiny import tiny_answerer


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> BlipAnswerer:
    return tiny_answerer(tmp_path_factory.mktemp("tiny"))


def looked_at(lengths: list[int]) -> tuple[torch.Tensor, torch.Tensor]:
    states = torch.randn(len(lengths), max(lengths), 16, generator=torch.Generator().manual_seed(3))
    return states, (torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]).long()


def test_writing_step_by_step_scores_as_reading_the_whole(model: BlipAnswerer) -> None:
    decoder = model.text_decoder
    memory = decoder.remember(*looked_at([5, 2, 3]))
    ids = torch.randint(5, 17, (6, 7), generator=torch.Generator().manual_seed(5))  # two texts for each of three things
    whole = decoder(ids, torch.ones_like(ids), memory)
    writing = decoder.begin(memory)
    assert_close(writing.step(ids[:, :3]), whole[:, 2], atol=2e-6, rtol=1e-5)
    for length in range(3, 7):
        assert_close(writing.step(ids[:, length : length + 1]), whole[:, length], atol=2e-6, rtol=1e-5)


def test_selected_texts_go_on_where_they_were(model: BlipAnswerer) -> None:
    decoder = model.text_decoder
    memory = decoder.remember(*looked_at([4, 2]))
    start = torch.tensor([[5, 6], [7, 8]])
    writing = decoder.begin(memory)
    writing.step(start)
    rows = torch.tensor([0, 0, 1, 1])
    writing.select(rows)
    new = torch.tensor([[9], [10], [11], [12]])
    whole = torch.cat([start[rows], new], 1)
    assert_close(writing.step(new), decoder(whole, torch.ones_like(whole), memory)[:, -1], atol=2e-6, rtol=1e-5)


def test_later_words_are_not_seen(model: BlipAnswerer) -> None:
    memory = model.text_decoder.remember(*looked_at([3]))
    ids = torch.tensor([[5, 6, 7, 8]])
    other = torch.tensor([[5, 6, 9, 10]])
    one, two = (model.text_decoder(i, torch.ones_like(i), memory) for i in (ids, other))
    assert torch.equal(one[:, :2], two[:, :2])
    assert (one[:, 2:] - two[:, 2:]).abs().min(-1).values.max() > 1e-4


def test_masked_states_and_padding_words_do_not_matter(model: BlipAnswerer) -> None:
    decoder = model.text_decoder
    states, mask = looked_at([5, 2])
    ids = torch.tensor([[5, 6, 7], [5, 8, 0]])
    words = torch.tensor([[1, 1, 1], [1, 1, 0]])
    together = decoder(ids, words, decoder.remember(states, mask))
    alone = decoder(ids[1:, :2], words[1:, :2], decoder.remember(states[1:, :2]))
    assert_close(together[1:, :2], alone, atol=2e-6, rtol=1e-5)
    everything = decoder(ids, words, decoder.remember(states))
    assert (everything[1] - together[1]).abs().max() > 1e-3


def test_word_scores_are_made_with_the_word_embeddings(model: BlipAnswerer) -> None:
    decoder, states = model.text_decoder, torch.randn(2, 16)
    transformed = decoder.cls.predictions.transform(states)
    wanted = transformed @ decoder.bert.embeddings.word_embeddings.weight.T + decoder.cls.predictions.bias
    assert_close(decoder.logits(states), wanted, atol=1e-6, rtol=1e-5)
    assert len([p for p in decoder.parameters() if p.shape[0] == len(model.tokenizer)]) == 2  # the matrix and the bias
