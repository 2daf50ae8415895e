"""Weight files: fetched, verified, read without unpickling objects, and loaded with a report of every key.

Not the model zoo (which model is which stands in `zoo.py`) and not training checkpoints, which hold optimiser states.
"""

import pickle
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.error import URLError

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from blipvid.core.errors import CheckpointError
from blipvid.core.places import PACKAGE, cache_folder
from blipvid.models.hub import hub_file
from blipvid.models.layouts import TIED, kind_of, to_official
from blipvid.models.vision import resize_positions

State = dict[str, torch.Tensor]

WEIGHT_FILES = ("model.safetensors", "pytorch_model.bin")


@dataclass(frozen=True, slots=True)
class KeyReport:
    """What became of each key.

    Attributes:
        matched: Keys of the model that were found under their own name.
        renamed: Keys of the model that were found under another layout's name.
        dropped: Keys of the file that the model does not have (momentum copies, queues, other heads).
        missing: Keys of the model that the file does not have; empty after a load that succeeded.
        resized: Keys whose tensor was resized, that is position tables.
        tied: Keys of the file that are second names of tensors which the model shares.
    """

    matched: tuple[str, ...]
    renamed: tuple[str, ...]
    dropped: tuple[str, ...]
    missing: tuple[str, ...]
    resized: tuple[str, ...] = ()
    tied: tuple[str, ...] = ()

    def __str__(self) -> str:
        counts = {name: len(getattr(self, name)) for name in self.__slots__}
        return ", ".join(f"{count} {name}" for name, count in counts.items())


def fetch(checkpoint: str, mirror: str | None = None) -> Path:
    """Finds a weight file, downloading it once where needed.

    Args:
        checkpoint: `hf:REPO`, `https://...`, `shipped:FILE`, or the path of a file or of a Hugging Face folder.
        mirror: The same weights elsewhere, tried when the first cannot be fetched.

    Returns:
        Path of the file.

    Raises:
        CheckpointError: There is no such file, or no source can be reached.
    """
    try:
        return _fetch_one(checkpoint)
    except CheckpointError as error:
        if mirror is None:
            raise
        try:
            return _fetch_one(mirror)
        except CheckpointError as second:
            raise CheckpointError(f"{error} The mirror failed as well: {second}") from error


def _fetch_one(checkpoint: str) -> Path:
    if checkpoint.startswith("hf:"):
        return hub_file(checkpoint.removeprefix("hf:"), WEIGHT_FILES)
    if checkpoint.startswith(("https://", "http://")):
        return _download(checkpoint)
    path = PACKAGE / checkpoint.removeprefix("shipped:") if checkpoint.startswith("shipped:") else Path(checkpoint)
    if path.is_dir():
        inside = [path / name for name in WEIGHT_FILES if (path / name).is_file()]
        if not inside:
            raise CheckpointError(f"{path}: this folder holds none of {', '.join(WEIGHT_FILES)}; key 'checkpoint'.")
        return inside[0]
    if not path.is_file():
        raise CheckpointError(f"{path}: no such checkpoint file; key 'checkpoint' of the model file.")
    return path


def _download(url: str) -> Path:
    target = cache_folder() / "checkpoints" / url.split("://", 1)[1]
    if target.is_file():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        torch.hub.download_url_to_file(url, str(target))  # to a temporary name first, then renamed
    except (URLError, OSError) as error:
        raise CheckpointError(
            f"{url}: cannot be downloaded ({_first_line(error)}); connect and try again, or put the file at {target}."
        ) from error
    return target


def read_state(path: Path) -> State:
    """Reads the tensors of a weight file under the names they have there.

    Args:
        path: `.safetensors`, or a PyTorch file holding tensors by name, alone or under the key `model`.

    Returns:
        Tensors by name, on the CPU.

    Raises:
        CheckpointError: The file is truncated, is no weight file, or holds pickled objects other than tensors.
    """
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        held = torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, RuntimeError, EOFError, OSError, KeyError, ValueError, pickle.UnpicklingError) as error:
        raise CheckpointError(
            f"{path}: cannot be read as a weight file, it is damaged or incomplete "
            f"({_first_line(error)}); fetch it again."
        ) from error
    state = held.get("model", held) if isinstance(held, dict) else None
    if not isinstance(state, dict) or not all(isinstance(value, torch.Tensor) for value in state.values()) or not state:
        raise CheckpointError(f"{path}: holds no tensors by name; a BLIP checkpoint holds them under the key 'model'.")
    return state


def load_into(model: nn.Module, state: Mapping[str, torch.Tensor], source: str) -> KeyReport:
    """Loads tensors in either layout into a model, resizing position tables, and reports every key.

    Args:
        model: A model with official parameter names, on any device, `meta` included.
        state: Tensors by name, from `read_state`.
        source: Where they come from, for messages.

    Returns:
        The report; nothing in it is missing.

    Raises:
        CheckpointError: A key that the model needs is missing or has another shape, the file has more layers of a
            tower than the model, or two names of a shared tensor hold different ones.

    Source of the rule that position tables are resized and training-only keys ignored: salesforce/BLIP
    models/blip.py `load_checkpoint`. Unlike there, a key that does not fit is an error and never dropped in silence.
    """
    wanted = model.state_dict()
    found = {to_official(key): key for key in state}
    tied = _join_tied(found, wanted, state, source)
    shared = _join_shared(found, model, state, source)
    fitting, resized, wrong = {}, [], []
    for key, place in wanted.items():
        if key not in found:
            continue
        tensor = state[found[key]].float() if state[found[key]].is_floating_point() else state[found[key]]
        if key.endswith("pos_embed") and tensor.shape != place.shape and tensor.shape[-1] == place.shape[-1]:
            tensor = resize_positions(tensor, place.shape[1])
            resized.append(key)
        if tensor.shape != place.shape:
            wrong.append(f"{key} is {tuple(tensor.shape)} in the file and {tuple(place.shape)} by the model file")
        fitting[key] = tensor
    missing = tuple(key for key in wanted if key not in found)
    beyond = [key for key in found if key not in wanted and _is_another_layer(key, wanted)]
    if missing:
        raise CheckpointError(
            f"{source}: {len(missing)} needed keys are missing (first: {', '.join(missing[:3])}); "
            f"the file looks like {kind_of(found)}."
        )
    if wrong or beyond:
        problem = "; ".join(wrong[:3]) or f"the file has more layers than the model file says (first: {beyond[0]})"
        raise CheckpointError(f"{source}: {problem}; mend the sizes in the model file, or name another checkpoint.")
    fitting |= {second: fitting[first] for second, first in shared.items() if first in fitting}
    model.load_state_dict(fitting, assign=True)
    return KeyReport(
        matched=tuple(key for key in wanted if found[key] == key),
        renamed=tuple(key for key in wanted if found[key] != key),
        dropped=tuple(held for key, held in found.items() if key not in wanted),
        missing=(),
        resized=tuple(resized),
        tied=tied,
    )


def _join_tied(
    found: dict[str, str], wanted: Collection[str], state: Mapping[str, torch.Tensor], source: str
) -> tuple[str, ...]:
    """Takes the second names of tensors that the model shares out of `found`; returns them as the file has them."""
    tied = []
    for second, first in TIED.items():
        if second not in found or first not in wanted:
            continue
        tied.append(found.pop(second))
        held = state[tied[-1]]
        if first not in found:
            found[first] = tied[-1]
        elif not torch.equal(held, state[found[first]]):
            raise CheckpointError(
                f"{source}: {tied[-1]} and {found[first]} differ, but BLIP shares them; the file is of another model."
            )
    return tuple(tied)


def second_names(model: nn.Module) -> dict[str, str]:
    """Returns the names under which tensors occur again in a model's state, each with the first name of its tensor."""
    first: dict[int, str] = {}
    names = {key: first.setdefault(id(tensor), key) for key, tensor in model.state_dict(keep_vars=True).items()}
    return {key: own for key, own in names.items() if key != own}


def _join_shared(
    found: dict[str, str], model: nn.Module, state: Mapping[str, torch.Tensor], source: str
) -> dict[str, str]:
    """Lets every name of a shared tensor stand for all of them; returns second names with the first."""
    shared = second_names(model)
    for second, first in shared.items():
        one, other = found.get(first), found.get(second)
        if one is None and other is None:
            continue
        if one is not None and other is not None and not torch.equal(state[one], state[other]):
            raise CheckpointError(
                f"{source}: {one} and {other} differ, but the model file says that they are shared; key 'sharing'."
            )
        found[first], found[second] = one or other, other or one  # type: ignore[assignment]
    return shared


_LAYER = re.compile(r"(.+\.(?:blocks|layer)\.)\d+(\..+)")


def _is_another_layer(key: str, wanted: Collection[str]) -> bool:
    """Says whether the model has the same parameter in its first layer: then it is too shallow for the file."""
    found = _LAYER.fullmatch(key)
    return found is not None and f"{found[1]}0{found[2]}" in wanted


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0].partition(". ")[0].rstrip(".") if lines else type(error).__name__
