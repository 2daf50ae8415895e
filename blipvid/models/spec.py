"""What one model file says: family, task, sizes, checkpoint, licence. One YAML is enough to load any BLIP."""

from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from blipvid.core.config import Settings, did_you_mean

Task = Literal["pretrain", "retrieval", "caption", "vqa", "nlvr", "visdial"]

Sharing = Literal["all", "all-but-cross-attention", "all-but-self-attention", "none"]
"""What the two text towers of a pre-trained model have in common. Source: Li et al. 2022, Table 3."""


class _Heads(Settings):
    width: int = Field(ge=1)
    heads: int = Field(ge=1)

    @model_validator(mode="after")
    def _heads_share_the_width(self) -> "_Heads":
        if self.width % self.heads:
            raise ValueError(f"'width' {self.width} cannot be shared by 'heads' {self.heads}: it must be a multiple")
        return self


class VisionSize(_Heads):
    """Sizes of the vision transformer.

    Attributes:
        width: Token width (D).
        depth: Number of blocks.
        heads: Attention heads.
        patch: Side of a patch in pixels.
        mlp_ratio: Hidden width of the MLP divided by `width`.
    """

    depth: int = Field(ge=1)
    patch: int = Field(default=16, ge=1)
    mlp_ratio: float = Field(default=4.0, gt=0)


class TextSize(_Heads):
    """Sizes of the text transformer.

    Attributes:
        width: Token width (D).
        depth: Number of layers.
        heads: Attention heads.
        mlp: Hidden width of the feed-forward part.
        vocab_size: Rows of the word embedding, [DEC] and [ENC] included; None takes it from the vocabulary.
        max_positions: Rows of the position embedding, the longest text that can be read.
    """

    depth: int = Field(ge=1)
    mlp: int = Field(ge=1)
    vocab_size: int | None = None
    max_positions: int = Field(default=512, ge=1)


# Source: salesforce/BLIP models/blip.py `create_vit`, configs/med_config.json.
VISION_SIZES = {
    "vit-b16": VisionSize(width=768, depth=12, heads=12),
    "vit-l16": VisionSize(width=1024, depth=24, heads=16),
}
TEXT_SIZES = {"bert-base": TextSize(width=768, depth=12, heads=12, mlp=3072, vocab_size=30524)}


class ModelSpec(Settings):
    """One model file.

    Attributes:
        name: File stem, and the word on the command line.
        family: The architecture; only `blip` has a builder here.
        task: What the checkpoint was trained for; decides which heads it must hold.
        about: One line for lists.
        checkpoint: `hf:REPO`, `https://...`, `shipped:FILE` or a path relative to the model file.
        mirror: The same weights elsewhere, tried when `checkpoint` cannot be fetched.
        sha256: Of the checkpoint file, where known; a mismatch is an error.
        image_size: Side in pixels of the pictures it was trained on; the position table can be resized from it.
        vision: `vit-b16`, `vit-l16` or sizes.
        text: `bert-base` or sizes.
        embed_dim: Width of the common embedding (E).
        sharing: What the text encoder and the text decoder of a `pretrain` model have in common.
        vocab: Name of a tokenizer on the hub, `shipped:FILE`, or path of a WordPiece vocabulary (one piece a line).
        licence: Licence of the weights.
    """

    name: str
    family: Literal["blip"] = "blip"
    task: Task
    about: str = ""
    checkpoint: str
    mirror: str | None = None
    sha256: str | None = Field(default=None, pattern="^[0-9a-f]{64}$")
    image_size: int = Field(ge=1)
    vision: VisionSize
    text: TextSize
    embed_dim: int = Field(default=256, ge=1)
    sharing: Sharing = "all-but-self-attention"
    vocab: str = "bert-base-uncased"
    licence: str = "unknown"

    @field_validator("vision", mode="before")
    @classmethod
    def _vision_by_name(cls, value: Any) -> Any:
        return _by_name(value, VISION_SIZES)

    @field_validator("text", mode="before")
    @classmethod
    def _text_by_name(cls, value: Any) -> Any:
        return _by_name(value, TEXT_SIZES)


def _by_name(value: Any, sizes: dict[str, Any]) -> Any:
    if not isinstance(value, str):
        return value
    if value not in sizes:
        raise ValueError(f"'{value}' is not one of {', '.join(sizes)}.{did_you_mean(value, sizes)}")
    return sizes[value]
