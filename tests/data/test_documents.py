"""The examples in the documents run, and every key a person may write is explained."""

import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import BaseModel

from blipvid.core.settings import AnsweringSettings, ChoiceSettings, FrameSettings, RetrievalSettings, TaskSettings
from blipvid.core.types import ChoiceSet, QuestionSet
from blipvid.data.dataset_schema import Join
from blipvid.data.schema import TASKS, Published
from blipvid.data.sets import LoadedSet, load_set
from blipvid.data.spec import list_benchmarks, load_benchmark
from blipvid.media.sampling import SAMPLERS

REPOSITORY = Path(__file__).parents[2]
DATASETS = (REPOSITORY / "docs/datasets.md").read_text()
KEYS = (REPOSITORY / "benchmarks/README.md").read_text()
PROTOCOLS = (REPOSITORY / "docs/protocols.md").read_text()


def block(language: str, naming: str = "") -> str:
    """The text of the first fenced block of a language in docs/datasets.md that holds some words."""
    blocks = re.findall(rf"^```{language}\n(.*?)^```", DATASETS, flags=re.MULTILINE | re.DOTALL)
    return next(found for found in blocks if naming in found)


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


def load_example(folder: Path, name: str, *overrides: str) -> LoadedSet:
    for clip in ("0001", "0002"):
        write(folder / f"clips/{clip}.mp4")
    return load_set(load_benchmark(write(folder / f"{name}.yaml", block("yaml", f"name: {name}")), overrides), folder)


def test_the_worked_example_of_questions(tmp_path: Path) -> None:
    write(tmp_path / "questions.csv", block("csv", "answer"))
    write(tmp_path / "answers.txt", "onion\n2\n")
    items = load_example(tmp_path, "kitchen-qa", "answer_by=rank", "answers=answers.txt").items
    assert isinstance(items, QuestionSet)
    assert (items.answers, items.kinds) == ((("onion",), ("2",), ("somebody",)), ("object", "number", "person"))
    assert items.answer_list is not None
    assert items.answer_list.answers == ("onion", "2")


def test_the_worked_example_of_multiple_choice(tmp_path: Path) -> None:
    write(tmp_path / "choices.csv", block("csv", "a0"))
    items = load_example(tmp_path, "kitchen-choice").items
    assert isinstance(items, ChoiceSet)
    assert [options[right] for options, right in zip(items.options, items.right, strict=True)] == [
        "an onion",
        "the oven opens",
    ]


def test_the_worked_example_of_a_second_file(tmp_path: Path) -> None:
    asked, answered = re.findall(r"# (\{.*\})$", block("yaml", "name: kitchen-apart"), flags=re.MULTILINE)
    write(tmp_path / "asked.jsonl", asked)
    write(tmp_path / "answered.jsonl", answered)
    write(tmp_path / "clips/1.mp4")
    items = load_example(tmp_path, "kitchen-apart").items
    assert isinstance(items, QuestionSet)
    assert items.answers == (("somebody",),)


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
    loaded = load_set(
        load_benchmark(write(installed / "kitchen-notes.yaml", block("yaml", "name: kitchen-notes"))), installed
    )
    assert loaded.items.texts == ("a man peels an onion",)


def rows_below(heading: str) -> dict[str, list[str]]:
    """Key -> the other cells, of the tables below one heading of benchmarks/README.md."""
    (part,) = re.findall(rf"^### {re.escape(heading)}\n(.*?)(?=^##)", KEYS, flags=re.MULTILINE | re.DOTALL)
    found: dict[str, list[str]] = {}
    for key, cells in re.findall(r"^\| `(\w+)` \| (.*) \|$", part, flags=re.MULTILINE):
        assert key not in found, f"{key} is explained twice"
        found[key] = cells.split(" | ")
    return found


def keys_of(*schemas: type[BaseModel]) -> set[str]:
    return {key for schema in schemas for key in schema.model_fields}


def part_of(task: type[BaseModel], section: str) -> type[BaseModel]:
    schema = task.model_fields[section].annotation
    assert isinstance(schema, type)
    return schema


SETTINGS = {
    "`settings` of every task": keys_of(TaskSettings),
    "`settings`, task `retrieval`": keys_of(RetrievalSettings) - keys_of(TaskSettings),
    "`settings`, tasks `qa` and `choice`": keys_of(AnsweringSettings, ChoiceSettings)
    - keys_of(TaskSettings)
    - {"caption_words", "text_tokens"},  # stand with retrieval, whose texts they cut likewise
    **{
        f"`settings`, task `{task}`": keys_of(part_of(TASKS[task], "settings")) - keys_of(TaskSettings)
        for task in ("caption", "pairs", "dialog")
    },
}


@pytest.mark.parametrize(
    ("heading", "keys"),
    [
        ("At the top", keys_of(*TASKS.values()) - {"overrides"}),
        ("`dataset`", keys_of(*(part_of(task, "dataset") for task in TASKS.values()))),
        ("`join`", keys_of(Join)),
        ("`frames`", keys_of(FrameSettings)),
        *SETTINGS.items(),
        ("A row of `published` or `compare`", keys_of(Published)),
    ],
)
def test_every_key_is_explained_once_and_no_other(heading: str, keys: set[str]) -> None:
    assert set(rows_below(heading)) == keys


@pytest.mark.parametrize("heading", ["`frames`", *SETTINGS])
def test_the_defaults_in_the_key_table_are_those_of_the_code(heading: str) -> None:
    schemas: tuple[type[BaseModel], ...] = (RetrievalSettings, AnsweringSettings, ChoiceSettings)
    if heading == "`frames`":
        schemas = (FrameSettings,)
    elif (task := heading.split("`")[-2]) in ("caption", "pairs", "dialog"):
        schemas = (part_of(TASKS[task], "settings"),)
    defaults = {key: field.default for schema in schemas for key, field in schema.model_fields.items()}
    shown = {None: "none", 120.0: "120", ("generate",): "generate", ("meteor", "spice"): "[meteor, spice]"}
    for key, (default, *_) in rows_below(heading).items():
        assert default.strip('`"') == shown.get(defaults[key], str(defaults[key])), key


def test_the_fields_of_every_task_are_explained() -> None:
    for task, schema in TASKS.items():
        (cells,) = re.findall(rf"^\| {task} \| (.*) \|$", KEYS, flags=re.MULTILINE)
        named = set(re.findall(r"`(\w+)`", cells))
        if task == "choice":
            named -= {"options"}  # needed where no columns are listed
        if task == "pairs":
            assert {"first", "second", "images"} <= named
            named -= {"first", "second", "images"}  # either two columns or one
        else:
            named |= {"start_s", "end_s"}
        assert named == {*schema.NEEDS, *schema.MAY_HAVE}, task


def test_every_shipped_benchmark_is_listed_with_its_numbers() -> None:
    for name in list_benchmarks():
        expect = load_benchmark(name).dataset.expect.model_dump()
        clips = expect.pop("clips")
        (items,) = expect.values()
        assert f"| `{name}` | {'-' if clips is None else f'{clips:,}'} | {items:,} |" in KEYS


def test_every_sampler_is_explained_and_the_example_holds() -> None:
    for name in SAMPLERS.names():
        assert f"| `{name}` |" in PROTOCOLS
    for name, shown in (("blip-compat", "0, 37, 74, ..., 259"), ("uniform", "0, 37, 75, ..., 262")):
        frames = SAMPLERS.get(name)(300, 8, None)
        assert shown == f"{frames[0]}, {frames[1]}, {frames[2]}, ..., {frames[-1]}"
        assert shown in PROTOCOLS
