"""Sets of pictures that annotation files tell of, each entry a file by itself.

Everything is looked at before a training begins, apart from the pixels: rows, captions, whether each file is there and
begins as a picture does.
"""

from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
import numpy.typing as npt

from blipvid.core.errors import ConfigError, DataError
from blipvid.core.text import clean_question, exchange_sides, write_dialog
from blipvid.data import visdial
from blipvid.data.annotations import Row
from blipvid.data.parts import member, object_in, word
from blipvid.train.pictures.batches import ASKED, CAPTIONED, IN_DIALOG, PAIRED, Asked
from blipvid.train.pictures.rows import caption_of, check_files, files_of, listed, rows_of
from blipvid.train.pictures.samples import PictureSet, Sample, check_pictures, open_picture
from blipvid.train.pictures.settings import (
    CaptionSettings,
    DialogSettings,
    KarpathySettings,
    PairSettings,
    Paths,
    QuestionSettings,
)

CAPTION_WORDS, SENTENCE_WORDS, QUESTION_WORDS = 30, 40, 50
"""Words kept of a caption, of a sentence about two pictures, of a question.

Source: salesforce/BLIP data/coco_karpathy_dataset.py, nlvr_dataset.py, vqa_dataset.py.
"""

GENOME_WEIGHT = 0.2
"""What the one answer of a question of Visual Genome counts. Source: salesforce/BLIP data/vqa_dataset.py."""

T = TypeVar("T")
S = TypeVar("S")


@dataclass(frozen=True, slots=True)
class Entry(Generic[T]):
    """One sample as annotated.

    Attributes:
        paths: File of its picture, or of two.
        said: What is said of it.
        id: Equal ids are the same picture.
    """

    paths: tuple[str, ...]  # millions of paths as objects would take gigabytes
    said: T
    id: int = 0


class AnnotatedSet(PictureSet, Generic[S, T]):
    """Pictures in files of their own.

    Args:
        settings: Its part of the recipe, with whole paths.

    Raises:
        DataError: An annotation file is absent or holds something else, or picture files are missing or no
            pictures.
    """

    def __init__(self, settings: S) -> None:
        self.entries = list(self.list_entries(settings))
        paths = list(dict.fromkeys(path for entry in self.entries for path in entry.paths))
        check_files(paths)
        check_pictures(paths)

    @abstractmethod
    def list_entries(self, settings: S) -> Iterable[Entry[T]]:
        """Reads the annotation files."""

    def __len__(self) -> int:
        return len(self.entries)

    def read(self, number: int, rng: np.random.Generator) -> Sample:
        """Reads one sample; see the base class."""
        entry = self.entries[number]
        pictures = tuple(open_picture(Path(path), path) for path in entry.paths)
        return Sample(pictures, entry.said, entry.id)


class CaptionSet(AnnotatedSet[CaptionSettings, str]):
    """BLIP's own lists of captions."""

    feed = CAPTIONED

    def list_entries(self, settings: CaptionSettings) -> Iterator[Entry[str]]:
        """Reads the annotation files."""
        root, ids = Path(settings.images), dict[str, int]()
        for where, row in rows_of(settings.annotations):
            path = str(root / word(row, "image", where))
            said = row.get("caption")
            for caption in said if isinstance(said, list) and said else [said]:
                text = caption_of(word({"caption": caption}, "caption", where), CAPTION_WORDS, where)
                yield Entry((path,), text, ids.setdefault(str(row.get("image_id", path)), len(ids)))


class KarpathySet(AnnotatedSet[KarpathySettings, str]):
    """Karpathy's splits of COCO and Flickr30K."""

    feed = CAPTIONED

    def list_entries(self, settings: KarpathySettings) -> Iterator[Entry[str]]:
        """Reads the annotation files."""
        root, picture = Path(settings.images), 0
        for file in files_of(settings.annotations):
            listing = member(object_in(file, "key 'kind' of the set"), "images", list, str(file))
            rows = [(f"{file}: picture {number}", row) for number, row in enumerate(listing, start=1)]
            splits = {word(row, "split", where) for where, row in rows}
            absent = set(settings.splits) - splits
            if absent - {"restval"} or absent == set(settings.splits):  # Flickr30K has no restval
                raise DataError(
                    f"{file}: no picture is of split {listed(absent)}, there are {listed(splits)}; see key 'splits'."
                )
            for where, row in rows:
                if row["split"] not in settings.splits:
                    continue
                path = str(root / str(row.get("filepath", "")) / word(row, "filename", where))
                for sentence in member(row, "sentences", list, where):
                    text = word(sentence, "raw", f"{where}, sentences")
                    yield Entry((path,), caption_of(text, CAPTION_WORDS, where), picture)
                picture += 1


class QuestionSet(AnnotatedSet[QuestionSettings, list[Asked]]):
    """BLIP's own lists of questions, of VQA v2 and of Visual Genome."""

    feed = ASKED

    def list_entries(self, settings: QuestionSettings) -> Iterator[Entry[list[Asked]]]:
        """Reads the annotation files."""
        for where, row in rows_of(settings.annotations):
            path = str(self._root(settings.images, row, where) / word(row, "image", where))
            question = clean_question(word(row, "question", where), QUESTION_WORDS)
            yield Entry((path,), [(question, weigh_answers(row.get("answer"), where))])

    @staticmethod
    def _root(images: str | Mapping[str, str], row: Row, where: str) -> Path:
        if isinstance(images, str):
            return Path(images)
        dataset = word(row, "dataset", where)
        if dataset not in images:
            raise ConfigError(f"{where}: is of dataset '{dataset}'; name its folder by key 'images.{dataset}'.")
        return Path(images[dataset])


class PairSet(AnnotatedSet[PairSettings, tuple[str, bool]]):
    """BLIP's own lists of sentences about two pictures, of NLVR2."""

    feed = PAIRED

    def list_entries(self, settings: PairSettings) -> Iterator[Entry[tuple[str, bool]]]:
        """Reads the annotation files."""
        root = Path(settings.images)
        for where, row in rows_of(settings.annotations):
            images = member(row, "images", list, where)
            if len(images) != 2:
                raise DataError(f"{where}: 'images' names {len(images)} pictures; two are expected.")
            if row.get("label") not in ("True", "False"):
                raise DataError(f"{where}: 'label' is {row.get('label')!r}; 'True' or 'False' is expected.")
            sentence = caption_of(word(row, "sentence", where), SENTENCE_WORDS, where)
            first, second = (str(root / word({"images": image}, "images", where)) for image in images)
            yield Entry((first, second), (sentence, row["label"] == "True"))

    def read(self, number: int, rng: np.random.Generator) -> Sample:
        """Reads one sample; every second one, by chance, with the sides exchanged, in the sentence as well."""
        sample = super().read(number, rng)
        if rng.random() <= 0.5:
            return sample
        sentence, true = sample.said
        return Sample(sample.pictures[::-1], (exchange_sides(sentence), true), sample.id)


@dataclass(frozen=True, slots=True)
class Round:
    """One round of a dialog.

    Attributes:
        caption: Of the picture.
        told: The dialog so far, with the question.
        right: The right answer.
        wrong: The wrong ones, as places in `answers`; a hundred texts a round would take gigabytes.
        answers: All answers of the file.
    """

    caption: str
    told: str
    right: str
    wrong: npt.NDArray[np.int32]
    answers: Sequence[str]


class DialogSet(AnnotatedSet[DialogSettings, Round]):
    """VisDial, a sample a round: the dialog so far with its right answer, and with wrong ones that are drawn.

    A dialog reads `is it sunny? yes. how many? two`.
    """

    feed = IN_DIALOG

    def __init__(self, settings: DialogSettings) -> None:
        self.wrong = settings.wrong
        super().__init__(settings)

    def list_entries(self, settings: DialogSettings) -> Iterator[Entry[Round]]:
        """Reads the annotation files."""
        for file in files_of(settings.annotations):
            answers, dialogs = visdial.read_dialogs(file, "key 'kind' of the set")
            for dialog in dialogs:
                path = _first_file(settings.images, dialog.image_id)
                caption = caption_of(dialog.caption, CAPTION_WORDS, dialog.where)
                history: list[tuple[str, str]] = []
                for round_ in dialog.rounds:
                    right, wrong = _right_and_wrong(round_, answers, dialog.where)
                    if len(wrong) < settings.wrong:
                        raise DataError(f"{dialog.where}: a round has {len(wrong)} wrong answers; lower key 'wrong'.")
                    yield Entry((path,), Round(caption, write_dialog(history, round_.question), right, wrong, answers))
                    history.append((round_.question, right))

    def read(self, number: int, rng: np.random.Generator) -> Sample:
        """Reads one sample: the dialog with the right answer first, then with wrong ones drawn by chance."""
        sample, own = super().read(number, rng), self.entries[number].said
        drawn = [own.answers[place] for place in rng.choice(own.wrong, self.wrong, replace=False)]
        judged = [(f"{own.told} {answer}", answer == own.right) for answer in (own.right, *drawn)]
        return Sample(sample.pictures, (own.caption, judged), sample.id)


def weigh_answers(answer: Any, where: str = "") -> dict[str, float]:
    """Weighs the answers to one question.

    Args:
        answer: What each of several people answered, as in VQA v2, or one answer, as in Visual Genome.
        where: For the message.

    Returns:
        Each distinct answer in order of first appearance: the share of people that gave it; one answer counts 0.2.

    Raises:
        DataError: It is neither.

    Source: salesforce/BLIP data/vqa_dataset.py.
    """
    if not isinstance(answer, list) or not answer:
        return {word({"answer": answer}, "answer", where): GENOME_WEIGHT}
    weights: dict[str, float] = {}
    for one in answer:
        given = word({"answer": one}, "answer", where)
        weights[given] = weights.get(given, 0.0) + 1 / len(answer)
    return weights


def _first_file(patterns: Paths, image_id: int) -> str:
    named = [patterns] if isinstance(patterns, str) else patterns
    paths = [Path(pattern.replace("{image_id}", f"{image_id:012d}")) for pattern in named]
    return str(next((path for path in paths if path.is_file()), paths[0]))


def _right_and_wrong(round_: visdial.Round, answers: Sequence[str], where: str) -> tuple[str, npt.NDArray[np.int32]]:
    """Returns the right answer and the places of the wrong ones of one round of a dialog."""
    if round_.answer is None or not round_.options:
        raise DataError(f"{where}: a round lacks its answer or its options; the file must be of VisDial v1.0.")
    wrong = [place for place in round_.options if answers[place] != round_.answer]
    return round_.answer, np.array(wrong, np.int32)
