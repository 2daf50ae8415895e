import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from blipvid.models import packed
from blipvid.models.packed import all_states, first_states
from blipvid.models.retriever import BlipRetriever
from tests.models.tiny import tiny_retriever


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> BlipRetriever:
    return tiny_retriever(tmp_path_factory.mktemp("tiny"))


def padded(lengths: list[int]) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(len(lengths))
    ids = torch.randint(5, 17, (len(lengths), max(lengths)), generator=generator)
    mask = (torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]).long()
    return ids * mask, mask


@settings(max_examples=30, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 12), min_size=1, max_size=20), with_memory=st.booleans(), piece=st.integers(1, 40)
)
def test_packed_reading_equals_padded_reading(
    model: BlipRetriever, lengths: list[int], with_memory: bool, piece: int
) -> None:
    ids, mask = padded(lengths)
    tower = model.text_encoder
    tokens = torch.randn(1, 30, 24, generator=torch.Generator().manual_seed(1))
    memory = tower.remember(tokens) if with_memory else None
    plain = tower(ids, mask, memory) * mask[..., None]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(packed, "_tokens_at_once", lambda *_: piece)
        torch.testing.assert_close(first_states(tower, ids, mask, memory), plain[:, 0], atol=2e-6, rtol=1e-5)
        torch.testing.assert_close(all_states(tower, ids, mask, memory), plain, atol=2e-6, rtol=1e-5)


def test_padding_does_not_matter(model: BlipRetriever) -> None:
    ids, mask = padded([3, 7, 5])
    wider = torch.nn.functional.pad(ids, (0, 9)), torch.nn.functional.pad(mask, (0, 9))
    memory = model.text_encoder.remember(torch.randn(3, 5, 24))
    near = model.text_encoder(ids, mask, memory)[:, 0]
    torch.testing.assert_close(model.text_encoder(*wider, memory)[:, 0], near, atol=2e-6, rtol=1e-5)


def test_memory_is_made_once_when_kept(model: BlipRetriever) -> None:
    made = []
    attention = model.text_encoder.encoder.layer[0].crossattention
    original = attention.keys_values
    attention.keys_values = lambda tokens: made.append(1) or original(tokens)  # type: ignore[method-assign]
    try:
        tokens = torch.randn(1, 5, 24)
        for keep, times in ((True, 1), (False, 2)):
            made.clear()
            memory = model.text_encoder.remember(tokens, keep=keep)
            first = memory.layer(0)
            torch.testing.assert_close(memory.layer(0), first)
            assert len(made) == times
    finally:
        del attention.keys_values


def test_order_of_frames_does_not_matter_but_their_content_does(model: BlipRetriever) -> None:
    ids, mask = padded([4, 4])
    frames = torch.randn(2, 5, 24)
    tower = model.text_encoder
    there = first_states(tower, ids, mask, tower.remember(frames.flatten(0, 1)[None]))
    back = first_states(tower, ids, mask, tower.remember(frames.flip(0).flatten(0, 1)[None]))
    torch.testing.assert_close(there, back, atol=2e-6, rtol=1e-5)
    other = first_states(tower, ids, mask, tower.remember(frames[:1].flatten(0, 1)[None]))
    assert (there - other).abs().max() > 1e-3
