"""A dataset plugged in from a package that blipvid knows nothing of."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from blipvid.core.errors import ConfigError, DataError
from blipvid.core.types import ChoiceSet, QuestionSet
from blipvid.data.sets import LoadedSet, load_set
from blipvid.data.spec import load_benchmark

CODE = '''
import json


def read(dataset, root):
    """One file for each clip, named like it: the text of the clip."""
    for path in sorted((root / dataset.annotations).glob("*.txt")):
        yield {"clip": path.stem, "text": path.read_text()}


def read_columns(dataset, root):
    for row in read(dataset, root):
        yield {"name": row["clip"], "sentence": row["text"]}


def read_questions(dataset, root):
    for k, row in enumerate(read(dataset, root)):
        yield {"clip": row["clip"], "question": "?", "answer": k, "kind": row["clip"], "options": ["one", "two"]}


def read_nothing(dataset, root):
    return []


def read_words(dataset, root):
    return ["word"]


def build(dataset, root):
    made = (root or BUILT) / "made"
    for name in ("one", "two"):
        for folder, suffix in (("texts", "txt"), ("media", "mp4")):
            (made / folder).mkdir(parents=True, exist_ok=True)
            (made / folder / f"{name}.{suffix}").write_text(f"text of {name}")
    return made
'''

ENTRY_POINTS = """
[blipvid.annotations]
folder-of-texts = outside_dataset:read
folder-of-columns = outside_dataset:read_columns
questions = outside_dataset:read_questions
nothing = outside_dataset:read_nothing
words = outside_dataset:read_words
gone = outside_dataset:no_such_function

[blipvid.builders]
writer = outside_dataset:build
"""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A package beside blipvid, announced as an installed distribution."""
    site = tmp_path / "site"
    info = site / "outside_dataset-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: outside-dataset\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(ENTRY_POINTS)
    (site / "outside_dataset.py").write_text(CODE.replace("BUILT", f"__import__('pathlib').Path({str(tmp_path)!r})"))
    monkeypatch.syspath_prepend(site)
    yield tmp_path
    sys.modules.pop("outside_dataset", None)


def load(folder: Path, root: Path | None, task: str = "retrieval", **dataset: object) -> LoadedSet:
    path = folder / "outside.yaml"
    raw = {"annotations": "texts", "media": "media/{clip}.mp4", "builder": "writer"} | dataset
    path.write_text(yaml.safe_dump({"name": "outside", "task": task, "dataset": raw}))
    return load_set(load_benchmark(path), root)


def test_a_reader_and_a_builder_from_outside(package: Path) -> None:
    loaded = load(package, package, reader="folder-of-texts", expect={"clips": 2, "texts": 2})
    assert [clip.id for clip in loaded.items.clips] == ["one", "two"]
    assert loaded.items.texts == ("text of one", "text of two")
    assert loaded.items.clips[0].path == package / "made/media/one.mp4"
    assert loaded.annotations == package / "made/texts"


def test_a_builder_needs_no_data_root(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BLIPVID_DATA", raising=False)
    assert len(load(package, None, reader="folder-of-texts").items.clips) == 2


def test_the_digest_of_a_reader_follows_its_rows(package: Path) -> None:
    first = load(package, package, reader="folder-of-texts")
    again = load(package, package, reader="folder-of-texts")
    (package / "made/texts/one.txt").write_text("another text")
    changed = load(package, package / "made", reader="folder-of-texts", builder=None)
    assert first.sha256 == again.sha256 != changed.sha256


def test_rows_of_a_reader_may_be_mapped(package: Path) -> None:
    loaded = load(package, package, reader="folder-of-columns", fields={"clip": "name", "text": "sentence"})
    assert loaded.items.texts == ("text of one", "text of two")
    with pytest.raises(DataError, match="rows have no 'clip'; they have: name, sentence"):
        load(package, package, reader="folder-of-columns")


def test_a_reader_may_give_questions(package: Path) -> None:
    items = load(package, package, "qa", reader="questions").items
    assert isinstance(items, QuestionSet)
    assert (items.answers, items.kinds) == ((("0",), ("1",)), ("one", "two"))
    items = load(package, package, "choice", reader="questions").items
    assert isinstance(items, ChoiceSet)
    assert (items.options, items.right.tolist()) == ((("one", "two"), ("one", "two")), [0, 1])
    with pytest.raises(DataError, match="rows have no 'question'; they have: clip, text"):
        load(package, package, "qa", reader="folder-of-texts")


def test_what_a_reader_does_wrong_is_named(package: Path) -> None:
    with pytest.raises(DataError, match="reader 'nothing' gave no rows"):
        load(package, package, reader="nothing")
    with pytest.raises(DataError, match="reader 'words': row 1 is str, not a mapping"):
        load(package, package, reader="words")
    with pytest.raises(ConfigError, match="'gone' is announced as outside_dataset:no_such_function"):
        load(package, package, reader="gone")
    with pytest.raises(ConfigError, match=r"'folder-of-text'. Did you mean 'folder-of-texts'"):
        load(package, package, reader="folder-of-text")
