from pathlib import Path

import pytest
import torch
from torch.testing import assert_close

from blipvid.core.errors import ConfigError
from blipvid.models.convert import convert
from blipvid.models.pair_judge import FIRST_MERGING, BlipPairJudge
from blipvid.models.spec import TextSize
from blipvid.models.zoo import load_model
from blipvid.train.start import in_common
from tests.models.tiny import tiny_model, tiny_retriever, write_model

DEEP = TextSize(width=16, depth=FIRST_MERGING + 1, heads=2, mlp=32, max_positions=40)
SENTENCES = ["a red dog sits", "the cat runs on the green grass", "a dog"]


def tiny_judge(folder: Path, **changes: object) -> BlipPairJudge:
    model = tiny_model(folder, **{"task": "nlvr", **changes})
    assert isinstance(model, BlipPairJudge)
    return model


def tokens_of(count: int, seed: int) -> torch.Tensor:
    return torch.randn(count, 5, 24, generator=torch.Generator().manual_seed(seed))


def test_every_pair_is_judged_for_itself(tmp_path: Path) -> None:
    model, first, second = tiny_judge(tmp_path, text=DEEP), tokens_of(3, 1), tokens_of(3, 2)
    together = model.judge_pairs(first, second, SENTENCES, 35)
    alone = [model.judge_pairs(first[i, None], second[i, None], [SENTENCES[i]], 35) for i in range(3)]
    assert together.shape == (3, 2)
    assert_close(together, torch.cat(alone), atol=1e-5, rtol=1e-5)
    assert (together - together.flip(0)).abs().max() > 1e-3


def test_sentences_about_one_pair_share_its_memory(tmp_path: Path) -> None:
    model, first, second = tiny_judge(tmp_path, text=DEEP), tokens_of(2, 1), tokens_of(2, 2)
    said = [*SENTENCES, "a cat"]
    shared = model.judge_pairs(first, second, said, 35)
    repeated = model.judge_pairs(first.repeat_interleave(2, 0), second.repeat_interleave(2, 0), said, 35)
    assert_close(shared, repeated, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("depth", [FIRST_MERGING, FIRST_MERGING + 1])
def test_only_what_merges_tells_first_from_second_in_equal_attentions(tmp_path: Path, depth: int) -> None:
    text = DEEP.model_copy(update={"depth": depth})
    model = tiny_judge(tmp_path, text=text)
    plain = tiny_retriever(tmp_path, text=text).state_dict()
    model.load_state_dict(in_common(model.state_dict(), plain), strict=False)
    first, second = tokens_of(3, 1), tokens_of(3, 2)
    one, other = (model.judge_pairs(*pair, SENTENCES, 35) for pair in ((first, second), (second, first)))
    assert ((one - other).abs().max() < 1e-5) == (depth == FIRST_MERGING)


def test_two_equal_pictures_are_one_to_a_tower_that_comes_from_a_plain_one(tmp_path: Path) -> None:
    retriever, model = tiny_retriever(tmp_path), tiny_judge(tmp_path)
    model.load_state_dict(in_common(model.state_dict(), retriever.state_dict()), strict=False)
    tokens = tokens_of(3, 1)
    ids, mask = model.tokenizer(SENTENCES)
    twin = model.text_encoder(ids, mask, model.text_encoder.remember(torch.stack([tokens, tokens], dim=1)))
    plain = retriever.text_encoder(ids, mask, retriever.text_encoder.remember(tokens))
    assert_close(twin, plain, atol=1e-5, rtol=1e-5)


def test_long_sentences_are_cut(tmp_path: Path) -> None:
    model, first, second = tiny_judge(tmp_path), tokens_of(1, 1), tokens_of(1, 2)
    short, long = ([" ".join(["dog"] * n)] for n in (38, 60))  # 40 positions, two of them special
    assert torch.equal(model.judge_pairs(first, second, short, 512), model.judge_pairs(first, second, long, 512))
    assert torch.equal(model.judge_pairs(first, second, ["dog dog"], 512), model.judge_pairs(first, second, long, 4))


@pytest.mark.parametrize("layout", ["blipvid", "official"])
def test_round_trip_is_exact(tmp_path: Path, layout: str) -> None:
    first = load_model(str(write_model(tmp_path, task="nlvr", text=DEEP)))
    back = load_model(str(convert(first.model, first.spec, layout, tmp_path / "out", first.image_size)))
    before, after = first.model.state_dict(), back.model.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[key], after[key]) for key in before)
    assert back.spec.task == "nlvr"


def test_transformers_has_no_such_model(tmp_path: Path) -> None:
    loaded = load_model(str(write_model(tmp_path, task="nlvr")))
    with pytest.raises(ConfigError, match="is a nlvr model, for which transformers has no class"):
        convert(loaded.model, loaded.spec, "hf", tmp_path / "out", 32)
