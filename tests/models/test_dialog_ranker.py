from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from blipvid.core.errors import CapabilityError, CheckpointError
from blipvid.models.convert import convert
from blipvid.models.dialog_ranker import BlipDialogRanker, keep_ends
from blipvid.models.spec import VisionSize
from blipvid.models.zoo import load_model
from tests.models.tiny import tiny_model, tiny_retriever, write_model

VISION = VisionSize(width=16, depth=2, heads=2)
CAPTIONS = ["a red dog", "the cat sits on the green grass"]
DIALOGS = ["a dog? red", "a dog? the grass", "a cat runs? the red cat sits", "on grass?"]


@pytest.fixture
def ranker(tmp_path: Path) -> BlipDialogRanker:
    model = tiny_model(tmp_path, task="visdial", vision=VISION)
    assert isinstance(model, BlipDialogRanker)
    return model


@pytest.fixture
def tokens() -> torch.Tensor:
    return torch.randn(2, 5, 16, generator=torch.Generator().manual_seed(1))


def test_dialogs_agree_with_one_picture_caption_and_dialog_at_a_time(
    ranker: BlipDialogRanker, tokens: torch.Tensor
) -> None:
    found = ranker.judge(ranker.remember(tokens, CAPTIONS), DIALOGS, 35)
    wanted = []
    for number, dialog in enumerate(DIALOGS):
        caption = ranker.text_encoder(*ranker.tokenizer([CAPTIONS[number // 2]]))
        seen = torch.cat([tokens[number // 2], caption[0]])
        ids, mask = ranker.tokenizer([dialog])
        ids[:, 0] = ranker.tokenizer.enc
        states = ranker.text_encoder(ids, mask, ranker.text_encoder.remember(seen[None]))
        wanted.append(ranker.itm_head(states[0, 0]))
    assert_close(found, torch.stack(wanted), atol=1e-5, rtol=1e-5)


def test_picture_and_caption_both_count(ranker: BlipDialogRanker, tokens: torch.Tensor) -> None:
    found = ranker.judge(ranker.remember(tokens, CAPTIONS), DIALOGS, 35)
    for memory in (ranker.remember(tokens.flip(0), CAPTIONS), ranker.remember(tokens, CAPTIONS[::-1])):
        assert (ranker.judge(memory, DIALOGS, 35) - found).abs().max() > 1e-3


def test_a_long_dialog_loses_its_beginning_and_keeps_the_answer(ranker: BlipDialogRanker, tokens: torch.Tensor) -> None:
    memory = ranker.remember(tokens[:1], CAPTIONS[:1])
    red, green, other = (
        ranker.judge(memory, [" ".join(words)], 35)
        for words in (["dog"] * 60 + ["red"], ["dog"] * 60 + ["green"], ["cat"] * 20 + ["dog"] * 60 + ["red"])
    )
    assert torch.equal(red, other)
    assert (red - green).abs().max() > 1e-3


@given(lengths=st.lists(st.integers(1, 12), min_size=1, max_size=6), most=st.integers(1, 15))
def test_the_last_tokens_are_kept(lengths: list[int], most: int) -> None:
    texts = [list(range(1, length + 1)) for length in lengths]
    ids = torch.tensor([own + [0] * (max(lengths) - len(own)) for own in texts])
    kept, mask = keep_ends(ids, (ids > 0).long(), most)
    assert [row[there.bool()].tolist() for row, there in zip(kept, mask, strict=True)] == [own[-most:] for own in texts]
    assert kept.shape[1] == min(most, max(lengths))


def test_towers_of_different_widths_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CapabilityError, match=r"'tiny': its towers are 24 and 16 wide.*the same width"):
        tiny_model(tmp_path, task="visdial")


def test_a_retriever_is_a_ranker_already(tmp_path: Path) -> None:
    state = tiny_retriever(tmp_path, vision=VISION).state_dict()
    loaded = load_model(str(write_model(tmp_path, state, task="visdial", vision=VISION)))
    assert {key.split(".")[0] for key in loaded.report.dropped} == {"vision_proj", "text_proj"}


@pytest.mark.parametrize("layout", ["blipvid", "official"])
def test_round_trip_is_exact(tmp_path: Path, layout: str) -> None:
    first = load_model(str(write_model(tmp_path, task="visdial", vision=VISION)))
    written = convert(first.model, first.spec, layout, tmp_path / "out", first.image_size)
    before, after = first.model.state_dict(), load_model(str(written)).model.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[key], after[key]) for key in before)


def test_its_checkpoint_is_named_where_another_is_wanted(tmp_path: Path, ranker: BlipDialogRanker) -> None:
    with pytest.raises(CheckpointError, match="the file looks like a VisDial checkpoint"):
        load_model(str(write_model(tmp_path, ranker.state_dict(), vision=VISION)))


def test_scores_of_one_thing_are_right_minus_wrong(ranker: BlipDialogRanker, tokens: torch.Tensor) -> None:
    logits = ranker.judge(ranker.remember(tokens[1:], CAPTIONS[1:]), DIALOGS, 9)
    memory = ranker.remember_captioned(tokens[1], CAPTIONS[1])
    for _ in range(2):  # the second time from what is kept
        found = ranker.score_dialogs(memory, DIALOGS, 9)
        assert_close(found, logits[:, 1] - logits[:, 0], atol=1e-5, rtol=1e-5)
    assert found.std() > 1e-3
