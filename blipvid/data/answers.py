"""The list of answers that ranking chooses from: a file, or the most frequent answers of the training split."""

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from blipvid.core.errors import DataError
from blipvid.core.types import AnswerList
from blipvid.data.annotations import choose_column, columns_of, find_annotations, read_rows
from blipvid.data.files import below, how_to_obtain
from blipvid.data.schema import TRAIN, QaBenchmark


def read_answer_list(spec: QaBenchmark, root: Path | None) -> AnswerList | None:
    """Reads the list that a benchmark ranks, or nothing where it does not rank.

    Args:
        spec: The checked benchmark. `settings.answers` names a file or `train`; None takes the benchmark's own list.
        root: The data root.

    Raises:
        ConfigError: No data root is known.
        DataError: The file is absent or unreadable, or holds no answers, an empty one or one of them twice.
    """
    if "rank" not in spec.settings.answer_by:
        return None
    if spec.settings.answers == TRAIN:
        return _from_training_split(spec, root)
    name = spec.settings.answers or spec.dataset.answers
    assert name is not None  # the schema asks for one of the two
    return read_answer_file(below(root, name, spec.dataset.obtain), spec.dataset.obtain)


def read_answer_file(path: Path, obtain: str = "") -> AnswerList:
    """Reads a file of answers; the list is called like it.

    Args:
        path: A txt file with one answer a line; or JSON, a list of answers or an object answer -> index.
        obtain: Where a person gets it, for the message if it is missing.

    Returns:
        The answers in the order of the file, or of their indices.

    Raises:
        DataError: The file is absent or unreadable, or holds no answers, an empty one or one of them twice.
    """
    return checked_answer_list(path.name, _answers_in(path, obtain), path)


def checked_answer_list(name: str, answers: Sequence[str], source: Path) -> AnswerList:
    """Makes a list of answers under a name, in the order given.

    Raises:
        DataError: There are none, one is empty, or one occurs twice.
    """
    if not answers:
        raise DataError(f"{source}: holds no answers; ranking needs at least one.")
    seen: set[str] = set()
    for number, answer in enumerate(answers, start=1):
        if not answer.strip():
            raise DataError(f"{source}: answer {number} is empty; remove it.")
        if answer in seen:
            raise DataError(f"{source}: answer {number}, '{answer}', stands in the list already; remove it.")
        seen.add(answer)
    return AnswerList(name, tuple(answers), hashlib.sha256("\n".join(answers).encode()).hexdigest())


def _from_training_split(spec: QaBenchmark, root: Path | None) -> AnswerList:
    dataset, top_n = spec.dataset, spec.settings.answers_top_n
    assert dataset.train is not None  # the schema asks for it
    path = find_annotations(below(root, dataset.train, dataset.obtain), dataset.obtain, "dataset.train")
    rows = read_rows(path, dataset.records)
    column = choose_column(dataset.fields.get("answer", "answer"), columns_of(rows), path, "dataset.fields.answer")
    values = (_text_of(row.get(column), f"{path}: row {number}") for number, row in enumerate(rows, start=1))
    counted = Counter(values)
    # A stable sort: of answers that are equally frequent, the one that occurs first.
    by_frequency = sorted(counted, key=counted.__getitem__, reverse=True)
    name = f"{TRAIN}-top-{top_n}" if top_n is not None else f"{TRAIN}-all"
    return checked_answer_list(name, by_frequency[:top_n], path)


def _answers_in(path: Path, obtain: str) -> list[str]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(
            f"{path}: the list of answers cannot be read ({error}); see keys 'settings.answers' and 'dataset.answers'."
            f"{how_to_obtain(obtain)}"
        ) from error
    suffix = path.suffix.lower()
    if suffix == ".txt":
        lines = text.split("\n")
        while lines and not lines[-1].strip():
            lines.pop()
        return lines
    if suffix != ".json":
        raise DataError(f"{path}: '{suffix}' is not a list of answers; known: .txt, one answer a line, and .json.")
    try:
        found = json.loads(text)
    except json.JSONDecodeError as error:
        raise DataError(f"{path}: is not JSON ({error.msg} at line {error.lineno}, column {error.colno}).") from error
    return _in_json(found, path)


def _in_json(found: Any, path: Path) -> list[str]:
    if isinstance(found, list):
        return [_text_of(answer, f"{path}: answer {number}") for number, answer in enumerate(found, start=1)]
    if not isinstance(found, dict) or not all(type(index) is int for index in found.values()):
        raise DataError(f"{path}: a list of answers is expected, or an object answer -> index with whole numbers.")
    if len(set(found.values())) < len(found):
        raise DataError(f"{path}: two answers have the same index, so their order is unknown; mend the file.")
    return sorted(found, key=found.__getitem__)


def _text_of(value: Any, where: str) -> str:
    if isinstance(value, str | int) and not isinstance(value, bool):
        return str(value)
    raise DataError(f"{where}: the answer is {value!r}; text or a whole number is expected.")
