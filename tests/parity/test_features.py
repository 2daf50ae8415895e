"""Features through the front door against a Hugging Face twin with copied weights."""

from pathlib import Path

import numpy as np
import torch
from torch.nn.functional import normalize
from transformers import AutoTokenizer, BlipForImageTextRetrieval

import blipvid
from blipvid.models.convert import convert
from blipvid.models.vision import normalise_pixels
from tests.models.tiny import write_model

TEXTS = ["A red dog runs.", "the (cat) sits   on the grass", "dogs"]
CLEANED = ["a red dog runs", "the cat sits on the grass", "dogs"]  # as the official code does, by hand


@torch.inference_mode()
def test_clips_pictures_and_texts(tmp_path: Path) -> None:
    ours = blipvid.load_model(str(write_model(tmp_path)))
    folder = convert(ours.model, ours.spec, "hf", tmp_path / "hf", ours.image_size).parent
    twin = BlipForImageTextRetrieval.from_pretrained(folder).eval()
    chance = np.random.default_rng(5)
    clips = [chance.integers(0, 256, (frames, 32, 32, 3), np.uint8) for frames in (4, 1, 3)]
    found = ours.features(clips, tokens=True)
    assert found.tokens is not None
    for clip, embed, tokens in zip(clips, found.embeds, found.tokens, strict=True):
        pixels = torch.from_numpy(clip).permute(0, 3, 1, 2) / 255
        theirs = twin.vision_model(normalise_pixels(pixels)).last_hidden_state
        torch.testing.assert_close(tokens, theirs.flatten(0, 1), atol=1e-5, rtol=1e-4)
        mean = twin.vision_proj(theirs[:, 0]).mean(dim=0)
        torch.testing.assert_close(embed, normalize(mean, dim=0), atol=1e-5, rtol=1e-4)

    words = AutoTokenizer.from_pretrained(folder)(CLEANED, padding=True, return_tensors="pt")
    states = twin.text_encoder(words.input_ids, attention_mask=words.attention_mask, return_dict=True).last_hidden_state
    wanted = normalize(twin.text_proj(states[:, 0]), dim=-1)
    torch.testing.assert_close(ours.text_features(TEXTS), wanted, atol=1e-5, rtol=1e-4)
