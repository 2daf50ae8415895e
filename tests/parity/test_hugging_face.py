"""A Hugging Face twin with our weights gives our numbers. transformers' BLIP classes serve as an oracle only."""

from pathlib import Path

import torch
from transformers import AutoTokenizer, BlipForImageTextRetrieval, BlipForQuestionAnswering

from blipvid.models.answerer import BlipAnswerer
from blipvid.models.convert import convert
from blipvid.models.generation import Rules, greedy
from blipvid.models.spec import VisionSize
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
    prepared = ours.model.prepare_texts(texts, 10**6)
    for number in range(3):
        logits = twin(
            input_ids=grounded,
            attention_mask=texts.mask,
            pixel_values=normalise_pixels(pixels[number : number + 1]).expand(3, -1, -1, -1),
        ).itm_score
        memory = ours.model.remember(images.tokens[number])
        found = ours.model.match(memory, prepared, torch.arange(3))
        torch.testing.assert_close(found, logits[:, 1], atol=1e-5, rtol=1e-4)


@torch.inference_mode()
def test_answering_twin(tmp_path: Path) -> None:
    ours = load_model(str(write_model(tmp_path, task="vqa", vision=VisionSize(width=16, depth=2, heads=2))))
    model = ours.model
    assert isinstance(model, BlipAnswerer)
    folder = convert(model, ours.spec, "hf", tmp_path / "hf", ours.image_size).parent
    twin, report = BlipForQuestionAnswering.from_pretrained(folder, output_loading_info=True)
    assert not any(report.values()), report
    twin.eval()
    pixels = torch.rand(1, 3, 32, 32)
    tokens = model.encode_images(pixels).tokens[0]
    for question in TEXTS:
        read = model.read_questions(model.remember(tokens), [question], 35)
        theirs = AutoTokenizer.from_pretrained(folder)([question], return_tensors="pt").input_ids
        theirs[:, 0] = model.tokenizer.enc
        states = twin.text_encoder(
            input_ids=theirs, encoder_hidden_states=tokens[None], return_dict=True
        ).last_hidden_state
        torch.testing.assert_close(read.states, states, atol=1e-5, rtol=1e-4)

        written = torch.tensor([[model.tokenizer.dec, 7, 9, 5]])
        memory = model.text_decoder.remember(read.states, read.mask)
        logits = twin.text_decoder(input_ids=written, encoder_hidden_states=states).logits
        torch.testing.assert_close(
            model.text_decoder(written, torch.ones_like(written), memory), logits, atol=1e-5, rtol=1e-4
        )
        # beams are divided by another length in newer transformers; one token after the other is the same everywhere
        start = torch.tensor([[model.tokenizer.dec]])
        (own,) = greedy(model.text_decoder.begin(memory), start, Rules(model.tokenizer.sep, 10))
        ids = twin.generate(theirs, pixel_values=normalise_pixels(pixels), max_length=10, num_beams=1, do_sample=False)
        rest = ids[0, len(own.ids) :].tolist()
        assert list(own.ids) == ids[0, : len(own.ids)].tolist()
        assert rest[:1] in ([], [model.tokenizer.sep])
