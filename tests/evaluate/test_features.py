import numpy as np
import pytest
import torch
from torch.nn.functional import normalize

from blipvid.core.errors import BlipvidError, DecodeError
from blipvid.core.features import Features
from blipvid.core.protocols import no_progress
from blipvid.core.settings import TaskSettings
from blipvid.core.types import Frames, Runtime
from blipvid.evaluate.features import ClipStream, lift_frames, scale_pixels
from tests.evaluate.replay import Loader, Replay, retrieval_set
from tests.load_goldens import Goldens

# Source: salesforce/BLIP, mean and standard deviation of the pictures (those of CLIP)
MEAN = torch.tensor([0.48145466, 0.4578275, 0.40821073]).view(3, 1, 1)
STD = torch.tensor([0.26862954, 0.26130258, 0.27577711]).view(3, 1, 1)


def _frames(pixels: np.ndarray) -> Frames:
    return Frames(pixels, np.arange(len(pixels)), np.arange(len(pixels)) / 25, "drawn")


@pytest.mark.parametrize("clip", ["bright", "almost_black"])
def test_recorded_scaling(goldens: Goldens, clip: str) -> None:
    case = goldens["frame_sampler"]
    pixels = case.tensors("inputs")[clip].numpy().astype(np.uint8)[[0, 2, 4, 6]]
    expected = case.tensors("outputs")[f"norm_{clip}"]
    scaled = scale_pixels(_frames(pixels), "blip", "cpu")
    torch.testing.assert_close((scaled - MEAN) / STD, expected, atol=1e-6, rtol=1e-5)
    same = torch.allclose((scale_pixels(_frames(pixels), "scale", "cpu") - MEAN) / STD, expected, atol=1e-4)
    assert same == (clip == "bright")


@pytest.mark.parametrize("brightest", [0, 1, 2, 255])
@pytest.mark.parametrize("rule", ["blip", "scale"])
def test_only_clips_of_zeros_and_ones_stay_undivided(brightest: int, rule: str) -> None:
    pixels = np.zeros((2, 4, 4, 3), np.uint8)
    pixels[1, 3, 2, 1] = brightest
    scaled = scale_pixels(_frames(pixels), rule, "cpu")
    assert scaled.shape == (2, 3, 4, 4)
    divided = rule == "scale" or brightest > 1
    assert scaled[1, 1, 3, 2] == pytest.approx(brightest / 255 if divided else brightest)


def test_recorded_lifting(goldens: Goldens) -> None:
    case = goldens["video_retrieval"]
    recorded = case.tensors("outputs")
    frame_proj = recorded["frame_proj"].view(12, 4, -1)
    tokens = recorded["frame_tokens_first_video"]
    clips = [lift_frames(Features(tokens, embeds)) for embeds in frame_proj]
    cosine = torch.cat([clip.embeds for clip in clips]) @ normalize(recorded["text_proj"], dim=-1).T
    torch.testing.assert_close(cosine, recorded["sims_v2t"], atol=case.atol, rtol=1e-4)
    assert clips[0].tokens.shape == (1, 4 * 17, 64)
    assert torch.equal(clips[0].tokens[0, 17:34], tokens[1])  # frame after frame


class Pictures:
    """An encoder that multiplies; tells no clip from another."""

    def __init__(self) -> None:
        generator = torch.Generator().manual_seed(1)
        self.weight = torch.randn(3, 6, generator=generator)
        self.batches: list[int] = []

    def encode_images(self, pixels: torch.Tensor) -> Features:
        self.batches.append(len(pixels))
        tokens = pixels.flatten(2).transpose(1, 2) @ self.weight
        return Features(tokens, tokens[:, 0])


def _encode(
    model: object, loader: Loader, n: int, batch_size: int = 8, **settings: str
) -> tuple[ClipStream, list[int], list[Features]]:
    """Runs a whole stream; returns it with the positions and features that it gave."""
    runtime, clips = Runtime(batch_size=batch_size), retrieval_set([], n).clips
    with ClipStream(clips, loader, model, TaskSettings(**settings), runtime, no_progress) as stream:
        given = list(stream)
    return stream, [position for position, _ in given], [features for _, features in given]


@pytest.mark.parametrize("batch_size", [1, 3, 8, 100])
def test_batches_change_nothing_and_keep_their_size(batch_size: int) -> None:
    frames = (2, 5, 1)
    model = Pictures()
    _, positions, encoded = _encode(model, Loader(n_frames=frames), 7, batch_size)
    assert max(model.batches) <= batch_size
    assert sum(model.batches) == 18
    if batch_size == 100:
        assert model.batches == [18]
    _, _, alone = _encode(Pictures(), Loader(n_frames=frames), 7, 1)
    assert positions == list(range(7))
    for v, (own, other) in enumerate(zip(encoded, alone, strict=True)):
        assert own.tokens.shape == (1, 16 * frames[v % 3], 6)
        torch.testing.assert_close(own.tokens, other.tokens)
        torch.testing.assert_close(own.embeds, other.embeds)
        assert own.embeds.norm().item() == pytest.approx(1)


def test_a_clip_is_given_as_soon_as_its_batch_is_full() -> None:
    loader = Loader(n_frames=(4,))
    clips = retrieval_set([], 9).clips
    asked = []
    with ClipStream(clips, loader, Pictures(), TaskSettings(), Runtime(batch_size=8), no_progress) as stream:
        for _ in stream:
            asked.append(len(loader.asked))
    assert asked == [3, 3, 5, 5, 7, 7, 9, 9, 9]


def test_leaving_early_ends_the_stream() -> None:
    loader = Loader()
    clips = retrieval_set([], 50).clips
    with ClipStream(clips, loader, Pictures(), TaskSettings(), Runtime(), no_progress) as stream:
        next(iter(stream))
    assert loader.closed
    assert len(loader.asked) < 50


class Film(Pictures):
    """A native video model: sees order."""

    def encode_clip(self, pixels: torch.Tensor) -> Features:
        weights = torch.arange(1.0, len(pixels) + 1)[:, None]
        return Features(torch.ones(1, 3, 6), (pixels.mean((2, 3)) * weights).sum(0, keepdim=True) @ self.weight)


def test_a_clip_encoder_takes_over() -> None:
    model = Film()
    _, _, encoded = _encode(model, Loader(n_frames=(2, 5, 1)), 4)
    assert model.batches == []
    assert encoded[3].tokens[0].shape == (3, 6)
    assert [features.embeds.norm().item() for features in encoded] == pytest.approx([1.0] * 4)


def test_skipped_clips_are_listed_and_the_others_stay_in_order() -> None:
    loader = Loader(broken=[0, 3])
    stream, positions, encoded = _encode(Replay(np.zeros((6, 1)), np.zeros((6, 1))), loader, 6, on_error="skip")
    assert stream.kept.tolist() == positions == [1, 2, 4, 5]
    assert [features.tokens[0, 0, 0].item() for features in encoded] == [1, 2, 4, 5]
    assert [(one.clip_id, one.reason) for one in stream.skipped] == [
        ("clip0", "0.mp4: is broken."),
        ("clip3", "3.mp4: is broken."),
    ]
    assert stream.backends == {"odd": 2, "even": 2}
    assert stream.notes == [{"note": "counted", "clips": 2, "first": ["clip1", "clip5"]}]
    assert loader.closed


def test_stop_raises_the_decoders_own_error_and_ends_the_stream() -> None:
    loader = Loader(broken=[1])
    with pytest.raises(DecodeError, match=r"1\.mp4: is broken"):
        _encode(Pictures(), loader, 9)
    assert loader.asked == ["clip0", "clip1"]
    assert loader.closed


def test_no_clip_at_all_is_an_error_even_when_skipping() -> None:
    with pytest.raises(DecodeError, match="none of the 2 clips"):
        _encode(Pictures(), Loader(broken=[0, 1]), 2, on_error="skip")


def test_numbers_that_are_not_finite_name_the_clip() -> None:
    cosine = np.eye(3)
    model = Replay(cosine, cosine)

    def spoil(pixels: torch.Tensor) -> Features:
        found = Replay.encode_images(model, pixels)
        found.embeds[found.embeds[:, 2] > 0] = torch.nan
        return found

    model.encode_images = spoil  # type: ignore[method-assign]
    with pytest.raises(BlipvidError, match=r"'clip2'.*not finite"):
        _encode(model, Loader(), 3)
