"""From entries to sentences about two pictures."""

from collections.abc import Sequence

import numpy as np

from blipvid.core.errors import DataError
from blipvid.core.text import clean_caption
from blipvid.core.types import PairSet
from blipvid.data.entries import Entry, clips_of, positions, unique_ids

_LABELS = {"true": True, "false": False}


def pair_set(entries: Sequence[Entry]) -> PairSet:
    """Makes the set: pictures and sentences in the order of their rows.

    Args:
        entries: Rows with two pictures each and the fields `text` and `label`. Rows of one `group` are no independent
            samples; without that field each row is its own.

    Raises:
        DataError: A sentence is empty, a label neither true nor false, an id occurs twice, or a picture is two files.
    """
    clips = clips_of(entries)
    sides = (positions(clips, (entry.clips[side].id for entry in entries)) for side in (0, 1))
    grouped = "group" in entries[0].columns
    groups = [entry.word("group") if grouped else str(number) for number, entry in enumerate(entries)]
    return PairSet(
        clips=tuple(clips.values()),
        pairs=np.stack(list(sides), axis=1),
        sentences=tuple(_sentence(entry) for entry in entries),
        pair_ids=unique_ids(((entry, entry.id()) for entry in entries), "pair"),
        right=np.array([_label(entry) for entry in entries], np.bool_),
        group=np.unique(groups, return_inverse=True)[1].reshape(-1).astype(np.int64),
    )


def _sentence(entry: Entry) -> str:
    sentence = entry.checked_text(entry.value("text"), "text")
    if not clean_caption(sentence, len(sentence)):
        raise DataError(f"{entry.where}: cleaning leaves nothing of the sentence '{sentence}'; remove it.")
    return sentence


def _label(entry: Entry) -> bool:
    value = entry.value("label")
    label = value if isinstance(value, bool) else _LABELS.get(value.lower()) if isinstance(value, str) else None
    if label is None:
        raise DataError(f"{entry.where}: '{entry.columns['label']}' is {value!r}; true or false is expected.")
    return label
