"""Benchmark files: what a person writes to define an evaluation, checked before any work starts.

A benchmark says which clips, which texts, which frames, which settings and which published numbers. Of models it names
one at most, for when nobody asks for another; of machines it says nothing. Every key is explained once in
`benchmarks/README.md`.
"""

import string
from collections.abc import Iterator
from typing import ClassVar, Literal

from pydantic import Field, ValidationInfo, field_validator

from blipvid.core.config import Settings, did_you_mean
from blipvid.core.settings import FrameSettings, RetrievalSettings, TaskSettings

STEM = "stem"
"""The one format that a media pattern knows: `{clip:stem}` is the clip's id without its last extension."""


class Expect(Settings):
    """How much an annotation file must hold, so that a wrong or shortened copy is noticed."""

    clips: int | None = Field(default=None, ge=1)
    texts: int | None = Field(default=None, ge=1)


class DatasetSpec(Settings):
    """Where annotations and media lie and how they are read.

    Attributes:
        annotations: The annotation file, below the data root: csv, tsv, json, jsonl or parquet, or a zip archive of
            one such file; where `x.json` does not exist, `x.json.zip` is taken.
        records: Dotted key of the rows inside a nested JSON file, for instance `sentences`.
        reader: Name of an announced function that gives the rows (entry-point group `blipvid.annotations`).
        builder: Name of an announced function that makes the media and returns the data root (`blipvid.builders`).
        clips: List file, below the data root, one clip id a line: only these clips are kept.
        fields: What blipvid calls it -> column of the file, or several columns of which the first that exists counts.
        paragraph: Whether the texts of a clip are joined, in file order, by one blank into one text.
        media: Pattern of the media files below the data root, in braces any mapped field.
        expect: Numbers of clips and texts the annotations must hold.
        obtain: Where a person gets the data, and under which terms.
    """

    annotations: str | None = None
    records: str | None = None
    reader: str | None = None
    builder: str | None = None
    clips: str | None = None
    fields: dict[str, str | list[str]] = Field(default_factory=dict)
    paragraph: bool = False
    media: str
    expect: Expect = Expect()
    obtain: str = ""

    @field_validator("fields")
    @classmethod
    def _columns_are_named(cls, fields: dict[str, str | list[str]]) -> dict[str, str | list[str]]:
        for name, columns in fields.items():
            if not columns:
                raise ValueError(f"'{name}' names no column")
        return fields

    @field_validator("media")
    @classmethod
    def _pattern_uses_mapped_fields(cls, media: str, info: ValidationInfo) -> str:
        mapped = info.data.get("fields", {})
        if mapped and "start_s" not in mapped and not list(media_fields(media)):
            raise ValueError("names no field, so that all clips would be one file; write for instance '{clip}.mp4'")
        for name in media_fields(media):
            if mapped and name not in mapped:
                hint = did_you_mean(name, mapped) or f" Mapped fields: {', '.join(mapped)}."
                raise ValueError(f"'{{{name}}}' is not a mapped field.{hint}")
        return media


class Published(Settings):
    """One row of numbers from elsewhere, shown beside ours.

    Attributes:
        label: Name of the row in the table.
        metrics: Our metric names -> value, recall in percent.
        source: Where the figures stand, so that a reader can look them up.
        checkpoint: Which weights gave them, in the source's words.
        model: Name of the model file that is the same checkpoint, where there is one.
        protocol: How items were ranked: `re-ranked` by a matching head, `cosine` alone, `dual-softmax` over the
            similarity matrix, or `not stated` where the source does not say.
        note: Anything a reader must know before comparing.
    """

    label: str
    metrics: dict[str, float] = Field(min_length=1)
    source: str = Field(min_length=1)
    checkpoint: str | None = None
    model: str | None = None
    protocol: Literal["re-ranked", "cosine", "dual-softmax", "not stated"]
    note: str | None = None


class BenchmarkSpec(Settings):
    """One benchmark file; each task has its own subclass in `TASKS`.

    Attributes:
        name: The word on the command line; of shipped files also the file's stem.
        task: What is asked of the model.
        about: One line for `--list`.
        model: The model evaluated where none is named on the command line.
        dataset: Clips and annotations.
        frames: Which frames of each clip.
        settings: How the task is done.
        published: Numbers that this benchmark reproduces.
        compare: Numbers of other methods on the same clips.
        overrides: What was changed on the command line, as `key=value`; filled in by `load_benchmark`, never written
            in a file.
    """

    NEEDS: ClassVar[tuple[str, ...]] = ()
    MAY_HAVE: ClassVar[tuple[str, ...]] = ()

    name: str = Field(min_length=1)
    task: str
    about: str = ""
    model: str | None = None
    dataset: DatasetSpec
    frames: FrameSettings = FrameSettings()
    settings: TaskSettings = TaskSettings()
    published: list[Published] = Field(default_factory=list)
    compare: list[Published] = Field(default_factory=list)
    overrides: tuple[str, ...] = ()

    @field_validator("dataset")
    @classmethod
    def _fields_suffice(cls, dataset: DatasetSpec) -> DatasetSpec:
        if dataset.reader is None and dataset.annotations is None:
            raise ValueError("'annotations' is missing; name the annotation file, or a 'reader'")
        missing = [name for name in cls.NEEDS if name not in dataset.fields]
        if missing and (dataset.fields or dataset.reader is None):
            hint = did_you_mean(missing[0], [name for name in dataset.fields if name not in cls.NEEDS])
            raise ValueError(f"'fields' lacks {' and '.join(map(repr, missing))}.{hint}")
        return dataset

    def unused_fields(self) -> list[str]:
        """Returns mapped fields that neither the task nor the media pattern uses; most often a misspelt name."""
        used = {*self.NEEDS, *self.MAY_HAVE, *media_fields(self.dataset.media)}
        return [name for name in self.dataset.fields if name not in used]


class RetrievalBenchmark(BenchmarkSpec):
    """Rank clips for each text, and texts for each clip."""

    NEEDS: ClassVar[tuple[str, ...]] = ("clip", "text")
    MAY_HAVE: ClassVar[tuple[str, ...]] = ("id", "start_s", "end_s")

    task: Literal["retrieval"]
    settings: RetrievalSettings = RetrievalSettings()


TASKS: dict[str, type[BenchmarkSpec]] = {"retrieval": RetrievalBenchmark}
"""Task -> the model its files are checked against. A new task adds one line here."""

PLANNED_TASKS = ("qa", "choice", "caption", "pairs", "dialog")
"""Tasks that a file may name one day; asking for one today ends in a CapabilityError."""


def media_fields(media: str) -> Iterator[str]:
    """Yields the field names in a media pattern.

    Args:
        media: A pattern such as `msrvtt/videos/{clip}.mp4`.

    Yields:
        Each name between braces, in order.

    Raises:
        ValueError: Unbalanced braces, an empty name, or a format other than `{name}` and `{name:stem}`.
    """
    for _, name, how, conversion in string.Formatter().parse(media):
        if name is None:
            continue
        if not name.isidentifier() or conversion or how not in ("", STEM):
            raise ValueError("only {field} and {field:stem} can stand in braces; write {{ for a brace")
        yield name


def media_path(media: str, values: dict[str, str]) -> str:
    """Fills a media pattern in.

    Args:
        media: A pattern such as `didemo/videos/{clip:stem}.mp4`.
        values: A value for every field of the pattern.

    Returns:
        The path, still relative to wherever the pattern was.
    """
    parts = []
    for before, name, how, _ in string.Formatter().parse(media):
        parts.append(before)
        if name is not None:
            value = values[name]
            parts.append(value.rpartition(".")[0] or value if how == STEM else value)
    return "".join(parts)
