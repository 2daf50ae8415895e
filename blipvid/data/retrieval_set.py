"""From entries to clips and texts that are ranked against each other."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from blipvid.core.errors import DataError
from blipvid.core.types import RetrievalSet
from blipvid.data.entries import Entry, clips_of, positions, unique_ids


@dataclass(frozen=True, slots=True)
class _Text:
    entry: Entry
    text: str
    id: str | None


def retrieval_set(entries: Sequence[Entry], *, paragraph: bool) -> RetrievalSet:
    """Makes the set: clips and texts in the order of their first row.

    Args:
        entries: Rows with the field `text`, which may hold a list of texts.
        paragraph: Whether the texts of a clip are joined by one blank into one.

    Raises:
        DataError: A text is empty or no text, an id occurs twice, or one clip is two files.
    """
    texts = [text for entry in entries for text in _texts(entry)]
    clips = clips_of(entries)
    if paragraph:
        texts = _paragraphs(texts)
    return RetrievalSet(
        clips=tuple(clips.values()),
        texts=tuple(one.text for one in texts),
        text_ids=unique_ids(((one.entry, one.id) for one in texts), "text"),
        text_clip=positions(clips, (one.entry.clip.id for one in texts)),
    )


def _texts(entry: Entry) -> Iterator[_Text]:
    value, id_ = entry.value("text"), entry.id()
    if not isinstance(value, list):
        yield _Text(entry, entry.checked_text(value, "text"), id_)
        return
    if not value:
        raise DataError(f"{entry.where}: clip '{entry.clip.id}' has an empty list of texts; remove the row.")
    for k, text in enumerate(value):
        yield _Text(entry, entry.checked_text(text, "text"), None if id_ is None else f"{id_}#{k}")


def _paragraphs(texts: Sequence[_Text]) -> list[_Text]:
    of_clip: dict[str, list[_Text]] = {}
    for one in texts:
        of_clip.setdefault(one.entry.clip.id, []).append(one)
    return [_Text(of[0].entry, " ".join(one.text.strip() for one in of), None) for of in of_clip.values()]
