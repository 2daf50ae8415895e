"""The vision tower: timm's vision transformer, whose parameter names are the official ones.

Not a backbone zoo: BLIP's tower is a plain pre-norm ViT whose last norm is applied to all tokens, without pooling.
"""

from functools import partial

import torch
from timm.models.vision_transformer import VisionTransformer
from torch import nn
from torch.utils.checkpoint import checkpoint

from blipvid.core.errors import CheckpointError
from blipvid.models.spec import VisionSize

LAYER_NORM_EPS = 1e-6  # Source: salesforce/BLIP models/vit.py; Hugging Face's default of 1e-5 gives other scores

# CLIP's statistics. Source: salesforce/BLIP data/__init__.py
PIXEL_MEAN = (0.48145466, 0.4578275, 0.40821073)
PIXEL_STD = (0.26862954, 0.26130258, 0.27577711)


def build_vision(size: VisionSize, image_size: int, drop_path: float = 0.0) -> VisionTransformer:
    """Builds an untrained vision transformer.

    Args:
        size: Width, depth, heads, patch and MLP ratio.
        image_size: Side of the pictures in pixels; a multiple of the patch.
        drop_path: Largest stochastic-depth rate, growing linearly over the blocks; training only.

    Returns:
        A module from (B, 3, S, S) float pixels to (B, 1 + (S/patch)^2, D) tokens, class token first.

    Raises:
        CheckpointError: The picture size is not a multiple of the patch.
    """
    if image_size % size.patch:
        raise CheckpointError(
            f"pictures of {image_size} px cannot be cut into patches of {size.patch} px; "
            f"set 'frames.size' or 'image_size' to a multiple of {size.patch}."
        )
    return VisionTransformer(
        img_size=image_size,
        patch_size=size.patch,
        embed_dim=size.width,
        depth=size.depth,
        num_heads=size.heads,
        mlp_ratio=size.mlp_ratio,
        num_classes=0,
        global_pool="",
        drop_path_rate=drop_path,
        norm_layer=partial(nn.LayerNorm, eps=LAYER_NORM_EPS),
    )


def recompute(tower: VisionTransformer, blocks: int) -> None:
    """Lets the last blocks of a tower keep nothing for the way back, which computes them again; training only.

    Source: salesforce/BLIP models/vit.py `ckpt_layer`, which does so for attention and MLP of each block.
    """
    for block in list(tower.blocks)[len(tower.blocks) - blocks :]:
        block.forward = partial(checkpoint, block.forward, use_reentrant=False)


def normalise_pixels(pixels: torch.Tensor) -> torch.Tensor:
    """Returns pixels (..., 3, S, S) in [0, 1] less the mean and divided by the standard deviation of each channel."""
    mean, std = (pixels.new_tensor(values).view(3, 1, 1) for values in (PIXEL_MEAN, PIXEL_STD))
    return (pixels - mean) / std


def resize_positions(table: torch.Tensor, tokens: int) -> torch.Tensor:
    """Resizes a position table to another number of patches.

    Args:
        table: (1, 1 + s*s, D) float, class token first, then a square grid in row-major order.
        tokens: Wanted number of tokens, 1 + t*t.

    Returns:
        (1, tokens, D); the very same tensor where the size fits already.

    Raises:
        CheckpointError: One of the two grids is not a square.

    Source: salesforce/BLIP models/vit.py `interpolate_pos_embed` (bicubic, align_corners off, no antialiasing).
    """
    if table.shape[1] == tokens:
        return table
    old, new = (round((n - 1) ** 0.5) for n in (table.shape[1], tokens))
    if old * old + 1 != table.shape[1] or new * new + 1 != tokens:
        raise CheckpointError(
            f"a position table of {table.shape[1]} tokens cannot be resized to {tokens}: only square grids can."
        )
    head, grid = table[:, :1], table[:, 1:]
    grid = grid.reshape(1, old, old, -1).permute(0, 3, 1, 2)
    grid = nn.functional.interpolate(grid, size=(new, new), mode="bicubic", align_corners=False)
    return torch.cat([head, grid.permute(0, 2, 3, 1).flatten(1, 2)], dim=1)
