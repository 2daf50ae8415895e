"""The `pictures` section of a recipe: what a person writes to say where the pictures of a training come from."""

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from blipvid.core.config import Settings
from blipvid.data.files import below

Paths = str | Annotated[list[str], Field(min_length=1)]
"""One path or several; relative ones lie below the data folder, as in benchmark files."""


class Augment(Settings):
    """How pictures from files are changed each time they are shown.

    Attributes:
        min_scale: Smallest share of a picture's area that is cut out; 0.2 in pre-training.
        flip: Whether every second picture, by chance, is shown mirrored.
        randaugment: Whether two of BLIP's ten operations are drawn for each picture.

    Source of the numbers: salesforce/BLIP data/__init__.py.
    """

    min_scale: float = Field(default=0.5, gt=0, le=1)
    flip: bool = True
    randaugment: bool = True


class SetSettings(Settings):
    """What every set of pictures may say.

    Attributes:
        weight: Its share of all samples, relative to the other sets. Without weights every sample of every set is
            shown once an epoch.
    """

    weight: float | None = Field(default=None, gt=0)

    def below(self, root: Path | None) -> Self:
        """Returns the same set with whole paths.

        Raises:
            ConfigError: A path is relative and no data folder is known.
        """
        said = {key: getattr(self, key) for key in ("annotations", "images", "tars") if hasattr(self, key)}
        return self.model_copy(update={key: _whole(paths, root) for key, paths in said.items()})


class CaptionSettings(SetSettings):
    """Official BLIP lists of {image, caption, image_id}.

    Attributes:
        kind: The word that chooses this kind of set.
        annotations: JSON files; a row whose caption is a list stands for as many samples.
        images: Folder that the images named there lie below.
    """

    kind: Literal["captions"]
    annotations: Paths
    images: str


class KarpathySettings(SetSettings):
    """Karpathy's JSON files of COCO and Flickr30K.

    Attributes:
        kind: The word that chooses this kind of set.
        annotations: The JSON files.
        images: Folder that the images named there lie below.
        splits: Which splits to take; `restval` belongs to COCO's training as it is commonly done.
    """

    kind: Literal["karpathy"]
    annotations: Paths
    images: str
    splits: list[str] = Field(default=["train", "restval"], min_length=1)


class QuestionSettings(SetSettings):
    """Official BLIP lists of {dataset, image, question, answer}, as of VQA v2 and Visual Genome.

    Attributes:
        kind: The word that chooses this kind of set.
        annotations: JSON files.
        images: Folder that the images named there lie below, or one for each word that stands in `dataset`.
    """

    kind: Literal["questions"]
    annotations: Paths
    images: str | dict[str, str]


class PairSettings(SetSettings):
    """Official BLIP lists of {images, sentence, label}, as of NLVR2.

    Attributes:
        kind: The word that chooses this kind of set.
        annotations: JSON files.
        images: Folder that the images named there lie below.
    """

    kind: Literal["pairs"]
    annotations: Paths
    images: str


class DialogSettings(SetSettings):
    """VisDial v1.0 JSON files; every round of every dialog is a sample.

    Attributes:
        kind: The word that chooses this kind of set.
        annotations: JSON files.
        images: File of a picture, with `{image_id}` for its id in twelve digits as COCO writes it; of several, the
            first that exists is taken.
        wrong: Wrong answers drawn beside the right one.
    """

    kind: Literal["dialogs"]
    annotations: Paths
    images: Paths
    wrong: int = Field(default=1, ge=1)


class ShardSettings(SetSettings):
    """Captioned pictures in tar files, as img2dataset writes them for WebDataset.

    Attributes:
        kind: The word that chooses this kind of set.
        tars: Files, written out or as patterns with braces (`{00000..00099}.tar`) or stars.
    """

    kind: Literal["shards"]
    tars: Paths


AnySet = CaptionSettings | KarpathySettings | QuestionSettings | PairSettings | DialogSettings | ShardSettings


class Pictures(Settings):
    """Where pictures come from, with what the objective takes: captions, questions, sentences or dialogs.

    Either they are drawn without end by `source`, or read from `sets` of files.

    Attributes:
        source: Name of an announced source, for instance `demo`: in entry-point group `blipvid.pictures` for captions,
            `blipvid.questions` for questions.
        sets: Sets of files.
        batch_size: Pictures of one step on one device (B); of pairs, so many pairs. Objectives that compare the
            pictures of a batch take two at least.
        workers: Processes that draw or load ahead; 0 does it between the steps.
        augment: How pictures of `sets` are changed.
        options: Handed to the source as keyword arguments.
    """

    source: str | None = None
    sets: list[Annotated[AnySet, Field(discriminator="kind")]] = Field(default_factory=list)
    batch_size: int = Field(ge=1)
    workers: int = Field(default=1, ge=0)
    augment: Augment = Augment()
    options: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _one_origin(self) -> "Pictures":
        if (self.source is None) == (not self.sets):
            raise ValueError("pictures are either drawn by a 'source' or read from 'sets'; name one of the two")
        said: dict[str, dict[str, object]] = {
            "source": {"options": self.options},
            "sets": {"augment": self.augment != Augment()},
        }
        other = "source" if self.sets else "sets"
        misplaced = [key for key, value in said[other].items() if value]
        if misplaced:
            raise ValueError(f"'{misplaced[0]}' goes with '{other}' only; remove it")
        if 0 < sum(one.weight is not None for one in self.sets) < len(self.sets):
            raise ValueError("either all sets have a 'weight' or none has")
        return self


def _whole(paths: Any, root: Path | None) -> Any:
    """Returns a path, or each of a list or of the values of a mapping, below the data folder where it is relative."""
    if isinstance(paths, dict):
        return {name: _whole(path, root) for name, path in paths.items()}
    if isinstance(paths, list):
        return [_whole(path, root) for path in paths]
    return str(below(root, paths))
