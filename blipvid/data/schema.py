"""Benchmark files: what a person writes to define an evaluation, checked before any work starts.

A benchmark says which clips, what is asked about them, which frames, which settings and which published numbers. Of
models it names one at most, for when nobody asks for another; of machines it says nothing. Every key is explained once
in `benchmarks/README.md`.
"""

from typing import ClassVar, Literal

from pydantic import Field, ValidationInfo, field_validator

from blipvid.core.config import Settings, did_you_mean
from blipvid.core.settings import (
    AnsweringSettings,
    CaptionSettings,
    ChoiceSettings,
    DialogSettings,
    FrameSettings,
    PairSettings,
    RetrievalSettings,
    TaskSettings,
)
from blipvid.data.dataset_schema import (
    CaptionDataset,
    ChoiceDataset,
    DatasetSpec,
    DialogDataset,
    PairsDataset,
    QaDataset,
    RetrievalDataset,
)
from blipvid.data.patterns import names_in

TRAIN = "train"
"""The word in `settings.answers` that asks for the answers of the training split."""


class Published(Settings):
    """One row of numbers from elsewhere, shown beside ours.

    Attributes:
        label: Name of the row in the table.
        metrics: Our metric names -> value, recall and accuracy in percent.
        source: Where the figures stand, so that a reader can look them up.
        checkpoint: Which weights gave them, in the source's words.
        model: Name of the model file that is the same checkpoint, where there is one.
        recipe: Training recipe that makes such a checkpoint, where none was released.
        start_from: Model that the recipe begins with for this row, where it is not the recipe's own.
        protocol: How it was done, or `not stated` where the source does not say. Retrieval: `re-ranked` by a matching
            head, `cosine` alone, `dual-softmax` over the similarity matrix. Questions: `generate`d in own words,
            `rank`ed out of a list of answers or options, `match`ed with the clip. Captions: `beam` search.
            Pairs: `judge`d by a classifier. Dialogs: `rank`ed candidates.
        note: Anything a reader must know before comparing.
    """

    label: str
    metrics: dict[str, float] = Field(min_length=1)
    source: str = Field(min_length=1)
    checkpoint: str | None = None
    model: str | None = None
    recipe: str | None = None
    start_from: str | None = None
    protocol: Literal["re-ranked", "cosine", "dual-softmax", "generate", "rank", "match", "beam", "judge", "not stated"]
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

    @classmethod
    def _needs(cls, dataset: DatasetSpec) -> tuple[str, ...]:
        return cls.NEEDS

    @field_validator("dataset")
    @classmethod
    def _fields_suffice(cls, dataset: DatasetSpec) -> DatasetSpec:
        if dataset.reader is None and dataset.annotations is None:
            raise ValueError("'annotations' is missing; name the annotation file, or a 'reader'")
        needs = cls._needs(dataset)
        missing = [name for name in needs if name not in dataset.fields]
        if missing and (dataset.fields or dataset.reader is None):
            hint = did_you_mean(missing[0], [name for name in dataset.fields if name not in needs])
            raise ValueError(f"'fields' lacks {' and '.join(map(repr, missing))}.{hint}")
        return dataset

    def needed_fields(self) -> list[str]:
        """Returns the fields that every row must have: those of the task and those of the media pattern."""
        in_pattern = (name for name in names_in(self.dataset.media) if name not in self.dataset.GIVEN)
        return list(dict.fromkeys((*self._needs(self.dataset), *in_pattern)))

    def used_fields(self) -> list[str]:
        """Returns the fields that are read where they are mapped: the needed ones and those the task may have."""
        return list(dict.fromkeys((*self.needed_fields(), *self.MAY_HAVE)))

    def unused_fields(self) -> list[str]:
        """Returns mapped fields that neither the task nor the media pattern uses; most often a misspelt name."""
        used = self.used_fields()
        return [name for name in self.dataset.fields if name not in used]


class RetrievalBenchmark(BenchmarkSpec):
    """Rank clips for each text, and texts for each clip."""

    NEEDS: ClassVar[tuple[str, ...]] = ("clip", "text")
    MAY_HAVE: ClassVar[tuple[str, ...]] = ("id", "start_s", "end_s")

    task: Literal["retrieval"]
    dataset: RetrievalDataset
    settings: RetrievalSettings = RetrievalSettings()


class QaBenchmark(BenchmarkSpec):
    """Answer open questions about clips."""

    NEEDS: ClassVar[tuple[str, ...]] = ("clip", "question")
    MAY_HAVE: ClassVar[tuple[str, ...]] = ("answer", "id", "kind", "start_s", "end_s")

    task: Literal["qa"]
    dataset: QaDataset
    settings: AnsweringSettings = AnsweringSettings()

    @field_validator("settings")
    @classmethod
    def _ranking_has_a_list(cls, settings: AnsweringSettings, info: ValidationInfo) -> AnsweringSettings:
        dataset = info.data.get("dataset")
        if dataset is None or "rank" not in settings.answer_by:
            return settings
        if settings.answers == TRAIN and dataset.train is None:
            raise ValueError("'answers: train' needs the training split; name its file by 'dataset.train'")
        if settings.answers is None and dataset.answers is None:
            raise ValueError(
                "'answer_by: rank' needs a list of answers, and the benchmark has none of its own; give "
                "'answers: train' or 'answers: FILE'"
            )
        return settings


class ChoiceBenchmark(BenchmarkSpec):
    """Choose one of several options for each question, or the text that describes the clip."""

    NEEDS: ClassVar[tuple[str, ...]] = ("clip", "answer")
    MAY_HAVE: ClassVar[tuple[str, ...]] = ("id", "question", "kind", "start_s", "end_s")

    task: Literal["choice"]
    dataset: ChoiceDataset
    settings: ChoiceSettings = ChoiceSettings()

    @classmethod
    def _needs(cls, dataset: DatasetSpec) -> tuple[str, ...]:
        own_columns = isinstance(dataset, ChoiceDataset) and dataset.options
        return cls.NEEDS if own_columns else (*cls.NEEDS, "options")


class CaptionBenchmark(BenchmarkSpec):
    """Say in a sentence what can be seen; without annotated captions there is nothing but a file to hand in."""

    NEEDS: ClassVar[tuple[str, ...]] = ("clip",)
    MAY_HAVE: ClassVar[tuple[str, ...]] = ("captions", "id", "kind", "start_s", "end_s")

    task: Literal["caption"]
    dataset: CaptionDataset
    settings: CaptionSettings = CaptionSettings()


class PairsBenchmark(BenchmarkSpec):
    """Say whether a sentence is true of two pictures."""

    NEEDS: ClassVar[tuple[str, ...]] = ("text", "label")
    MAY_HAVE: ClassVar[tuple[str, ...]] = ("id", "group")

    task: Literal["pairs"]
    dataset: PairsDataset
    settings: PairSettings = PairSettings()

    @classmethod
    def _needs(cls, dataset: DatasetSpec) -> tuple[str, ...]:
        apart = {"first", "second"} & set(dataset.fields)
        return (*(("first", "second") if apart else ("images",)), *cls.NEEDS)


class DialogBenchmark(BenchmarkSpec):
    """Rank the candidate answers of each round of a dialog about a captioned picture."""

    NEEDS: ClassVar[tuple[str, ...]] = ("clip", "caption", "question", "options")
    MAY_HAVE: ClassVar[tuple[str, ...]] = ("history", "answer", "round", "relevance", "start_s", "end_s")

    task: Literal["dialog"]
    dataset: DialogDataset
    settings: DialogSettings = DialogSettings()


TASKS: dict[str, type[BenchmarkSpec]] = {
    "retrieval": RetrievalBenchmark,
    "qa": QaBenchmark,
    "choice": ChoiceBenchmark,
    "caption": CaptionBenchmark,
    "pairs": PairsBenchmark,
    "dialog": DialogBenchmark,
}
"""Task -> the model its files are checked against. A new task adds one line here and one case in `sets.py`."""
