"""Writes safetensors files whose tensors need not fit into memory: each is given piece by piece.

The package safetensors reads them; its own writer asks for whole tensors.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from blipvid.core.files import replacing

_TYPES = {"float32": "F32", "float16": "F16", "int64": "I64"}
_ALIGNED = 8  # Source: huggingface/safetensors README, "Format": the data begins at a multiple of 8 bytes


@dataclass(frozen=True, slots=True)
class Pieces:
    """One tensor, in pieces along its first axis.

    Attributes:
        shape: Of the whole.
        dtype: `float32`, `float16` or `int64`.
        pieces: Iterated over once.
    """

    shape: tuple[int, ...]
    dtype: str
    pieces: Iterable[npt.NDArray[np.generic]]

    @classmethod
    def whole(cls, array: npt.NDArray[np.generic]) -> "Pieces":
        """Makes one piece of an array."""
        return cls(array.shape, array.dtype.name, [array])

    @property
    def nbytes(self) -> int:
        """Size of the whole."""
        return int(np.prod(self.shape, dtype=np.int64)) * np.dtype(self.dtype).itemsize


def write_tensors(path: Path, tensors: Mapping[str, Pieces], metadata: Mapping[str, str]) -> None:
    """Writes a file that is there whole or not at all.

    Raises:
        OSError: It cannot be written.
    """
    header: dict[str, Any] = {"__metadata__": dict(metadata)}
    begin = 0
    for name, tensor in tensors.items():
        end = begin + tensor.nbytes
        header[name] = {"dtype": _TYPES[tensor.dtype], "shape": tensor.shape, "data_offsets": [begin, end]}
        begin = end
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % _ALIGNED)
    with replacing(path) as temporary, temporary.open("wb") as file:
        file.write(len(text).to_bytes(_ALIGNED, "little") + text)
        for tensor in tensors.values():
            for piece in tensor.pieces:
                file.write(np.ascontiguousarray(piece).data)
