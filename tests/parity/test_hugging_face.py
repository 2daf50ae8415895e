"""A Hugging Face twin with our weights gives our numbers. transformers' BLIP classes serve as an oracle only."""

from pathlib import Path

import torch
from transformers import AutoTokenizer, BlipForImageTextRetrieval

from blipvid.models.convert import convert
from blipvid.models.vision import normalise_pixels
from blipvid.models.zoo import load_model
from tests.models.tiny import write_model

TEXTS = ["a red dog runs", "the cat sits on the grass", "dogs"]


@torch.inference_mode()
def test_retrieval_twin(tmp_path: Path) -> None:
    ours = load_model(str(write_model(tmp_path)))
    folder = convert(ours.model, ours.spec, "hf", tmp_path / "hf", ours.image_size).parent
    twin, report = BlipForImageTextRetrieval.from_pretrained(folder, output_loading_info=True)
    assert not any(report.values()), report
    twin.eval()
    pixels = torch.rand(3, 3, 32, 32)
    images, texts = ours.model.encode_images(pixels), ours.model.encode_texts(TEXTS, 35)
    tokens = twin.vision_model(normalise_pixels(pixels)).last_hidden_state
    torch.testing.assert_close(images.tokens, tokens, atol=1e-5, rtol=1e-4)

    theirs = AutoTokenizer.from_pretrained(folder)(TEXTS, padding=True, return_tensors="pt")
    assert theirs.input_ids.tolist() == texts.ids.tolist()
    cosine = twin(
        input_ids=texts.ids, attention_mask=texts.mask, pixel_values=normalise_pixels(pixels), use_itm_head=False
    ).itm_score
    embeds = torch.nn.functional.normalize(images.embeds, dim=-1)
    torch.testing.assert_close(embeds @ texts.embeds.T, cosine, atol=1e-5, rtol=1e-4)

    grounded = texts.ids.clone()
    grounded[:, 0] = ours.model.tokenizer.enc
    for number in range(3):
        logits = twin(
            input_ids=grounded,
            attention_mask=texts.mask,
            pixel_values=normalise_pixels(pixels[number : number + 1]).expand(3, -1, -1, -1),
        ).itm_score
        memory = ours.model.remember(images.tokens[number])
        torch.testing.assert_close(ours.model.match(memory, texts), logits[:, 1], atol=1e-5, rtol=1e-4)
