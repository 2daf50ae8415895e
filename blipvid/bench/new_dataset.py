"""Writes the benchmark file of an own dataset: filled in as far as the annotation file tells, commented throughout."""

import json
import re
from pathlib import Path

from blipvid.core.errors import ConfigError, DataError

GUESSES = {
    "clip": ("clip", "video_id", "clip_name", "video", "clip_id", "id", "$key", "file", "image"),
    "text": ("text", "caption", "sentence", "captions", "description", "$value"),
}
"""Columns by which the datasets in use call a clip and its text, tried in this order."""

TEMPLATE = """\
name: {name}
task: retrieval
about: {name}, one line for --list            # say here what and how many
model: blip-base-retrieval-coco              # evaluated where --model names none
dataset:
  # Paths lie below --data-root or $BLIPVID_DATA. csv, tsv, json, jsonl or parquet.
  annotations: {annotations}
  # blipvid's word -> column of the file{columns}
  fields: {{clip: {clip}, text: {text}}}
  # Any mapped field may stand in braces.
  media: {media}
  # Numbers that the file must hold; a cut copy is then noticed.
  # expect: {{clips: 1000, texts: 1000}}
  # obtain: where a person gets annotations and media, and under which terms
frames: {{sampler: blip-compat, count: 8, size: 384, resize: decoder}}
settings: {{rerank_top_k: 128, caption_words: 40, text_tokens: 35}}
# published:
#   - {{label: a paper's row, metrics: {{t2v_r1: 43.3}}, source: "paper, table", protocol: re-ranked}}
"""


def benchmark_text(name: str, annotations: Path | None, media: str | None, data_root: Path | None) -> str:
    """Returns the text of a benchmark file.

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
    guessed = {field: next((g for g in guesses if g in columns), field) for field, guesses in GUESSES.items()}
    return TEMPLATE.format(
        name=name,
        annotations=json.dumps(str(annotations or f"{name}/annotations.csv")),
        media=json.dumps(media or f"{name}/videos/{{clip}}.mp4"),
        columns=f"; the file has: {', '.join(columns)}" if columns else "",
        **guessed,
    )


def _columns(annotations: Path, data_root: Path | None) -> list[str]:
    from blipvid.data.annotations import columns_of, read_rows
    from blipvid.data.files import root_from_environment

    root = data_root or root_from_environment() or Path()
    path = root / annotations
    if not path.is_file():
        raise DataError(f"{path}: no such annotation file; give it relative to --data-root.")
    return columns_of(read_rows(path))
