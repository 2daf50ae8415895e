import math
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

import blipvid
from blipvid.core.errors import BlipvidError, CapabilityError, CheckpointError, ConfigError, DataError, DecodeError
from blipvid.core.features import Answer
from blipvid.core.settings import Writing
from blipvid.core.types import Frames
from blipvid.evaluate.features import lift_frames, scale_pixels
from blipvid.media.sampling import blip_compat
from blipvid.models import zoo
from tests.bench.call import call
from tests.bench.test_questions import predictions
from tests.bench.world import ANSWERS, ASKED, World, make_question_world
from tests.media.drawing import draw_clip
from tests.models.tiny import write_model

QUESTIONS = [question for question, _ in ASKED]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return make_question_world(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="module")
def model(world: World) -> blipvid.Model:
    return blipvid.load_model(str(world.model))


def clip(world: World, number: int = 0) -> Path:
    return world.folder / "clips" / f"c{number}.mp4"


def test_importing_blipvid_is_light():
    code = "import blipvid, sys; print([name for name in ('torch', 'numpy', 'blipvid.library') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_the_face_holds_what_it_names_and_nothing_else():
    for name in blipvid.__all__:
        assert getattr(blipvid, name) is not None
    with pytest.raises(AttributeError, match="load_modle"):
        blipvid.load_modle  # noqa: B018


def test_a_loaded_model_says_what_it_is(model: blipvid.Model):
    assert (model.name, model.image_size, model.spec.task) == ("tiny", 32, "vqa")
    assert len(model.sha256) == 64
    assert model.report.matched
    assert not model.model.training
    assert repr(model) == "Model('tiny', image_size=32)"


def test_answers_are_those_of_a_benchmark_run(world: World, model: blipvid.Model, tmp_path: Path):
    assert call(*world.arguments(tmp_path)).code == 0
    rows = predictions(tmp_path)
    for number in range(3):
        frames = blipvid.read_frames(clip(world, number), count=2, size=32)
        generated = [row["prediction"] for row in rows if row["clip"] == f"c{number}" and row["protocol"] == "generate"]
        assert model.answer(frames, QUESTIONS) == generated
        ranked = [row["prediction"] for row in rows if row["clip"] == f"c{number}" and row["protocol"] == "rank"]
        assert [own[0].text for own in model.best_answers(frames, QUESTIONS, ANSWERS)] == ranked


def test_probabilities_are_those_of_the_decoder(world: World, model: blipvid.Model):
    frames = blipvid.read_frames(clip(world), count=2, size=32)
    inner = model.model
    with torch.inference_mode():
        tokens = lift_frames(inner.encode_images(scale_pixels(frames, "blip", "cpu"))).tokens[0]
        states = inner.read_questions(inner.remember(tokens), ["what runs?"], 35)
        generated = inner.generate_answers(states, 3, 10, 1)[0]
        index = torch.arange(len(ANSWERS))[None]
        scored = inner.score_answers(states, inner.list_answers(ANSWERS), index)
    found = model.best_answers(frames, ["What runs?"])[0]
    assert [one.text for one in found] == [one.text for one in generated]
    assert [one.probability for one in found] == pytest.approx([math.exp(one.logprob) for one in generated], rel=1e-4)
    listed = model.best_answers(frames, ["what runs?"], ANSWERS)[0]
    order = scored.losses[0].argsort()
    assert [one.text for one in listed] == [ANSWERS[k] for k in order]
    assert [one.probability for one in listed] == pytest.approx(scored.logprobs[0][order].exp().tolist(), rel=1e-4)


def test_of_equal_losses_the_earlier_answer_comes_first(world: World, model: blipvid.Model):
    found = model.best_answers(clip(world), ["what runs?"], ["zebra", "cow", "horse"])[0]  # all unknown words
    assert [one.text for one in found] == ["zebra", "cow", "horse"]


def test_a_path_an_array_and_frames_are_the_same_clip(world: World, model: blipvid.Model):
    frames = blipvid.read_frames(clip(world), size=32)
    assert frames.pixels.shape == (16, 32, 32, 3)
    answers = model.best_answers(frames, QUESTIONS)
    assert model.best_answers(clip(world), QUESTIONS) == answers
    assert model.best_answers(str(clip(world)), QUESTIONS) == answers
    assert model.best_answers(frames.pixels, QUESTIONS) == answers


def test_a_batch_bounds_memory_and_changes_nothing(world: World, model: blipvid.Model, monkeypatch: pytest.MonkeyPatch):
    whole = model.best_answers(clip(world), QUESTIONS)
    monkeypatch.setattr("blipvid.library.FRAMES_AT_ONCE", 3)
    for own, other in zip(whole, model.best_answers(clip(world), QUESTIONS), strict=True):
        assert [one.text for one in own] == [one.text for one in other]
        assert [one.probability for one in own] == pytest.approx([one.probability for one in other], rel=1e-4)


def test_a_window_is_sampled_by_itself_and_a_whole_file_as_a_benchmark_does(world: World, model: blipvid.Model):
    draw_clip(path := world.folder / "long.mp4", 100, width=64, height=48)
    window = model.read_frames(path, start_s=1.0, end_s=2.0)
    assert window.pixels.shape == (16, 32, 32, 3)
    assert window.indices.tolist() == [25 + 25 * n // 16 for n in range(16)]
    assert len(model.read_frames(path, sampler="blip-compat", start_s=1.0, end_s=2.0).indices) == 4
    for whole in (model.read_frames(path), model.read_frames(path, start_s=0.0)):
        assert whole.indices.tolist() == blip_compat(100, 16)


def test_a_window_of_a_file_is_read(world: World):
    whole = blipvid.read_frames(clip(world), count=4, size=16, sampler="uniform")
    part = blipvid.read_frames(clip(world), count=4, size=16, sampler="uniform", start_s=0.16)
    assert part.indices.min() > whole.indices.min()


@pytest.mark.parametrize(
    ("questions", "said"),
    [
        ([], "no question to answer"),
        ([""], "question 1 is empty"),
        (["what?", " .!"], "question 2 is empty"),
        ("what?", r"write \['what\?'\]"),
        (["what?", None], "number 2 is NoneType"),
        ([3], "number 1 is int"),
        (None, "this is NoneType"),
        (np.array("what?"), "this is ndarray"),
    ],
)
def test_questions_that_cannot_be_asked(world: World, model: blipvid.Model, questions: list[str], said: str):
    with pytest.raises(ConfigError, match=said):
        model.answer(clip(world), questions)


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        ([], "at least one"),
        ("dog", "are a list"),
        (["dog", ""], "answer 2 is empty"),
        (["dog", "cat", "dog"], "answer 3, 'dog', stands in the list already"),
        (["dog", None], "number 2 is NoneType"),
        (7, "this is int"),
    ],
)
def test_answers_that_cannot_be_chosen_from(world: World, model: blipvid.Model, answers: list[str], said: str):
    with pytest.raises((ConfigError, DataError), match=said):
        model.best_answers(clip(world), ["what?"], answers)


def test_any_collection_of_texts_will_do(world: World, model: blipvid.Model):
    asked, listed = QUESTIONS[:2], ANSWERS[:2]
    found = model.best_answers(clip(world), asked, listed)
    for make in (tuple, iter, np.array, dict.fromkeys, lambda texts: (text for text in texts)):
        assert model.best_answers(clip(world), make(asked), make(listed)) == found
    assert len(model.best_answers(clip(world), set(asked), set(listed))) == 2


@pytest.mark.parametrize(
    ("frames", "said"),
    [
        (np.zeros((2, 24, 24, 3), np.uint8), r"24 x 24 px.*load_model\('tiny', image_size=24\)"),
        (np.zeros((2, 24, 32, 3), np.uint8), "32 x 24 px.*make them square"),
        (np.zeros((32, 32, 3), np.uint8), r"\(N, H, W, 3\).*\(32, 32, 3\)"),
        (np.zeros((0, 32, 32, 3), np.uint8), "at least one"),
        (np.zeros((2, 3, 32, 32), np.uint8), r"\(N, H, W, 3\)"),
        (np.zeros((2, 32, 32, 3), np.float32), "uint8.*float32"),
        ([1, 2], "this is list"),
    ],
)
def test_frames_that_do_not_fit(model: blipvid.Model, frames: np.ndarray, said: str):
    with pytest.raises(ConfigError, match=said):
        model.answer(frames, ["what?"])


def test_arrays_that_torch_does_not_take_are_copied(model: blipvid.Model):
    pixels = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), np.uint8)
    turned = pixels[..., ::-1]
    locked = turned.copy()
    locked.flags.writeable = False
    expected = model.best_answers(turned.copy(), QUESTIONS)
    assert model.best_answers(turned, QUESTIONS) == expected
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert model.best_answers(locked, QUESTIONS) == expected
    whole = Frames(turned, np.arange(2), np.zeros(2), "array")
    assert model.best_answers(whole, QUESTIONS) == expected


def test_the_size_that_the_error_advises_works(world: World):
    smaller = blipvid.load_model(str(world.model), image_size=16)
    assert len(smaller.answer(np.full((1, 16, 16, 3), 200, np.uint8), ["what runs?"])) == 1


def test_files_that_are_not_there_or_no_video(model: blipvid.Model, tmp_path: Path):
    with pytest.raises(ConfigError, match="no such file"):
        model.answer(tmp_path / "nothing.mp4", ["what?"])
    with pytest.raises(ConfigError, match="is a folder, not a file"):
        model.answer(tmp_path, ["what?"])
    (tmp_path / "no.mp4").write_bytes(b"no video")
    (tmp_path / "no.png").write_bytes(b"no picture")
    (tmp_path / "empty.mp4").touch()
    for name in ("no.mp4", "no.png", "empty.mp4"):
        with pytest.raises(DecodeError, match=f"{name}: .*[^.]; give another file.$") as caught:
            model.answer(tmp_path / name, ["what?"])
        assert "clip" not in str(caught.value).replace(str(tmp_path), "")
    with pytest.raises(ConfigError, match="Did you mean 'uniform'"):
        blipvid.read_frames(tmp_path / "no.mp4", sampler="unifrom")


def test_a_window_that_holds_nothing(world: World):
    for window in ({"start_s": 5, "end_s": 2}, {"end_s": 0}, {"start_s": -1}, {"start_s": math.nan}):
        with pytest.raises(ConfigError, match="its end has to be after its start"):
            blipvid.read_frames(clip(world), **window)
    with pytest.raises(DecodeError, match=r"which has 8 frames, 0.32 s; give another start or end, or another file.$"):
        blipvid.read_frames(clip(world), start_s=90)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"device": "banana"}, "device 'banana'"),
        ({"image_size": 0}, "image_size is 0.*a multiple of 16"),
        ({"image_size": -8}, "image_size is -8"),
        ({"image_size": 30}, "image_size is 30"),
    ],
)
def test_what_no_model_can_be_loaded_for(world: World, asked: dict[str, object], said: str):
    with pytest.raises(ConfigError, match=said):
        blipvid.load_model(str(world.model), **asked)


def test_the_best_device_is_found(world: World):
    assert blipvid.load_model(str(world.model), device="auto").name == "tiny"


def test_beams_with_one_text_are_merged_and_follow_the_first_by_probability(
    world: World, model: blipvid.Model, monkeypatch: pytest.MonkeyPatch
):
    beams = [("dog", -0.4, -2.0), ("cat", -0.5, -1.5), ("dog", -0.6, -1.2), ("", -0.7, -0.7), ("cow", -0.8, -0.9)]
    monkeypatch.setattr(
        type(model.model), "generate_answers", lambda *_: [[Answer(*beam) for beam in beams]], raising=True
    )
    found = model.best_answers(clip(world), ["what runs?"])[0]
    assert [one.text for one in found] == ["dog", "cow", "cat"]
    assert [one.probability for one in found] == pytest.approx([math.exp(p) for p in (-2.0, -0.9, -1.5)])
    assert model.answer(clip(world), ["what runs?"]) == ["dog"]


def test_a_model_without_a_decoder_is_named_before_any_decoding(tmp_path: Path):
    retriever = blipvid.load_model(str(write_model(tmp_path)))
    with pytest.raises(CapabilityError, match="'tiny' is a retrieval model and answers no questions"):
        retriever.answer(tmp_path / "nothing.mp4", ["what?"])


def test_weights_that_are_not_there_are_named(world: World, tmp_path: Path):
    (tmp_path / "alone.yaml").write_text(world.model.read_text())
    with pytest.raises(CheckpointError, match=r"tiny\.pth"):
        blipvid.load_model(str(tmp_path / "alone.yaml"))


@pytest.mark.parametrize("question", ["what " * 40 + "?", "word " * 60])
def test_a_question_that_is_too_long_is_cut_with_a_warning(world: World, model: blipvid.Model, question: str):
    for ask in (model.answer, model.best_answers):
        with pytest.warns(UserWarning, match="only the begin of the question") as warned:
            ask(clip(world), [question])
        assert [warning.filename for warning in warned] == [__file__]


def test_numbers_that_are_not_finite_are_an_error(world: World, model: blipvid.Model):
    broken = zoo.load_model(str(world.model))
    broken.model.text_encoder.embeddings.word_embeddings.weight.data[:] = torch.nan
    with pytest.raises(BlipvidError, match="not finite"):
        blipvid.Model(broken).answer(clip(world), ["what?"])


@pytest.fixture(scope="module")
def retriever(tmp_path_factory: pytest.TempPathFactory) -> blipvid.Model:
    return blipvid.load_model(str(write_model(tmp_path_factory.mktemp("retriever"))))


def test_features_of_paths_arrays_and_frames_are_the_same(world: World, retriever: blipvid.Model):
    path = clip(world)
    frames = retriever.read_frames(path, 8)
    found = retriever.features([path, str(path), frames, frames.pixels], tokens=True)
    assert found.embeds.shape == (4, 8)
    assert found.embeds.dtype == torch.float32
    assert found.tokens is not None
    assert [own.shape for own in found.tokens] == [(8 * 5, 24)] * 4
    torch.testing.assert_close(found.embeds, found.embeds[:1].expand(4, -1))
    lifted = lift_frames(retriever.model.encode_images(scale_pixels(frames, "blip", "cpu")))
    torch.testing.assert_close(found.embeds[:1], lifted.embeds)
    torch.testing.assert_close(found.tokens[0], lifted.tokens[0])
    assert retriever.features(iter([path])).tokens is None


def test_each_text_has_its_row(retriever: blipvid.Model):
    texts = ["the dog sits", "a cat", "The dog sits.", "a red dog runs on the grass"]
    found = retriever.text_features(texts)
    assert torch.equal(found[0], found[2])
    for text, row in zip(texts, found, strict=True):
        torch.testing.assert_close(retriever.text_features([text])[0], row)
    assert found.norm(dim=1).tolist() == pytest.approx([1.0] * 4)


def test_what_has_no_features(world: World, model: blipvid.Model, retriever: blipvid.Model, tmp_path: Path):
    (tmp_path / "no.mp4").write_bytes(b"no video")
    for wrong in (str(clip(world)), clip(world), np.zeros((1, 32, 32, 3), np.uint8)):
        with pytest.raises(ConfigError, match=r"write \[clip\]"):
            retriever.features(wrong)
    with pytest.raises(ConfigError, match="no clip to embed"):
        retriever.features([])
    with pytest.raises(ConfigError, match="24 x 24 px"):
        retriever.features([np.zeros((2, 24, 24, 3), np.uint8)])
    with pytest.raises(DecodeError, match=r"no\.mp4"):
        retriever.features([clip(world), tmp_path / "no.mp4"])
    with pytest.raises(ConfigError, match="no text to embed"):
        retriever.text_features([])
    with pytest.raises(ConfigError, match="number 2 is int"):
        retriever.text_features(["a dog", 7])  # type: ignore[list-item]
    for ask in (lambda: model.features([clip(world)]), lambda: model.text_features(["a dog"])):
        with pytest.raises(CapabilityError, match="'tiny' is a vqa model and has no common space"):
            ask()


@pytest.fixture(scope="module")
def captioner(tmp_path_factory: pytest.TempPathFactory) -> blipvid.Model:
    return blipvid.load_model(str(write_model(tmp_path_factory.mktemp("captioner"), task="caption")))


def test_a_caption_is_that_of_the_decoder(world: World, captioner: blipvid.Model):
    frames = captioner.read_frames(clip(world), 8)
    inner = captioner.model
    with torch.inference_mode():
        tokens = lift_frames(inner.encode_images(scale_pixels(frames, "blip", "cpu"))).tokens
        expected = inner.caption(tokens, Writing())[0][0].text.strip()
        greedy = inner.caption(tokens, Writing(beams=1, min_tokens=1, prompt="a red "))[0][0].text.strip()
    for one in (clip(world), str(clip(world)), frames, frames.pixels):
        assert captioner.caption(one) == expected
    assert captioner.caption(frames, beams=1, min_tokens=1, prompt="a red ") == greedy


def test_captions_that_are_drawn_are_seeded(world: World, captioner: blipvid.Model):
    said = [captioner.caption(clip(world), search="nucleus", seed=seed) for seed in (1, 1, 2, 3, 4)]
    assert said[0] == said[1]
    assert len(set(said)) > 1


def test_what_cannot_be_captioned(world: World, model: blipvid.Model, captioner: blipvid.Model, tmp_path: Path):
    with pytest.raises(CapabilityError, match="'tiny' is a vqa model and writes no captions"):
        model.caption(tmp_path / "nothing.mp4")
    with pytest.raises(ConfigError, match="no such file"):
        captioner.caption(tmp_path / "nothing.mp4")
    with pytest.raises(ConfigError, match="'min_tokens' 30 is more than 'max_tokens' 20"):
        captioner.caption(clip(world), min_tokens=30)
    with pytest.raises(ConfigError, match="key 'search'"):
        captioner.caption(clip(world), search="bean")
    with pytest.raises(ConfigError, match="24 x 24 px"):
        captioner.caption(np.zeros((1, 24, 24, 3), np.uint8))
