"""What the features of a run depend on, so that another run finds them; and what the record says of the cache."""

import hashlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import blipvid
from blipvid.core.places import features_folder
from blipvid.core.protocols import LoadClips
from blipvid.core.types import Runtime
from blipvid.data.spec import BenchmarkSpec

if TYPE_CHECKING:
    from blipvid.evaluate.cache.keeping import FeatureCache
    from blipvid.models.blip import BlipModel
    from blipvid.models.zoo import LoadedModel

PACKAGES = ("av", "decord", "pillow", "numpy", "timm", "torch")
"""Packages whose version can change a feature."""

PARTS = ("visual_encoder.", "vision_proj.")
"""Begin of the names of the weights that features come from."""


def feature_cache(
    load: LoadClips, spec: BenchmarkSpec, loaded: "LoadedModel", runtime: Runtime, kept_as: str
) -> "FeatureCache":
    """Makes a loader that keeps the features of a benchmark's clips between runs.

    Args:
        load: Decodes clips.
        spec: The benchmark, which owns frames and pixels.
        loaded: The model.
        runtime: Device and arithmetic.
        kept_as: `fp32` or `fp16`.
    """
    import torch

    from blipvid.bench.environment import describe_environment, package_version
    from blipvid.evaluate.cache.keeping import FeatureCache, Recipe
    from blipvid.media.readers import READERS
    from blipvid.media.sampling import SAMPLERS, draws

    frames, environment = spec.frames, describe_environment(runtime.device)
    made_by = {
        "frames": frames.model_dump(mode="json", exclude={"timeout_s"}),
        "from": {"sampler": SAMPLERS.giver(frames.sampler), "reader": READERS.giver(frames.backend)},
        "black_clips": spec.settings.black_clips,
        "weights": vision_sha256(loaded.model),
        "vision": loaded.spec.vision.model_dump(mode="json"),
        "image_size": loaded.image_size,
        "precision": runtime.precision,
        "device": torch.device(runtime.device).type,
        "tf32": environment.tf32,
        "versions": {"blipvid": blipvid.__version__, **{name: package_version(name) for name in PACKAGES}},
    }
    used_for = {"model": loaded.spec.name, "benchmark": spec.name}
    return FeatureCache(features_folder(), load, Recipe(made_by, kept_as, draws(frames.sampler), used_for))


def vision_sha256(model: "BlipModel") -> str:
    """Returns the sha256 of the weights that features come from, as they are loaded; other weights have no say."""
    import torch

    digest = hashlib.sha256()
    for name, weights in sorted(model.state_dict().items()):
        if name.startswith(PARTS):
            digest.update(f"{name} {weights.dtype} {list(weights.shape)}\n".encode())
            digest.update(weights.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def told_of(load: LoadClips) -> dict[str, Any]:
    """Returns what the record says of the cache: nothing where there is none."""
    from blipvid.evaluate.cache.keeping import FeatureCache

    if not isinstance(load, FeatureCache):
        return {}
    return {"cache": load.told}


def cache_caveats(details: Mapping[str, Any]) -> tuple[str, ...]:
    """Says what 16 bits did to the features."""
    cache = details.get("cache", {})
    if cache.get("kept_as", "fp32") == "fp32":
        return ()
    return (f"the tokens of clips were rounded to 16 bits for the cache (relative error {cache['rounding']:.1e})",)
