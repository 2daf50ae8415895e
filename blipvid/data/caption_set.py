"""From entries to clips to be captioned, with the captions that people gave them."""

from collections.abc import Mapping, Sequence
from typing import Any

from blipvid.core.errors import DataError
from blipvid.core.types import CaptionSet, Clip
from blipvid.data.entries import Entry, clips_of
from blipvid.data.kinds import annotated_kind


def caption_set(entries: Sequence[Entry], kinds: Mapping[str, str], *, ids_in_names: bool) -> CaptionSet:
    """Makes the set: clips in the order of their first row.

    Args:
        entries: Rows; the field `captions` may hold one caption or a list of them, and a clip may have several rows.
            Where it is not mapped, no clip has references.
        kinds: Names of annotated kinds, see `kinds.annotated_kind`; none has one where the field `kind` is not mapped.
        ids_in_names: Whether the number that ends the name of its file is a clip's id; otherwise the field `id`, and
            where that is not mapped the clip's own.

    Raises:
        DataError: A caption is empty or no text; one clip is two files, or has two ids or kinds; two clips have one id;
            or a file's name ends in no number that should.
    """
    clips = clips_of(entries)
    references: dict[str, list[str]] = {clip_id: [] for clip_id in clips}
    ids: dict[str, str] = {}
    kind_of: dict[str, str] = {}
    for entry in entries:
        clip = entry.clip
        references[clip.id] += _captions(entry)
        own_id = number_in_name(clip) if ids_in_names else entry.id() or clip.id
        _one(ids, entry, own_id, "id")
        _one(kind_of, entry, annotated_kind(entry, kinds) if "kind" in entry.columns else "", "kind")
    _ask_for_different(ids)
    return CaptionSet(
        clips=tuple(clips.values()),
        ids=tuple(ids.values()),
        references=tuple(map(tuple, references.values())),
        kinds=tuple(kind_of.values()),
    )


def number_in_name(clip: Clip) -> str:
    """Returns the number after the last `_` of a clip's file name, as COCO names its pictures.

    Raises:
        DataError: What stands there is no whole number.

    Source: salesforce/BLIP data/coco_karpathy_dataset.py, which strips the letters of `.jpg` off both ends of the path
    first; where that leaves a number, it is this one.
    """
    last = clip.path.stem.rpartition("_")[2]
    if not last.isdecimal():
        raise DataError(
            f"clip '{clip.id}': {clip.path.name} ends in no number (key 'dataset.ids_in_names'); map the field 'id' "
            "instead, or leave both out."
        )
    return str(int(last))


def _captions(entry: Entry) -> list[str]:
    if "captions" not in entry.columns:
        return []
    value = entry.value("captions")
    if not isinstance(value, list):
        return [_caption(entry, value)]
    if not value:
        raise DataError(f"{entry.where}: clip '{entry.clip.id}' has an empty list of captions; remove the row.")
    return [_caption(entry, caption) for caption in value]


def _caption(entry: Entry, value: Any) -> str:
    if isinstance(value, str) and not value.strip():
        raise DataError(f"{entry.where}: clip '{entry.clip.id}' has an empty caption; fill it in or remove it.")
    return entry.checked_text(value, "captions")


def _one(known: dict[str, str], entry: Entry, value: str, what: str) -> None:
    before = known.setdefault(entry.clip.id, value)
    if before != value:
        raise DataError(
            f"{entry.where}: clip '{entry.clip.id}' has the {what} '{value}' here and '{before}' in an earlier row; "
            f"'{entry.columns[what]}' must be the same for all rows of a clip."
        )


def _ask_for_different(ids: Mapping[str, str]) -> None:
    clip_of: dict[str, str] = {}
    for clip_id, own_id in ids.items():
        other = clip_of.setdefault(own_id, clip_id)
        if other != clip_id:
            raise DataError(
                f"clips '{other}' and '{clip_id}' would both be handed in as '{own_id}'; map 'id' to a column of "
                "unique ids, or not."
            )
