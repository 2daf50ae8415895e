"""The released order of work, written here anew upon the weights of our models; and models and texts to feed it with.

Attention is spelled out, and every pass makes the keys and values of what it looks at for itself.
"""

import tempfile
from pathlib import Path
from typing import TypeVar, cast

import torch
from torch.nn.functional import dropout

from blipvid.models.blip import BlipModel
from blipvid.models.med import DROPOUT, Attention, MedEncoder
from blipvid.models.spec import ModelSpec
from blipvid.models.tokenizer import SPECIAL_TOKENS, load_tokenizer

WORDS = 30522
M = TypeVar("M", bound=BlipModel)


def build_random(kind: type[M], task: str, text_layers: int, vision_blocks: int = 1, image_px: int = 64) -> M:
    """Builds a model of base width with random weights and with attention that is not flat."""
    pieces = [*SPECIAL_TOKENS, *(f"w{n}" for n in range(WORDS - len(SPECIAL_TOKENS)))]
    with tempfile.TemporaryDirectory() as folder:
        vocab = Path(folder) / "vocab.txt"
        vocab.write_text("".join(f"{piece}\n" for piece in pieces), encoding="utf-8")
        spec = ModelSpec.model_validate(
            {
                "name": "random",
                "task": task,
                "checkpoint": "none",
                "image_size": image_px,
                "vision": {"width": 768, "depth": vision_blocks, "heads": 12},
                "text": {"width": 768, "depth": text_layers, "heads": 12, "mlp": 3072},
                "vocab": str(vocab),
            }
        )
        torch.manual_seed(0)
        model = kind(spec, load_tokenizer(vocab))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "query" in name or "key" in name:
                parameter.mul_(4.0)
    return model


def draw_texts(n_texts: int, lengths: list[int], seed: int) -> list[str]:
    """Draws different texts of as many words as `lengths` says in turn; each word is one piece."""
    generator = torch.Generator().manual_seed(seed)
    found: dict[str, None] = {}
    while len(found) < n_texts:
        length = lengths[len(found) % len(lengths)]
        words = torch.randint(0, WORDS - len(SPECIAL_TOKENS), (length,), generator=generator).tolist()
        found[" ".join(f"w{word}" for word in words)] = None
    return list(found)


def attend(attention: Attention, x: torch.Tensor, looked_at: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """One attention sub-layer with everything spelled out: x (B, L, D) looks at (B, V, D'), additive mask."""
    query = attention.self.split(attention.self.query(x))
    key = attention.self.split(attention.self.key(looked_at))
    value = attention.self.split(attention.self.value(looked_at))
    scores = query @ key.transpose(-1, -2) / query.shape[-1] ** 0.5 + mask
    shares = dropout(scores.softmax(-1), DROPOUT, attention.training)
    return attention.output((shares @ value).transpose(-2, -3).flatten(-2), x)


def read(
    tower: MedEncoder, ids: torch.Tensor, allowed: torch.Tensor, looked_at: torch.Tensor | None = None
) -> torch.Tensor:
    """Sends texts through all layers, every one with all tokens of what it looks at.

    Args:
        tower: The text tower.
        ids: (B, L) int64.
        allowed: Broadcastable to (B, 1, L, L), 1 where a token may look at another of its text.
        looked_at: (B, V, D'); None reads the texts alone.

    Returns:
        (B, L, D) states.
    """
    x = tower.embeddings(ids, torch.arange(ids.shape[1], device=ids.device))
    hidden = (1.0 - allowed) * -10000.0
    for layer in tower.layers:
        x = attend(layer.attention, x, x, hidden)
        if looked_at is not None:
            all_of_it = looked_at.new_zeros(1, 1, 1, looked_at.shape[1])
            x = attend(cast(Attention, layer.crossattention), x, looked_at, all_of_it)
        x = layer.feed_forward(x)
    return x
