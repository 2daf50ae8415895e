"""The `dataset` section of a benchmark file: where annotations and media lie, and what blipvid calls their columns.

What all tasks share, then what each adds. Every key is explained once in `benchmarks/README.md`.
"""

from typing import Any, ClassVar

from pydantic import Field, ValidationInfo, field_validator

from blipvid.core.config import Settings, did_you_mean
from blipvid.data.patterns import names_in

IMAGE = "image"
"""What the media pattern of a pair calls either of its pictures."""


class Expect(Settings):
    """How much an annotation file must hold, so that a wrong or shortened copy is noticed."""

    clips: int | None = Field(default=None, ge=1)


class ExpectTexts(Expect):
    """The same for clips with texts."""

    texts: int | None = Field(default=None, ge=1)


class ExpectQuestions(Expect):
    """The same for clips with questions."""

    questions: int | None = Field(default=None, ge=1)


class ExpectCaptions(Expect):
    """The same for clips with captions."""

    captions: int | None = Field(default=None, ge=1)


class ExpectPairs(Expect):
    """The same for sentences about two pictures each."""

    pairs: int | None = Field(default=None, ge=1)


class ExpectRounds(Expect):
    """The same for rounds of dialogs."""

    rounds: int | None = Field(default=None, ge=1)


class Join(Settings):
    """A second file whose columns are added to the annotations; read only if one of them is asked for.

    Attributes:
        file: The file, below the data root, in any format of annotations; it may be that of the annotations.
        records: Dotted key of its rows inside a nested JSON file.
        column: The column by which its rows are found; no value may occur twice.
        equals: What that column holds for a row of the annotations: a pattern of columns of the annotations.
    """

    file: str
    records: str | None = None
    column: str
    equals: str

    @field_validator("equals")
    @classmethod
    def _differs_between_rows(cls, equals: str) -> str:
        if not list(names_in(equals)):
            raise ValueError("names no column of the annotations; write for instance 'vid{video_id}'")
        return equals


class DatasetSpec(Settings):
    """Where annotations and media lie and how they are read.

    Attributes:
        annotations: The annotation file, below the data root: csv, tsv, txt, json, jsonl or parquet, or a zip archive
            of one such file; where `x.json` does not exist, `x.json.zip` is taken.
        records: Dotted key of the rows inside a nested JSON file, for instance `sentences`.
        reader: Name of an announced function that gives the rows (entry-point group `blipvid.annotations`).
        builder: Name of an announced function that makes the media and returns the data root (`blipvid.builders`).
        clips: List file, below the data root, one clip id a line: only these clips are kept.
        fields: What blipvid calls it -> column of the file, or several columns of which the first that exists counts.
        join: Another file that holds columns which the annotations lack.
        media: Pattern of the media files below the data root, in braces any mapped field.
        expect: How much the annotations must hold.
        obtain: Where a person gets the data, and under which terms.
    """

    GIVEN: ClassVar[tuple[str, ...]] = ()
    """Names that may stand in `media` besides those of mapped fields."""

    annotations: str | None = None
    records: str | None = None
    reader: str | None = None
    builder: str | None = None
    clips: str | None = None
    fields: dict[str, str | list[str]] = Field(default_factory=dict)
    join: Join | None = None
    media: str
    expect: Expect = Expect()
    obtain: str = ""

    @field_validator("fields", mode="before")
    @classmethod
    def _null_maps_nothing(cls, fields: Any) -> Any:
        return {k: v for k, v in fields.items() if v is not None} if isinstance(fields, dict) else fields

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
        if mapped and "start_s" not in mapped and not list(names_in(media)):
            raise ValueError("names no field, so that all clips would be one file; write for instance '{clip}.mp4'")
        for name in names_in(media):
            if mapped and name not in (*mapped, *cls.GIVEN):
                hint = did_you_mean(name, mapped) or f" Mapped fields: {', '.join(mapped)}."
                raise ValueError(f"'{{{name}}}' is not a mapped field.{hint}")
        return media


class RetrievalDataset(DatasetSpec):
    """Clips and texts.

    Attributes:
        paragraph: Whether the texts of a clip are joined, in file order, by one blank into one text.
    """

    paragraph: bool = False
    expect: ExpectTexts = ExpectTexts()


class KindsDataset(DatasetSpec):
    """Clips, and something of several kinds about them.

    Attributes:
        kinds: What values of the field `kind` begin with -> what the kind is called; the longest beginning counts.
    """

    kinds: dict[str, str] = Field(default_factory=dict)

    @field_validator("kinds", mode="before")
    @classmethod
    def _numbers_begin_kinds_too(cls, kinds: Any) -> Any:
        return {str(k) if type(k) is int else k: v for k, v in kinds.items()} if isinstance(kinds, dict) else kinds

    @field_validator("kinds")
    @classmethod
    def _there_are_kinds_to_name(cls, kinds: dict[str, str], info: ValidationInfo) -> dict[str, str]:
        fields = info.data.get("fields")
        if kinds and fields and "kind" not in fields:
            raise ValueError("names values of the field 'kind', which 'fields' does not map")
        return kinds


class QuestionDataset(KindsDataset):
    """Clips and questions of any kind."""

    expect: ExpectQuestions = ExpectQuestions()


class CaptionDataset(KindsDataset):
    """Clips to be captioned.

    Attributes:
        ids_in_names: Whether the id under which a caption is handed in is the number that ends the name of the clip's
            file, as in COCO_val2014_000000391895.jpg.
    """

    ids_in_names: bool = False
    expect: ExpectCaptions = ExpectCaptions()


class QaDataset(QuestionDataset):
    """Clips and open questions.

    Attributes:
        train: Annotations of the training split, below the data root; only read to count its answers.
        answers: The benchmark's own list of answers, below the data root.
    """

    train: str | None = None
    answers: str | None = None


class ChoiceDataset(QuestionDataset):
    """Clips and multiple-choice questions.

    Attributes:
        options: The columns that hold one option each; where one column holds a list of them, it is the field
            `options` instead.
    """

    options: list[str] = Field(default_factory=list)

    @field_validator("options", mode="before")
    @classmethod
    def _one_column_is_a_field(cls, options: Any) -> Any:
        if isinstance(options, str):
            raise ValueError(f"several columns are expected; one that holds a list is 'fields: {{options: {options}}}'")
        return options


class PairsDataset(DatasetSpec):
    """Sentences about two pictures each, which the one pattern names: it is filled in for either, as `{image}`."""

    GIVEN: ClassVar[tuple[str, ...]] = (IMAGE,)

    expect: ExpectPairs = ExpectPairs()

    @field_validator("media")
    @classmethod
    def _pattern_tells_the_two_apart(cls, media: str) -> str:
        if IMAGE not in names_in(media):
            raise ValueError(f"has no {{{IMAGE}}}, so that both pictures would be one file; write '{{{IMAGE}}}.png'")
        return media


class DialogDataset(DatasetSpec):
    """Captioned pictures and dialogs about them.

    Attributes:
        relevance: The dense annotations of VisDial, below the data root, for the reader `visdial`.
    """

    relevance: str | None = None
    expect: ExpectRounds = ExpectRounds()
