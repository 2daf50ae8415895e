"""The examples in the documents run, and every key a person may write is explained."""

import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from blipvid.core.settings import FrameSettings
from blipvid.data.schema import DatasetSpec, Published, RetrievalBenchmark
from blipvid.data.sets import load_set
from blipvid.data.spec import list_benchmarks, load_benchmark
from blipvid.media.sampling import SAMPLERS

REPOSITORY = Path(__file__).parents[2]
DATASETS = (REPOSITORY / "docs/datasets.md").read_text()
KEYS = (REPOSITORY / "benchmarks/README.md").read_text()
PROTOCOLS = (REPOSITORY / "docs/protocols.md").read_text()


def block(language: str, number: int = 0) -> str:
    """The text of a fenced block of a language in docs/datasets.md."""
    return re.findall(rf"^```{language}\n(.*?)^```", DATASETS, flags=re.MULTILINE | re.DOTALL)[number]


def write(path: Path, text: str = "") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_the_worked_example_in_one_yaml(tmp_path: Path) -> None:
    write(tmp_path / "kitchen.csv", block("csv"))
    for name in ("0001", "0002"):
        write(tmp_path / f"clips/{name}.mp4")
    loaded = load_set(load_benchmark(write(tmp_path / "kitchen.yaml", block("yaml"))), tmp_path)
    assert [(clip.id, clip.start_s, clip.end_s) for clip in loaded.items.clips] == [
        ("0001", 0.0, 4.5),
        ("0002", None, None),
    ]
    assert loaded.items.text_ids == ("0001#0", "0001#1", "0002#0")
    assert loaded.notes == ()


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The example package of the document, as pip would have put it down."""
    site = tmp_path / "site"
    project = tomllib.loads(block("toml"))["project"]
    info = f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    groups = (
        f"[{group}]\n" + "".join(f"{name} = {target}\n" for name, target in points.items())
        for group, points in project["entry-points"].items()
    )
    write(site / info / "METADATA", f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n")
    write(site / info / "entry_points.txt", "\n".join(groups))
    write(site / "kitchen_dataset.py", block("python"))
    monkeypatch.syspath_prepend(site)
    yield tmp_path
    sys.modules.pop("kitchen_dataset", None)


def test_the_worked_example_in_one_function(installed: Path) -> None:
    write(installed / "notes/0001.txt", "a man peels an onion\n")
    write(installed / "clips/0001.mp4")
    loaded = load_set(load_benchmark(write(installed / "kitchen-notes.yaml", block("yaml", 1))), installed)
    assert loaded.items.texts == ("a man peels an onion",)


@pytest.mark.parametrize(
    "schema",
    [RetrievalBenchmark, DatasetSpec, FrameSettings, RetrievalBenchmark.model_fields["settings"].annotation, Published],
)
def test_every_key_is_explained(schema: type[BaseModel]) -> None:
    unexplained = [key for key in schema.model_fields if f"\n| `{key}` |" not in KEYS]
    assert unexplained == (["overrides"] if schema is RetrievalBenchmark else [])


def test_no_key_is_explained_that_does_not_exist() -> None:
    schemas: list[Any] = [RetrievalBenchmark, DatasetSpec, FrameSettings, Published]
    known = {key for schema in schemas for key in schema.model_fields}
    known |= set(RetrievalBenchmark.model_fields["settings"].annotation.model_fields)  # type: ignore[union-attr]
    assert set(re.findall(r"^\| `(\w+)` \|", KEYS, flags=re.MULTILINE)) <= known


def test_the_defaults_in_the_key_table_are_those_of_the_code() -> None:
    settings = RetrievalBenchmark.model_fields["settings"].annotation
    for schema in (FrameSettings, settings):
        for key, field in schema.model_fields.items():  # type: ignore[union-attr]
            shown = re.search(rf"^\| `{key}` \| `?([^`|]+?)`? \|", KEYS, flags=re.MULTILINE)
            assert shown is not None, key
            assert shown[1] == {None: "none", 120.0: "120"}.get(field.default, str(field.default)), key


def test_every_shipped_benchmark_is_listed_with_its_numbers() -> None:
    for name in list_benchmarks():
        expect = load_benchmark(name).dataset.expect
        assert f"| `{name}` | {expect.clips:,} | {expect.texts:,} |" in KEYS


def test_every_sampler_is_explained_and_the_example_holds() -> None:
    for name in SAMPLERS.names():
        assert f"| `{name}` |" in PROTOCOLS
    for name, shown in (("blip-compat", "0, 37, 74, ..., 259"), ("uniform", "0, 37, 75, ..., 262")):
        frames = SAMPLERS.get(name)(300, 8, None)
        assert shown == f"{frames[0]}, {frames[1]}, {frames[2]}, ..., {frames[-1]}"
        assert shown in PROTOCOLS
