"""The files of VisDial v1.0: dialogs about pictures, and the shares of people who found each answer right.

Training and evaluation read them here; what they make of them stands elsewhere.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from blipvid.core.errors import DataError
from blipvid.data.annotations import find_annotations, read_rows
from blipvid.data.files import below
from blipvid.data.parts import member, object_in, word

if TYPE_CHECKING:
    from blipvid.data.dataset_schema import DialogDataset


@dataclass(frozen=True, slots=True)
class Round:
    """One round of a dialog.

    Attributes:
        question: Without a question mark, as in the file.
        answer: The answer that was given, or None where the file keeps it back.
        options: The candidates, as places among the answers of the file; none where the round is only told.
        right: The place of the right one among the options, or None where the file keeps it back.
    """

    question: str
    answer: str | None
    options: Sequence[int]
    right: int | None


@dataclass(frozen=True, slots=True)
class Dialog:
    """One dialog about a picture of COCO.

    Attributes:
        where: File and number, for messages.
        image_id: Of the picture.
        caption: Of the picture, as annotated.
        rounds: First to last.
    """

    where: str
    image_id: int
    caption: str
    rounds: tuple[Round, ...]


def read_dialogs(file: Path, key: str) -> tuple[Sequence[str], Iterator[Dialog]]:
    """Reads one file, such as visdial_1.0_val.json.

    Args:
        file: The file.
        key: What chose it, for messages.

    Returns:
        The answers that options are places among, and the dialogs.

    Raises:
        DataError: The file holds something else.
    """
    data = member(object_in(file, key), "data", dict, str(file))
    questions, answers = (member(data, part, list, f"{file}: data") for part in ("questions", "answers"))
    listed = member(data, "dialogs", list, f"{file}: data")
    numbered = ((f"{file}: dialog {number}", dialog) for number, dialog in enumerate(listed, start=1))
    return answers, (_dialog(dialog, questions, answers, where) for where, dialog in numbered)


def read_rounds(dataset: "DialogDataset", root: Path) -> Iterator[dict[str, Any]]:
    """Gives one row a round, in field names (annotation reader `visdial`).

    Rounds without options are told in the history of later ones and asked nothing.

    Args:
        dataset: The benchmark's dataset section; `relevance` names the dense annotations.
        root: The data root.

    Yields:
        `clip`, which is the picture's id, `caption`, `round` from 1, `history`, `question` and `options`; `answer`, the
        place of the right option, where the file has it; `relevance` where there are dense annotations, None in rounds
        that have none.
    """
    assert dataset.annotations is not None  # the benchmark names the file
    file = find_annotations(below(root, dataset.annotations, dataset.obtain), dataset.obtain)
    relevance = None if dataset.relevance is None else _read_relevance(dataset, root)
    answers, dialogs = read_dialogs(file, "key 'dataset.reader'")
    for dialog in dialogs:
        history: list[list[str]] = []
        for number, round_ in enumerate(dialog.rounds, start=1):
            if round_.options:
                row: dict[str, Any] = {"clip": dialog.image_id, "caption": dialog.caption, "round": number}
                row |= {"history": list(history), "question": round_.question}
                row["options"] = [answers[place] for place in round_.options]
                if round_.right is not None:
                    row["answer"] = round_.right
                if relevance is not None:
                    row["relevance"] = relevance.pop((dialog.image_id, number), None)
                yield row
            if round_.answer is None and number < len(dialog.rounds):
                raise DataError(f"{dialog.where}: round {number} has no answer, but later rounds follow it.")
            history.append([round_.question, round_.answer or ""])
    if relevance:
        image_id, number = next(iter(relevance))
        raise DataError(
            f"{file}: {len(relevance):,} dense annotations of '{dataset.relevance}' belong to none of its rounds, the "
            f"first to picture {image_id}, round {number}; both files must be of the same split."
        )


def _read_relevance(dataset: "DialogDataset", root: Path) -> dict[tuple[Any, Any], list[float]]:
    """Reads dense annotations: picture and round -> the relevance of each option."""
    path = find_annotations(below(root, str(dataset.relevance), dataset.obtain), dataset.obtain, "dataset.relevance")
    rows = enumerate(read_rows(path), start=1)
    return {
        (row.get("image_id"), row.get("round_id")): member(row, "gt_relevance", list, f"{path}: row {number}")
        for number, row in rows
    }


def _dialog(dialog: Any, questions: Sequence[str], answers: Sequence[str], where: str) -> Dialog:
    image_id = dialog.get("image_id") if isinstance(dialog, Mapping) else None
    if not isinstance(image_id, int):
        raise DataError(f"{where}: 'image_id' is {image_id!r}; a whole number is expected there.")
    rounds: Iterable[Any] = member(dialog, "dialog", list, where)
    caption = word(dialog, "caption", where)
    return Dialog(where, image_id, caption, tuple(_round(round_, questions, answers, where) for round_ in rounds))


def _round(round_: Any, questions: Sequence[str], answers: Sequence[str], where: str) -> Round:
    try:
        question, given = questions[round_["question"]], round_.get("answer")
        answer = None if given is None else answers[given]
        options = round_.get("answer_options") or ()
        right = round_.get("gt_index")
        if options and (min(options) < 0 or max(options) >= len(answers)):
            raise IndexError("an option that is not in the list of answers")
    except (AttributeError, IndexError, KeyError, TypeError) as error:
        raise DataError(
            f"{where}: a round lacks a question, or names what is not in the lists of questions and answers ({error}); "
            "the file must be of VisDial v1.0."
        ) from error
    if right is None and answer is not None and given in options:
        right = list(options).index(given)
    if right is not None and options and answer is not None and not _is_at(right, answer, options, answers):
        raise DataError(f"{where}: the answer {answer!r} to {question!r} is not among its options at place {right!r}.")
    return Round(question, answer, options, right)


def _is_at(place: Any, answer: str, options: Sequence[int], answers: Sequence[str]) -> bool:
    return isinstance(place, int) and 0 <= place < len(options) and answers[options[place]] == answer
