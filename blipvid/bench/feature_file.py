"""Keeps the features of clips in parts on disk until all are there, and then makes one file of them.

A part appears whole or not at all, so a run that was killed loses no more than the part it was at.
"""

import json
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open

from blipvid.bench.tensor_file import Pieces, write_tensors
from blipvid.core.errors import ConfigError
from blipvid.core.features import Features

PART_BYTES = 256 * 2**20
"""A part ends when it holds so much ..."""

PART_S = 60.0
"""... or is so many seconds old: what a killed run loses at most."""

Array = npt.NDArray[np.generic]


class FeatureParts:
    """The features of clips, as many as were found so far.

    Args:
        folder: Where parts lie; those of a run that was interrupted are taken over.
        how: What the features depend on besides the files, for instance the model; parts made otherwise are refused.
        clock: Seconds, for the age of a part.

    Attributes:
        ids: Clips whose features are there, in the order in which they came.

    Raises:
        ConfigError: The folder holds parts that were made otherwise, or cannot be read.
    """

    def __init__(self, folder: Path, how: Mapping[str, Any], clock: Callable[[], float] = time.monotonic) -> None:
        self._folder, self._how, self._clock = folder, json.dumps(how, sort_keys=True), clock
        self._parts = sorted(folder.glob("*.safetensors"))
        self.ids = [clip for part in self._parts for clip in self._ids_in(part)]
        self._begin_part()

    def _ids_in(self, part: Path) -> list[str]:
        try:
            with safe_open(part, "numpy") as file:
                metadata = file.metadata() or {}
        except (OSError, SafetensorError) as error:
            raise ConfigError(f"{part}: cannot be read ({error}); remove the folder {self._folder}.") from error
        if (other := metadata.get("how")) != self._how:
            raise ConfigError(
                f"{self._folder} holds parts that were made otherwise ({_difference(other, self._how)}); ask for the "
                "same as then, remove the folder, or give another --out."
            )
        return list(json.loads(metadata["ids"]))

    def _begin_part(self) -> None:
        self._new: list[str] = []
        self._embeds: list[Array] = []
        self._tokens: list[Array] = []
        self._began = self._clock()

    def add(self, clip: str, features: Features, *, tokens: str | None) -> None:
        """Takes the features of one clip; now and then a part is written.

        Args:
            clip: Its id.
            features: Tokens (1, N*T, D) and embedding (1, E).
            tokens: Kept as `float32` or `float16`, or None where they are not kept.

        Raises:
            OSError: A part cannot be written.
        """
        self._new.append(clip)
        self._embeds.append(features.embeds.float().cpu().numpy())
        if tokens:
            self._tokens.append(features.tokens[0].float().cpu().numpy().astype(tokens))
        full = sum(own.nbytes for own in self._tokens) >= PART_BYTES
        if full or self._clock() - self._began >= PART_S:
            self.end_part()

    def end_part(self) -> None:
        """Writes what has come since the last part.

        Raises:
            OSError: It cannot be written.
        """
        if not self._new:
            return
        path = self._folder / f"{len(self._parts):06d}.safetensors"
        lengths = np.array([len(own) for own in self._tokens], np.int64)
        tensors = {"lengths": Pieces.whole(lengths)} if self._tokens else {}
        tensors["embeds"] = _strung(self._embeds)
        if self._tokens:
            tensors["tokens"] = _strung(self._tokens)
        write_tensors(path, tensors, {"how": self._how, "ids": json.dumps(self._new)})
        self._parts.append(path)
        self.ids += self._new
        self._begin_part()

    def join(self, out: Path, besides: Mapping[str, Array], metadata: Mapping[str, str]) -> None:
        """Makes one file of all parts and removes them. Tokens pass through memory part by part.

        Args:
            out: Holds `embeds` (V, E) float32, and where tokens were kept `tokens` (all of them, D) in the order of the
                clips and `token_starts` (V + 1,) int64, where those of each clip begin and where the last end.
            besides: More tensors.
            metadata: Kept in the file beside the `ids`.

        Raises:
            OSError: It cannot be written.
        """
        tensors = {"embeds": Pieces.whole(np.concatenate(list(self._each("embeds"))))}
        tensors |= {name: Pieces.whole(array) for name, array in besides.items()}
        if self._have("tokens"):
            starts = np.concatenate([np.zeros(1, np.int64), *self._each("lengths")]).cumsum()
            with safe_open(self._parts[0], "numpy") as file:
                first = file.get_slice("tokens")[:1]
            tensors["token_starts"] = Pieces.whole(starts)
            tensors["tokens"] = Pieces((int(starts[-1]), first.shape[1]), first.dtype.name, self._each("tokens"))
        write_tensors(out, tensors, {**metadata, "ids": json.dumps(self.ids)})
        shutil.rmtree(self._folder)

    def _have(self, name: str) -> bool:
        with safe_open(self._parts[0], "numpy") as file:
            return name in file.keys()  # noqa: SIM118  (a handle, not a mapping)

    def _each(self, name: str) -> Iterator[Array]:
        for part in self._parts:
            with safe_open(part, "numpy") as file:
                yield file.get_tensor(name)


def _strung(arrays: list[Array]) -> Pieces:
    """Strings arrays along their first axis."""
    first = arrays[0]
    return Pieces((sum(len(own) for own in arrays), *first.shape[1:]), first.dtype.name, arrays)


def _difference(other: str | None, how: str) -> str:
    """Names the first thing that two ways of making features differ in."""
    theirs, ours = json.loads(other or "{}"), json.loads(how)
    key = next(key for key in (*ours, *theirs) if theirs.get(key) != ours.get(key))
    return f"{key}: {theirs.get(key)}, now {ours.get(key)}"
