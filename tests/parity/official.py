"""Our model from a recorded case of the official code."""

import torch

from blipvid.models.answerer import BlipAnswerer
from blipvid.models.captioner import BlipCaptioner
from blipvid.models.checkpoints import load_into
from blipvid.models.pair_judge import BlipPairJudge
from blipvid.models.pretrained import BlipPretrained
from blipvid.models.retriever import BlipRetriever
from blipvid.models.spec import ModelSpec, TextSize, VisionSize
from blipvid.models.tokenizer import load_tokenizer
from blipvid.models.vision import PIXEL_MEAN, PIXEL_STD
from tests.load_goldens import Case, Goldens


def spec_of(case: Case, vocab: str, task: str = "retrieval") -> ModelSpec:
    """Translates the sizes that the recording states."""
    config, text = case.config, case.config["text"]
    return ModelSpec(
        name=case.folder.name,
        task=task,
        checkpoint="weights.safetensors",
        image_size=config["image_size"],
        vision=VisionSize(
            width=config["vit_width"],
            depth=config["vit_depth"],
            heads=config["vit_heads"],
            patch=config["patch_size"],
            mlp_ratio=config["mlp_ratio"],
        ),
        text=TextSize(
            width=text["hidden_size"],
            depth=text["num_hidden_layers"],
            heads=text["num_attention_heads"],
            mlp=text["intermediate_size"],
            vocab_size=text["vocab_size"],
            max_positions=text["max_position_embeddings"],
        ),
        embed_dim=config["embed_dim"],
        vocab=vocab,
    )


def retriever_of(goldens: Goldens, name: str, image_size: int | None = None) -> BlipRetriever:
    """Builds our retriever with the recorded weights, in evaluation mode."""
    case = goldens[name]
    spec = spec_of(case, str(goldens.vocab))
    model = BlipRetriever(spec, load_tokenizer(spec.vocab), image_size)
    state = case.tensors("weights")
    for key, tensor in model.state_dict().items():  # a feature extractor has no heads; they are not used then
        if key.split(".")[0] in ("vision_proj", "text_proj", "itm_head"):
            state.setdefault(key, tensor)
    load_into(model, state, name)
    return model.eval().requires_grad_(requires_grad=False)


def answerer_of(goldens: Goldens, name: str = "vqa") -> BlipAnswerer:
    """Builds our answerer with the recorded weights, in evaluation mode."""
    case = goldens[name]
    spec = spec_of(case, str(goldens.vocab), "vqa")
    model = BlipAnswerer(spec, load_tokenizer(spec.vocab))
    load_into(model, case.tensors("weights"), name)
    return model.eval().requires_grad_(requires_grad=False)


def pretrained_of(goldens: Goldens) -> BlipPretrained:
    """Builds our model before fine-tuning with the recorded weights, ready to learn."""
    case = goldens["pretrain"]
    spec = spec_of(case, str(goldens.vocab), "pretrain")
    model = BlipPretrained(spec, load_tokenizer(spec.vocab))
    load_into(model, case.tensors("weights"), "pretrain")
    return model.eval()


def captioner_of(goldens: Goldens) -> BlipCaptioner:
    """Builds our captioner with the recorded weights, in evaluation mode."""
    case = goldens["captioning"]
    spec = spec_of(case, str(goldens.vocab), "caption")
    model = BlipCaptioner(spec, load_tokenizer(spec.vocab))
    load_into(model, case.tensors("weights"), "captioning")
    return model.eval().requires_grad_(requires_grad=False)


def judge_of(goldens: Goldens) -> BlipPairJudge:
    """Builds our judge of pairs with the recorded weights, ready to learn."""
    case = goldens["nlvr"]
    spec = spec_of(case, str(goldens.vocab), "nlvr")
    model = BlipPairJudge(spec, load_tokenizer(spec.vocab))
    load_into(model, case.tensors("weights"), "nlvr")
    return model.eval()


def unit_range(normalised: torch.Tensor) -> torch.Tensor:
    """Turns recorded pixels, already normalised, back into the [0, 1] that `encode_images` takes."""
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (PIXEL_MEAN, PIXEL_STD))
    return normalised * std + mean
