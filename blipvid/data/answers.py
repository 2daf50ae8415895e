"""The list of answers that ranking chooses from: a file, or the most frequent answers of the training split."""

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from functools import partial
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
        DataError: The file is absent or unreadable, or holds no answers, an empty one, one with blanks around it, or
            one of them twice.
    """
    answers = _answers_in(path, obtain)
    for number, answer in enumerate(answers, start=1):
        if answer.strip() not in ("", answer):
            raise DataError(f"{path}: answer {number}, '{answer}', has blanks around it; remove them.")
    return checked_answer_list(path.name, answers, path)


def checked_answer_list(name: str, answers: Sequence[str], source: Path) -> AnswerList:
    """Makes a list of answers under a name, in the order given.

    Raises:
        DataError: There are none, one is empty, or one occurs twice; letter case and the width of blanks make no other
            answer, because no tokenizer of these models sees them.
    """
    if not answers:
        raise DataError(f"{source}: holds no answers; ranking needs at least one.")
    seen: dict[str, str] = {}
    for number, answer in enumerate(answers, start=1):
        if not answer.strip():
            raise DataError(f"{source}: answer {number} is empty; remove it.")
        known = seen.setdefault(_as_tokenized(answer), answer)
        if known == answer and len(seen) < number:
            raise DataError(f"{source}: answer {number}, '{answer}', stands in the list already; remove it.")
        if known != answer:
            raise DataError(
                f"{source}: answer {number}, '{answer}', is the same to the model as '{known}', which stands in the "
                "list already; remove one of them."
            )
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
    spellings: dict[str, str] = {}
    for answer in by_frequency:
        spellings.setdefault(_as_tokenized(answer), answer)
    kept = list(spellings.values())[:top_n]
    name = f"{TRAIN}-top-{top_n}" if len(kept) < len(spellings) else f"{TRAIN}-all"
    return checked_answer_list(name, kept, path)


def _as_tokenized(answer: str) -> str:
    """Folds letter case and runs of blanks, as the tokenizer does."""
    return " ".join(answer.lower().split())


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
        found = json.loads(text, object_pairs_hook=partial(_object, path))
    except json.JSONDecodeError as error:
        raise DataError(f"{path}: is not JSON ({error.msg} at line {error.lineno}, column {error.colno}).") from error
    return _in_json(found, path)


def _object(path: Path, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    counted = Counter(key for key, _ in pairs)
    if len(counted) < len(pairs):
        key, times = counted.most_common(1)[0]
        raise DataError(f"{path}: the key '{key}' stands {times} times in one object; keep one of them.")
    return dict(pairs)


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
