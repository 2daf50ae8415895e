"""One clip's features in one file, which is there whole or not at all.

A safetensors file: `tokens` (1, N*T, D) and `embeds` (1, E), and as metadata what the clip was, how its features were
made and what decoding it had to say, so a file in the place of another is seen. It takes its name only when it is
finished and on disk, so neither a killed process nor a second one that writes the same clip can leave half of it.
Reading maps the file into memory and looks at its checksum, which takes as long as a copy of the tokens: no disk is
trusted with a figure.
"""

import hashlib
import json
import os
import zlib
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from blipvid.core.features import Features, KnownClip
from blipvid.core.files import replacing

SUFFIX = ".safetensors"
TENSORS = ("tokens", "embeds")
Told = Mapping[str, Any]
"""JSON values; under `clip` what the name of the file is made of, under `shelf` the name of the folder of all that was
made in the same way, and `backend`, `notes`, `rounding`, `indices`."""

DAMAGE = (OSError, SafetensorError, ValueError, KeyError, TypeError, AttributeError)
"""What reading a file that is not there or not whole ends in."""


def fingerprint(words: Mapping[str, Any]) -> str:
    """Returns 32 hex digits that say which JSON values these are."""
    return hashlib.sha256(json.dumps(words, sort_keys=True).encode()).hexdigest()[:32]


def entry_path(shelf: Path, clip: Mapping[str, Any]) -> Path:
    """Returns where the features of a clip lie, from all that makes it the clip that it is."""
    name = fingerprint(clip)
    return shelf / name[:2] / f"{name}{SUFFIX}"


def write_entry(path: Path, features: Features, told: Told) -> None:
    """Writes the features of a clip as they are.

    Raises:
        OSError: The file cannot be written.
    """
    tensors = {"tokens": features.tokens.cpu().contiguous(), "embeds": features.embeds.cpu().contiguous()}
    words = json.dumps(told)
    content = save(tensors, {"told": words, "crc32": _checksum(tensors, words)})
    with replacing(path) as temporary, temporary.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())  # else a machine that loses power could keep the name without the bytes


def has_entry(path: Path) -> bool:
    """Says whether the features of a clip are there, as far as the length and the begin of the file tell."""
    try:
        with safe_open(path, "pt") as file:
            return _misplaced(path, json.loads((file.metadata() or {})["told"])) is None
    except DAMAGE:
        return False


def read_entry(path: Path) -> tuple[KnownClip, Told] | None:
    """Reads the features of a clip, mapped into memory; None where there are none or others, or the file is damaged.

    The file counts as used from now on.
    """
    try:
        tensors, told = _open(path)
        # a copy of the few numbers, because whoever holds on to them would hold on to the mapping
        features = Features(tensors["tokens"], tensors["embeds"].clone())
        known = KnownClip(features, told["backend"], tuple(told["notes"]))
        if _misplaced(path, told):
            return None
    except DAMAGE:
        return None
    with suppress(OSError):  # somebody else's cache can be read all the same
        os.utime(path)
    return known, told


def check_entry(path: Path) -> str | None:
    """Says what is wrong with a file, or None."""
    try:
        return _misplaced(path, _open(path)[1])
    except DAMAGE as error:
        return f"cannot be read ({str(error).splitlines()[0]})"


def _open(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Returns the tensors and what is told.

    Raises:
        OSError, SafetensorError, KeyError, ValueError: There is no such file, or it is damaged.
    """
    with safe_open(path, "pt") as file:
        metadata = file.metadata() or {}
        tensors = {name: file.get_tensor(name) for name in TENSORS}
    if _checksum(tensors, metadata["told"]) != metadata["crc32"]:
        raise ValueError("its checksum is wrong")
    return tensors, json.loads(metadata["told"])


def _misplaced(path: Path, told: Told) -> str | None:
    """Says what speaks against the place of a file, or None."""
    if fingerprint(told["clip"]) != path.stem:
        return "its name belongs to another clip"
    if told.get("shelf") != path.parents[1].name:
        return "does not say that it was made in the way of its folder"
    return None


def _checksum(tensors: Mapping[str, torch.Tensor], words: str) -> str:
    found = zlib.crc32(words.encode())
    for name in TENSORS:
        found = zlib.crc32(tensors[name].numpy().data, found)
    return f"{found:08x}"
