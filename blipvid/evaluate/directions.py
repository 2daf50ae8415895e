"""The two directions of retrieval as one thing: queries, a gallery, and whose items are whose.

Rows and columns of a score matrix run over clips that gave frames and over all texts; a query may be without a row.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from blipvid.core.types import RetrievalSet
from blipvid.evaluate.metrics import Ranks, best_of_groups, rank_own
from blipvid.evaluate.rerank import Candidates
from blipvid.evaluate.similarity import Rows, chunks

Ints = npt.NDArray[np.int64]

LISTED = 10
"""Items listed for each query in the predictions."""


@dataclass(frozen=True, slots=True)
class Direction:
    """Text-to-video or video-to-text.

    Attributes:
        name: `t2v` or `v2t`.
        query_ids: A ids.
        query_clip: (A,) position of the clip that each query belongs to.
        query_row: (A,) row of each query in the score matrix; -1 for a clip without frames, whose queries miss.
        targets: The right answer of each query: an id, or a list of ids.
        row_clip: (R,) position of the clip of each row.
        item_ids: (B,) ids of the columns.
        item_clip: (B,) position of the clip of each column.
        fold: Whether a clip's items count as one, with the best of their scores.
        last: Rank of a miss in median and mean: one more than the items of the whole gallery, skipped ones included.
    """

    name: str
    query_ids: Sequence[str]
    query_clip: Ints
    query_row: Ints
    targets: Sequence[str | list[str]]
    row_clip: Ints
    item_ids: Sequence[str]
    item_clip: Ints
    fold: bool
    last: int

    @property
    def n_items(self) -> int:
        """Items that are ranked: columns, or groups of columns where they are folded."""
        return len(np.unique(self.item_clip)) if self.fold else len(self.item_clip)

    def rank(self, rows: Rows, ties: Literal["expected", "blip"]) -> Ranks:
        """Ranks the best own item of each query, from a score matrix that is looked at a few rows at a time."""
        found = []
        for part in chunks(len(self.row_clip), len(self.item_clip)):
            scores, groups = rows(part), self.item_clip
            if self.fold:
                scores, groups = best_of_groups(scores, groups)
            found.append(rank_own(scores, self.row_clip[part], groups, ties))
        miss = Ranks(np.array([np.inf]), np.array([-np.inf]), np.array([False]))
        return Ranks.join([*found, miss]).take(self.query_row)  # row -1 is the miss at the end

    def predictions(
        self, candidates: Candidates, ranks: Ranks, ties: Literal["expected", "blip"]
    ) -> list[dict[str, Any]]:
        """Lists the first items of each query with their scores.

        Args:
            candidates: Scored pairs of each row.
            ranks: Of the A queries.
            ties: Of equal scores the earlier item is listed first, under `blip` the later one.

        Returns:
            One mapping a query; `rank` is None for a miss, and a half rank comes from a tie.
        """
        later = candidates.index if ties == "expected" else -candidates.index
        order = np.lexsort((later, -candidates.scores), axis=1)[:, :LISTED]
        items = np.take_along_axis(candidates.index, order, axis=1)
        scores = np.take_along_axis(candidates.scores, order, axis=1).astype(np.float64).round(6)
        return [
            {
                "direction": self.name,
                "query": query,
                "target": target,
                "rank": _plain(rank),
                "top": []
                if row < 0
                else [
                    [self.item_ids[item], score]
                    for item, score in zip(items[row].tolist(), scores[row].tolist(), strict=True)
                ],
            }
            for query, target, rank, row in zip(
                self.query_ids, self.targets, ranks.rank.tolist(), self.query_row.tolist(), strict=True
            )
        ]


def _plain(rank: float) -> float | int | None:
    """Returns a rank as JSON can hold it and a person likes it."""
    if np.isinf(rank):
        return None
    return int(rank) if rank.is_integer() else rank


def text_to_video(items: RetrievalSet, kept: Ints) -> Direction:
    """Every text is a query; the clips that gave frames (`kept`, positions) are the gallery."""
    return Direction(
        name="t2v",
        query_ids=items.text_ids,
        query_clip=items.text_clip,
        query_row=np.arange(len(items.texts)),
        targets=[items.clips[clip].id for clip in items.text_clip],
        row_clip=items.text_clip,
        item_ids=[items.clips[clip].id for clip in kept],
        item_clip=kept,
        fold=False,
        last=len(items.clips) + 1,
    )


def video_to_text(items: RetrievalSet, kept: Ints, best_in_group: bool) -> Direction:
    """Every clip that has texts is a query; all texts are the gallery, one by one or as one group a clip."""
    own: dict[int, list[str]] = {}
    for text_id, clip in zip(items.text_ids, items.text_clip.tolist(), strict=True):
        own.setdefault(clip, []).append(text_id)
    asked = np.array(sorted(own), np.int64)
    row = np.full(len(items.clips), -1, np.int64)
    row[kept] = np.arange(len(kept))
    return Direction(
        name="v2t",
        query_ids=[items.clips[clip].id for clip in asked],
        query_clip=asked,
        query_row=row[asked],
        targets=[own[clip] for clip in asked.tolist()],
        row_clip=kept,
        item_ids=items.text_ids,
        item_clip=items.text_clip,
        fold=best_in_group,
        last=(len(asked) if best_in_group else len(items.texts)) + 1,
    )
