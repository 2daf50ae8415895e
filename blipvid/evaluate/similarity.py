"""The cosine of every clip with every text, computed and used chunk by chunk, and the best candidates by it.

Equal texts are one text here: they have equal scores to the last bit, so that ties between them are seen as ties.
"""

from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt
import torch

from blipvid.evaluate.store import scratch_array

CHUNK_CELLS = 2**23
"""Cells of a score matrix that are worked on at once: 32 MiB in float32."""

Rows = Callable[[slice], npt.NDArray[np.float32]]
"""Gives the rows in a slice of a score matrix that need never exist as a whole."""


def chunks(n_rows: int, n_columns: int) -> Iterator[slice]:
    """Yields slices over rows, so that each holds about CHUNK_CELLS cells."""
    step = max(1, CHUNK_CELLS // max(1, n_columns))
    for start in range(0, n_rows, step):
        yield slice(start, min(start + step, n_rows))


class Similarity:
    """Cosines of V clips and Q texts, of which U are distinct.

    Args:
        clip_embeds: (V, E) float32, L2-normalised.
        text_embeds: (U, E) float32, L2-normalised, on the device that does the work.
        text_row: (Q,) int64, for each text its row in `text_embeds`.
        memory_bytes: Above this the matrix goes to a memory-mapped file.

    Attributes:
        cosine: (V, U) float32.
        text_row: As given.
    """

    def __init__(
        self,
        clip_embeds: torch.Tensor,
        text_embeds: torch.Tensor,
        text_row: npt.NDArray[np.int64],
        memory_bytes: int,
    ) -> None:
        self.text_row = text_row
        self._device = text_embeds.device
        self.cosine = scratch_array((len(clip_embeds), len(text_embeds)), memory_bytes)
        for part in chunks(*self.cosine.shape):
            self.cosine[part] = (clip_embeds[part].to(self._device) @ text_embeds.T).cpu().numpy()

    def of_clips(self, part: slice) -> npt.NDArray[np.float32]:
        """Returns the rows of some clips against all Q texts."""
        return np.take(self.cosine[part], self.text_row, axis=1)

    def of_texts(self, part: slice) -> npt.NDArray[np.float32]:
        """Returns the rows of some of the Q texts against all clips."""
        return np.take(self.cosine, self.text_row[part], axis=1).T

    def of_distinct_texts(self, part: slice) -> npt.NDArray[np.float32]:
        """Returns the rows of some of the U distinct texts against all clips."""
        return self.cosine[:, part].T

    def best(self, rows: Rows, n_rows: int, n_columns: int, k: int) -> npt.NDArray[np.int64]:
        """Finds the k columns of highest cosine in each row.

        Args:
            rows: One of the methods above.
            n_rows: Number of rows.
            n_columns: Number of columns, at least k.
            k: Candidates of a row.

        Returns:
            (n_rows, k) int64 in no particular order. Of columns that tie for the last place the earlier ones are taken.
        """
        found = np.empty((n_rows, k), np.int64)
        for part in chunks(n_rows, n_columns):
            found[part] = top_k(torch.from_numpy(np.ascontiguousarray(rows(part))).to(self._device), k).cpu().numpy()
        return found


def top_k(scores: torch.Tensor, k: int) -> torch.Tensor:
    """Returns (A, k) columns of the highest scores (A, B) of each row, the earlier column where the last place is tied.

    torch.topk leaves open which of several equal scores it takes, so rows with a tie at the border are sorted.
    """
    values, index = scores.topk(k, dim=1)
    last = values[:, -1:]
    unsure = (scores == last).sum(dim=1) > (values == last).sum(dim=1)
    if unsure.any():
        index[unsure] = scores[unsure].argsort(dim=1, descending=True, stable=True)[:, :k]
    return index
