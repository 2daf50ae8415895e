"""Keeps the tokens of all clips until re-ranking: on the GPU first, then in memory, then in a memory-mapped file.

Not a cache: nothing outlives the run. The file is unnamed, so the system takes it back even from a killed process.
"""

import tempfile
from types import TracebackType
from typing import BinaryIO, Self, cast

import numpy as np
import numpy.typing as npt
import torch

from blipvid.core import places
from blipvid.core.errors import BlipvidError


def scratch_file() -> BinaryIO:
    """Opens an unnamed file in the cache folder, which lies on a disk where the system's temporary folder may not.

    Raises:
        BlipvidError: The folder cannot be written.
    """
    folder = places.cache_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return cast(BinaryIO, tempfile.TemporaryFile(dir=folder))  # the owner closes it
    except OSError as error:
        raise _no_room(error) from error


def scratch_array(shape: tuple[int, ...], memory_bytes: int) -> npt.NDArray[np.float32]:
    """Returns an uninitialised float32 array, memory-mapped from a scratch file if it exceeds the budget.

    Raises:
        BlipvidError: The scratch file cannot be made or has no room.
    """
    if 4 * int(np.prod(shape)) <= memory_bytes:
        return np.empty(shape, np.float32)
    try:
        with scratch_file() as file:  # the mapping keeps the file's bytes alive
            return np.memmap(file, np.float32, "w+", shape=shape)
    except OSError as error:
        raise _no_room(error) from error


def _no_room(error: OSError) -> BlipvidError:
    return BlipvidError(
        f"{places.cache_folder()}: cannot hold features ({error.strerror}); "
        "set BLIPVID_CACHE to a folder on a disk with room."
    )


def spare_bytes(device: str) -> int:
    """Returns the memory of a GPU that tokens may take: half of what is free; none of any other device's."""
    return torch.cuda.mem_get_info(device)[0] // 2 if torch.device(device).type == "cuda" else 0


class FeatureStore:
    """Tokens of clips in the order they were added; clips may differ in their number of tokens.

    A GPU's `spare_bytes` take the first, `memory_bytes` the next, one file the rest. Use it as a context: leaving it
    gives all back.

    Args:
        dtype: Kept as float32 (exact) or float16 (half the room; relative error 2e-4).
        device: Where `get` puts the tokens.
        memory_bytes: Budget in memory.
    """

    def __init__(self, dtype: torch.dtype, device: str, memory_bytes: int) -> None:
        self._dtype, self._device = dtype, device
        # "cuda" alone would not be what tensors there call it
        self._room = {torch.empty(0, device=device).device: spare_bytes(device), torch.device("cpu"): memory_bytes}
        self._kept: dict[int, torch.Tensor | tuple[int, tuple[int, int]]] = {}  # or (offset, shape) in the file
        self._added = 0
        self._file: BinaryIO | None = None

    def __len__(self) -> int:
        return len(self._kept)

    @property
    def file_bytes(self) -> int:
        """Size of the part that lies in a file."""
        return self._file.tell() if self._file else 0

    def add(self, tokens: torch.Tensor) -> None:
        """Appends the tokens (N*T, D) of one clip.

        Raises:
            BlipvidError: The file has no room.
        """
        number, self._added = self._added, self._added + 1
        n_bytes = tokens.numel() * self._dtype.itemsize
        place = next((place for place, room in self._room.items() if n_bytes <= room), None)
        own = tokens.detach().to(device=place or "cpu", dtype=self._dtype, copy=True).contiguous()
        if place:
            self._room[place] -= n_bytes
            self._kept[number] = own
            return
        if self._file is None:
            self._file = scratch_file()
        offset = self._file.tell()
        try:
            self._file.write(own.numpy().data)
            self._file.flush()
        except OSError as error:
            raise _no_room(error) from error
        self._kept[number] = (offset, (own.shape[0], own.shape[1]))

    def get(self, position: int) -> torch.Tensor:
        """Returns the tokens (N*T, D) of the clip that was added at this position, float32 on the device."""
        own = self._kept[position]
        if not isinstance(own, torch.Tensor):
            offset, shape = own
            kind = np.float16 if self._dtype == torch.float16 else np.float32
            # "c": torch wants writable memory; nothing written would reach the file
            own = torch.from_numpy(np.memmap(cast(BinaryIO, self._file), kind, "c", offset, shape))
        return own.to(self._device).float()

    def drop(self, position: int) -> None:
        """Forgets a clip that nobody asks for again; its room in memory is free then, that in the file is not."""
        own = self._kept.pop(position)
        if isinstance(own, torch.Tensor):
            self._room[own.device] += own.nbytes

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._kept.clear()
        if self._file is not None:
            self._file.close()
            self._file = None
