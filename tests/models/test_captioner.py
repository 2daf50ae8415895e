import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from blipvid.core.errors import ConfigError
from blipvid.core.settings import Writing
from blipvid.models.captioner import BlipCaptioner
from tests.models.tiny import tiny_captioner

CLIPS = 4


@pytest.fixture(scope="module")
def captioner(tmp_path_factory: pytest.TempPathFactory) -> BlipCaptioner:
    return tiny_captioner(tmp_path_factory.mktemp("captioner"))


@pytest.fixture(scope="module")
def tokens(captioner: BlipCaptioner) -> torch.Tensor:
    pixels = torch.rand(CLIPS, 3, 32, 32, generator=torch.Generator().manual_seed(3))
    return captioner.encode_images(pixels).tokens


def drawn_plainly(captioner: BlipCaptioner, clip: torch.Tensor, writing: Writing, seed: int) -> list[int]:
    """Nucleus sampling written out: the whole text is read again at each step, and processors act one after another."""
    generator = torch.Generator().manual_seed(seed)
    memory = captioner.text_decoder.remember(clip[None])
    ids = captioner.start(writing.prompt)[0].tolist()
    while len(ids) < writing.max_tokens:
        text = torch.tensor([ids])
        scores = captioner.text_decoder(text, torch.ones_like(text), memory)[0, -1].clone()
        for held in set(ids):
            scores[held] = scores[held] * 1.1 if scores[held] < 0 else scores[held] / 1.1
        if len(ids) < writing.min_tokens:
            scores[captioner.tokenizer.sep] = -torch.inf
        best = scores.argsort(descending=True, stable=True)[:50].tolist()
        weights = scores[best].softmax(0)
        kept = next(k for k in range(len(best)) if k + 1 == len(best) or weights[: k + 1].sum() > writing.top_p) + 1
        probability = torch.zeros_like(scores)
        probability[best[:kept]] = weights[:kept] / weights[:kept].sum()
        token = int(torch.multinomial(probability, 1, generator=generator))
        if token == captioner.tokenizer.sep:
            break
        ids.append(token)
    return ids


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    seed=st.integers(0, 10**6),
    top_p=st.sampled_from([0.3, 0.9, 1.0]),
    lengths=st.sampled_from([(1, 12), (9, 12), (5, 6)]),
    penalty=st.sampled_from([1.0, 3.0]),
)
def test_nucleus_sampling_is_that_of_the_released_code(
    captioner: BlipCaptioner,
    tokens: torch.Tensor,
    seed: int,
    top_p: float,
    lengths: tuple[int, int],
    penalty: float,
) -> None:
    """Its penalty is 1.1 whatever is asked for; with the dozen words of the tiny vocabulary the top 50 are all."""
    low, high = lengths
    writing = Writing(
        search="nucleus", top_p=top_p, min_tokens=low, max_tokens=high, repetition_penalty=penalty, prompt="a red "
    )
    ((found,),) = captioner.caption(tokens[:1], writing, [seed])
    ids = drawn_plainly(captioner, tokens[0], writing, seed)
    assert found.text == captioner.tokenizer.decode(ids)[len("a red ") :]


def test_only_the_fifty_likeliest_are_drawn(
    captioner: BlipCaptioner, tokens: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("blipvid.models.captioner.NUCLEUS_TOP_K", 1)
    writing = Writing(search="nucleus", top_p=1.0, min_tokens=1, max_tokens=10)
    of_seeds = {captioner.caption(tokens[:1], writing, [seed])[0][0].text for seed in range(20)}
    assert len(of_seeds) == 1
    greedy = Writing(beams=1, repetition_penalty=1.1, min_tokens=1, max_tokens=10)
    assert of_seeds == {captioner.caption(tokens[:1], greedy)[0][0].text}


@pytest.mark.parametrize("search", ["beam", "nucleus"])
def test_no_caption_depends_on_which_others_are_written_with_it(
    captioner: BlipCaptioner, tokens: torch.Tensor, search: str
) -> None:
    writing = Writing(search=search, min_tokens=1, max_tokens=12)
    seeds = list(range(CLIPS))
    together = captioner.caption(tokens, writing, seeds)
    alone = [captioner.caption(tokens[k : k + 1], writing, seeds[k : k + 1])[0] for k in range(CLIPS)]
    assert [[one.text for one in own] for own in together] == [[one.text for one in own] for own in alone]
    scores = [one.score for own in together for one in own]
    assert scores == pytest.approx([one.score for own in alone for one in own], rel=1e-4)


def test_as_many_captions_as_beams_the_best_first(captioner: BlipCaptioner, tokens: torch.Tensor) -> None:
    for beams in (1, 2, 4):
        for own in captioner.caption(tokens, Writing(beams=beams, min_tokens=1, max_tokens=8)):
            assert 1 <= len(own) <= beams
            assert [one.score for one in own] == sorted((one.score for one in own), reverse=True)


@pytest.mark.parametrize("prompt", ["", "a red ", "a red", "A  red ", "The dog? ", "a picture of "])
def test_the_prompt_is_cut_off_however_it_is_written(
    captioner: BlipCaptioner, tokens: torch.Tensor, prompt: str
) -> None:
    writing = Writing(prompt=prompt, beams=1, min_tokens=1, max_tokens=12)
    ((found,),) = captioner.caption(tokens[:1], writing)
    start = captioner.start(prompt)[0].tolist()
    whole = drawn_greedily(captioner, tokens[0], start, 12)
    assert captioner.tokenizer.decode(whole).endswith(found.text)
    rest = captioner.tokenizer.decode(whole[len(start) :]).replace("##", "")
    assert found.text.replace(" ", "") == rest.replace(" ", "")


def drawn_greedily(captioner: BlipCaptioner, clip: torch.Tensor, ids: list[int], most: int) -> list[int]:
    memory = captioner.text_decoder.remember(clip[None])
    while len(ids) < most:
        text = torch.tensor([ids])
        token = int(captioner.text_decoder(text, torch.ones_like(text), memory)[0, -1].argmax())
        if token == captioner.tokenizer.sep:
            break
        ids = [*ids, token]
    return ids


def test_a_prompt_that_leaves_no_room_is_named(captioner: BlipCaptioner, tokens: torch.Tensor) -> None:
    with pytest.raises(ConfigError, match="has 6 tokens with the opening one, which leaves none of max_tokens 6"):
        captioner.caption(tokens, Writing(prompt="a red dog runs on", max_tokens=6))
    longest = captioner.max_tokens  # 40, of which prompt and caption must make do
    with pytest.raises(ConfigError, match=f"leaves none of max_tokens {longest}"):
        captioner.caption(tokens, Writing(prompt="dog " * 45, max_tokens=100))


def test_numbers_that_are_not_finite_show_in_the_scores(captioner: BlipCaptioner, tokens: torch.Tensor) -> None:
    broken = torch.full_like(tokens, torch.nan)
    for search in ("beam", "nucleus"):
        ((best, *_), *_) = captioner.caption(broken[:1], Writing(search=search, min_tokens=1), [0])
        assert best.score != best.score
