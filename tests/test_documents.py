"""The commands that the documents show exist, with their flags and names; the README's YAML is a whole benchmark."""

import re
import shlex
from pathlib import Path

import pytest
import typer

from blipvid.bench.cli import whole
from blipvid.data.spec import list_benchmarks, load_benchmark
from blipvid.models.zoo import list_models

ROOT = Path(__file__).parents[1]
DOCUMENTS = [
    "README.md",
    "CONTRIBUTING.md",
    "benchmarks/README.md",
    "docs/protocols.md",
    "docs/datasets.md",
    "docs/speed.md",
    "docs/training.md",
]


def blocks(document: str, language: str) -> list[str]:
    text = (ROOT / document).read_text(encoding="utf-8")
    return [block for said, block in re.findall(r"^```(\w*)\n(.*?)^```", text, re.M | re.S) if said == language]


def commands() -> list[str]:
    """Every call of blipvid in a code block, as typed."""
    found = []
    for document in DOCUMENTS:
        for block in [*blocks(document, "bash"), *blocks(document, "")]:
            for line in block.splitlines():
                for part in line.partition("#")[0].split("&&"):
                    if part.strip().startswith(("python run_bench.py", "blipvid ")):
                        found.append(part.strip())
    return found


def test_there_are_commands_to_check():
    assert len(commands()) >= 10


@pytest.mark.parametrize("command", commands())
def test_a_shown_command_can_be_typed(command: str):
    words = shlex.split(command)
    words = ["bench", *words[2:]] if words[0] == "python" else words[1:]
    current = typer.main.get_command(whole())
    while hasattr(current, "commands"):
        current = current.commands[words.pop(0)]
    context = current.make_context("blipvid", words)  # raises on an unknown flag or a missing argument
    for benchmark in context.params.get("benchmarks") or []:
        assert benchmark.endswith(".yaml") or benchmark in list_benchmarks()
    for model in context.params.get("models") or []:
        assert model.endswith(".yaml") or model in list_models()


def test_the_two_commands_of_a_fresh_machine_stand_in_the_readme():
    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    set_up = [line for line in lines if re.match("pip install -e .* && python ", line)]  # as .ci/run finds them
    assert set_up == [
        'pip install -e ".[dev]" && python run_bench.py',
        'pip install -e ".[dev]" && python -m pytest',
    ]


def test_the_readme_shows_the_table_of_the_demo():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (text-to-video|video-to-text) (R@1|R@5|R@10|MdR|MnR) ", text, re.M)
    assert len(rows) == 10


def test_the_readme_names_every_benchmark_under_its_task():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    named = {
        name: (task, on_pictures)
        for task, *cells in re.findall(r"^\| `(\w+)` \|(.*)\|(.*)\|$", text, re.M)
        for on_pictures, cell in zip((True, False), cells, strict=True)
        for name in re.findall(r"`([\w-]+)`", cell)
    }
    specs = map(load_benchmark, list_benchmarks())
    assert named == {spec.name: (spec.task, spec.frames.of_pictures) for spec in specs}


def test_a_dataset_takes_six_lines(tmp_path: Path):
    (text,) = blocks("README.md", "yaml")
    assert len(text.splitlines()) == 6
    path = tmp_path / "kitchen.yaml"
    path.write_text(text)
    assert load_benchmark(path).dataset.fields == {"clip": "video", "text": "sentence"}


def test_links_between_documents_lead_somewhere():
    for document in [*DOCUMENTS, "docs/design.md"]:
        text = (ROOT / document).read_text(encoding="utf-8")
        for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", text):
            assert (ROOT / document).parent.joinpath(target).exists(), f"{document}: {target}"


def test_every_speed_program_stands_in_their_table_with_a_command():
    folder = ROOT / "benchmarks" / "speed"
    programs = {path.name for path in folder.glob("*.py") if "__main__" in path.read_text(encoding="utf-8")}
    rows = re.findall(
        r"^\| `(\w+\.py)` \|.*\| `python benchmarks/speed/(\w+\.py) ", (folder / "README.md").read_text(), re.M
    )
    assert rows == [(program, program) for program in sorted(programs)]
