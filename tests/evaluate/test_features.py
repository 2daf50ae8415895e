import numpy as np
import pytest
import torch
from torch.nn.functional import normalize

from blipvid.core.errors import BlipvidError, DecodeError
from blipvid.core.features import Features
from blipvid.core.protocols import no_progress
from blipvid.core.settings import TaskSettings
from blipvid.core.types import Frames, Runtime
from blipvid.evaluate.features import EncodedClips, encode_clips, lift_frames, scale_pixels
from blipvid.evaluate.store import FeatureStore
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
    model: object, loader: Loader, store: FeatureStore, n: int, batch_size: int = 8, **settings: str
) -> EncodedClips:
    runtime = Runtime(batch_size=batch_size)
    return encode_clips(
        retrieval_set([], n).clips, loader, model, TaskSettings(**settings), runtime, store, no_progress
    )


@pytest.mark.parametrize("batch_size", [1, 3, 8, 100])
def test_batches_change_nothing_and_keep_their_size(batch_size: int) -> None:
    frames = (2, 5, 1)
    with FeatureStore(torch.float32, "cpu", 10**6) as one, FeatureStore(torch.float32, "cpu", 10**6) as other:
        model = Pictures()
        encoded = _encode(model, Loader(n_frames=frames), one, 7, batch_size)
        assert max(model.batches) <= batch_size
        assert sum(model.batches) == 18
        if batch_size == 100:
            assert model.batches == [18]
        alone = _encode(Pictures(), Loader(n_frames=frames), other, 7, 1)
        torch.testing.assert_close(encoded.embeds, alone.embeds)
        for v in range(7):
            assert one.get(v).shape == (16 * frames[v % 3], 6)
            torch.testing.assert_close(one.get(v), other.get(v))
        torch.testing.assert_close(encoded.embeds.norm(dim=1), torch.ones(7))


class Film(Pictures):
    """A native video model: sees order."""

    def encode_clip(self, pixels: torch.Tensor) -> Features:
        weights = torch.arange(1.0, len(pixels) + 1)[:, None]
        return Features(torch.ones(1, 3, 6), (pixels.mean((2, 3)) * weights).sum(0, keepdim=True) @ self.weight)


def test_a_clip_encoder_takes_over() -> None:
    with FeatureStore(torch.float32, "cpu", 10**6) as store:
        model = Film()
        encoded = _encode(model, Loader(n_frames=(2, 5, 1)), store, 4)
        assert model.batches == []
        assert store.get(3).shape == (3, 6)
        torch.testing.assert_close(encoded.embeds.norm(dim=1), torch.ones(4))


def test_skipped_clips_are_listed_and_the_others_stay_in_order() -> None:
    with FeatureStore(torch.float32, "cpu", 10**6) as store:
        loader = Loader(broken=[0, 3])
        encoded = _encode(Replay(np.zeros((6, 1)), np.zeros((6, 1))), loader, store, 6, on_error="skip")
        assert encoded.kept.tolist() == [1, 2, 4, 5]
        assert [store.get(i)[0, 0].item() for i in range(4)] == [1, 2, 4, 5]
        assert [(one.clip_id, one.reason) for one in encoded.skipped] == [
            ("clip0", "0.mp4: is broken."),
            ("clip3", "3.mp4: is broken."),
        ]
        assert encoded.backends == {"odd": 2, "even": 2}
        assert encoded.notes == [{"note": "counted", "clips": 2, "first": ["clip1", "clip5"]}]
        assert loader.closed


def test_stop_raises_the_decoders_own_error_and_ends_the_stream() -> None:
    loader = Loader(broken=[1])
    with FeatureStore(torch.float32, "cpu", 10**6) as store, pytest.raises(DecodeError, match=r"1\.mp4: is broken"):
        _encode(Pictures(), loader, store, 9)
    assert loader.asked == ["clip0", "clip1"]
    assert loader.closed


def test_no_clip_at_all_is_an_error_even_when_skipping() -> None:
    with FeatureStore(torch.float32, "cpu", 10**6) as store, pytest.raises(DecodeError, match="none of the 2 clips"):
        _encode(Pictures(), Loader(broken=[0, 1]), store, 2, on_error="skip")


def test_numbers_that_are_not_finite_name_the_clip() -> None:
    cosine = np.eye(3)
    model = Replay(cosine, cosine)

    def spoil(pixels: torch.Tensor) -> Features:
        found = Replay.encode_images(model, pixels)
        found.embeds[found.embeds[:, 2] > 0] = torch.nan
        return found

    model.encode_images = spoil  # type: ignore[method-assign]
    with FeatureStore(torch.float32, "cpu", 10**6) as store, pytest.raises(BlipvidError, match=r"'clip2'.*not finite"):
        _encode(model, Loader(), store, 3)
