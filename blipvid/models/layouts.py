"""Names of parameters in the files that people have: the official layout and Hugging Face's.

The official names are blipvid's own, so the table below is all there is to translate.
Source: key lists of salesforce/BLIP's classes and of transformers' `Blip*` classes, compared tensor by tensor.
"""

import re
from collections.abc import Iterable

# Official prefix or infix on the left, Hugging Face's on the right.
_HUGGING_FACE = (
    (r"visual_encoder\.cls_token", "vision_model.embeddings.class_embedding"),
    (r"visual_encoder\.pos_embed", "vision_model.embeddings.position_embedding"),
    (r"visual_encoder\.patch_embed\.proj\.(.+)", r"vision_model.embeddings.patch_embedding.{}"),
    (r"visual_encoder\.blocks\.(\d+)\.norm([12])\.(.+)", r"vision_model.encoder.layers.{}.layer_norm{}.{}"),
    (r"visual_encoder\.blocks\.(\d+)\.attn\.qkv\.(.+)", r"vision_model.encoder.layers.{}.self_attn.qkv.{}"),
    (r"visual_encoder\.blocks\.(\d+)\.attn\.proj\.(.+)", r"vision_model.encoder.layers.{}.self_attn.projection.{}"),
    (r"visual_encoder\.blocks\.(\d+)\.mlp\.(.+)", r"vision_model.encoder.layers.{}.mlp.{}"),
    (r"visual_encoder\.norm\.(.+)", r"vision_model.post_layernorm.{}"),
)


TIED = {
    "text_decoder.cls.predictions.decoder.weight": "text_decoder.bert.embeddings.word_embeddings.weight",
    "text_decoder.cls.predictions.decoder.bias": "text_decoder.cls.predictions.bias",
}
"""Second names of shared tensors. Official files hold both, Hugging Face's one or the other, blipvid's the latter."""


def _pattern(template: str) -> str:
    return re.escape(template).replace(r"\{\}", "(.+)")


def _template(pattern: str) -> str:
    return re.sub(r"\([^)]*\)", "{}", pattern).replace("\\.", ".")


_CROSS_ATTENTION = re.compile(r"(.+\.crossattention\.(?:self|output\.dense))(\..+)")

_TO_HUGGING_FACE = tuple((re.compile(official), theirs) for official, theirs in _HUGGING_FACE)
_TO_OFFICIAL = tuple((re.compile(_pattern(theirs)), _template(official)) for official, theirs in _HUGGING_FACE)


def to_hugging_face(key: str) -> str:
    """Returns Hugging Face's name of an official key."""
    return _translate(key, _TO_HUGGING_FACE)


def to_official(key: str) -> str:
    """Returns the official name of a key in either layout, wrapped by DistributedDataParallel or not."""
    return _translate(key.removeprefix("module."), _TO_OFFICIAL)


def _translate(key: str, table: tuple[tuple[re.Pattern[str], str], ...]) -> str:
    for pattern, template in table:
        found = pattern.fullmatch(key)
        if found:
            return template.format(*found.groups())
    return key


def kind_of(keys: Iterable[str]) -> str:
    """Says in words what checkpoint holds these official keys, for messages.

    Source: the top-level modules of each official model (salesforce/BLIP models/blip_*.py).
    """
    tops = {key.split(".")[0] for key in keys}
    twin = any(".crossattention.self0." in key for key in keys)
    if "visual_encoder" not in tops:
        return "no BLIP checkpoint: it has no vision tower"
    if twin:
        return "an NLVR2 checkpoint"
    if "text_decoder" in tops:
        if "itm_head" in tops:
            return "a pre-training checkpoint"
        return "a VQA checkpoint" if "text_encoder" in tops else "a captioning checkpoint"
    if "itm_head" in tops:
        return "a retrieval checkpoint" if "vision_proj" in tops else "a VisDial checkpoint"
    return "a feature-extractor checkpoint"


def twin_names(key: str) -> tuple[str, ...]:
    """Returns the two names under which a twin tower begins with a parameter of plain cross-attention.

    None of any other parameter: those have one name in both towers, or no counterpart, as what merges.

    Source: salesforce/BLIP models/blip_nlvr.py `load_checkpoint`.
    """
    found = _CROSS_ATTENTION.fullmatch(key)
    return tuple(f"{found[1]}{number}{found[2]}" for number in (0, 1)) if found else ()
