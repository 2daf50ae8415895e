"""Writes the benchmark file of an own dataset: filled in as far as the annotation file tells, commented throughout."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from blipvid.core.errors import ConfigError, DataError

GUESSES = {
    "clip": (
        "clip",
        "video_id",
        "clip_name",
        "video",
        "video_name",
        "gif_name",
        "clip_id",
        "id",
        "$key",
        "file",
        "image",
    ),
    "text": ("text", "caption", "sentence", "captions", "description", "$value"),
    "question": ("question",),
    "answer": ("answer",),
    "options": ("options", "choices"),
}
"""Columns by which the datasets in use call a clip and what is asked about it, tried in this order."""

OPTION = re.compile(r"(a|option|choice)_?\d+")
"""Columns that hold one option each, such as `a0` or `option_1`."""

TEMPLATE = """\
name: {name}
task: {task}
about: {name}, one line for --list            # say here what and how many
model: {model}{gap}# evaluated where --model names none
dataset:
  # Paths lie below --data-root or $BLIPVID_DATA. csv, tsv, json, jsonl or parquet.
  annotations: {annotations}
  # blipvid's word -> column of the file{columns}
{asked}  # Any mapped field may stand in braces.
  media: {media}
  # Numbers that the file must hold; a cut copy is then noticed.
  # expect: {{clips: 1000, {counted}: 1000}}
  # obtain: where a person gets annotations and media, and under which terms
{settings}"""


@dataclass(frozen=True, slots=True)
class _Task:
    """What differs between tasks: which model runs, what is counted, more lines on the data, frames and settings."""

    model: str
    counted: str
    more: str
    settings: str


TASKS = {
    "retrieval": _Task(
        "blip-base-retrieval-coco",
        "texts",
        "",
        """\
frames: {sampler: blip-compat, count: 8, size: 384, resize: decoder}
settings: {rerank_top_k: 128, caption_words: 40, text_tokens: 35}
# published:
#   - {label: a paper's row, metrics: {t2v_r1: 43.3}, source: "paper, table", protocol: re-ranked}
""",
    ),
    "qa": _Task(
        "blip-vqa-capfilt-large",
        "questions",
        """\
  # For ranking: annotations of the training split, whose answers are counted, or a list of answers, one a line.
  # train: train.json
  # answers: answers.txt
""",
        """\
frames: {sampler: blip-compat, count: 16, size: 480, resize: decoder}
# generate: answers in the model's own words. rank: the best of a list. [generate, rank]: both.
settings: {answer_by: generate}
# published:
#   - {label: a paper's row, metrics: {generate_accuracy: 35.2}, source: "paper, table", protocol: generate}
""",
    ),
    "choice": _Task(
        "blip-vqa-capfilt-large",
        "questions",
        "  # The answer is the index of the right option, from 0, or its text.\n",
        """\
frames: {sampler: blip-compat, count: 16, size: 480, resize: decoder}
# rank: the option that the answer decoder finds likeliest. match: the one that fits the clip best (retrieval models).
settings: {choose_by: rank}
# published:
#   - {label: a paper's row, metrics: {choice_accuracy: 49.7}, source: "paper, table", protocol: rank}
""",
    ),
}


def benchmark_text(name: str, annotations: Path | None, media: str | None, data_root: Path | None) -> str:
    """Returns the text of a benchmark file; the columns tell its task.

    Args:
        name: Name of the benchmark.
        annotations: Annotation file below the data root or the current folder, read for its columns.
        media: Pattern of the media files.
        data_root: Folder below which they lie.

    Raises:
        ConfigError: The name cannot be a file's name.
        DataError: The annotation file is absent or cannot be read.
    """
    if not re.fullmatch(r"[A-Za-z0-9][\w.-]*", name):
        raise ConfigError(f"'{name}' cannot name a benchmark; use letters, digits, '-', '_' and '.'.")
    columns = _columns(annotations, data_root) if annotations else []
    task, asked = _task_and_fields(columns)
    parts = TASKS[task]
    return TEMPLATE.format(
        name=name,
        task=task,
        model=parts.model,
        gap=" " * (38 - len(parts.model)),
        annotations=json.dumps(str(annotations or f"{name}/annotations.csv")),
        columns=f"; the file has: {', '.join(columns)}" if columns else "",
        asked=asked + parts.more,
        media=json.dumps(media or f"{name}/videos/{{clip}}.mp4"),
        counted=parts.counted,
        settings=parts.settings,
    )


def _task_and_fields(columns: Sequence[str]) -> tuple[str, str]:
    """Guesses the task, and writes the lines that say which columns hold what."""
    found = {field: known[0] for field, guesses in GUESSES.items() if (known := [g for g in guesses if g in columns])}
    options = [column for column in columns if OPTION.fullmatch(column)]
    if "answer" in found and ("options" in found or len(options) > 1):
        names = ["clip", *(one for one in ("question", "options") if one in found), "answer"]
        own_columns = "" if "options" in found else f"  options: [{', '.join(options)}]\n"
        return "choice", _fields_line(names, found) + own_columns
    if "question" in found and "answer" in found:
        return "qa", _fields_line(["clip", "question", "answer"], found)
    return "retrieval", _fields_line(["clip", "text"], found)


def _fields_line(names: Sequence[str], found: dict[str, str]) -> str:
    return f"  fields: {{{', '.join(f'{name}: {found.get(name, name)}' for name in names)}}}\n"


def _columns(annotations: Path, data_root: Path | None) -> list[str]:
    from blipvid.data.annotations import columns_of, read_rows
    from blipvid.data.files import root_from_environment

    root = data_root or root_from_environment() or Path()
    path = root / annotations
    if not path.is_file():
        raise DataError(f"{path}: no such annotation file; give it relative to --data-root.")
    return columns_of(read_rows(path))
