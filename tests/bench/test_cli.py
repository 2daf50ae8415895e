"""The command line as such: its flags, its speed, its manners."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import typer
import yaml

from blipvid.bench.cli import whole
from blipvid.bench.record import read_predictions, read_run
from blipvid.data.spec import load_benchmark
from tests.bench.call import call
from tests.bench.world import World

# Frozen: what a number depends on goes through --set, so that this list need not grow.
FLAGS = {
    "bench": [
        "--model", "--data-root", "--out", "--device", "--precision", "--batch-size", "--workers", "--memory",
        "--limit", "--format", "--save-scores", "--curve", "--cache", "--list", "--suite", "--annotations", "--media",
        "--set", "--debug",
    ],
    "frames": [
        "--sampler", "--count", "--size", "--resize", "--backend", "--start", "--end", "--seed", "--fps", "--sheet",
    ],
    "train": ["--out", "--data-root", "--device", "--every", "--track", "--debug"],
    "ask": ["--model", "--answers", "--frames", "--top", "--device", "--sampler", "--start", "--end"],
    "features": [
        "--out", "--model", "--tokens", "--texts", "--count", "--sampler", "--size", "--device", "--precision",
        "--batch-size", "--workers",
    ],
    "caption": [
        "--model", "--count", "--sampler", "--prompt", "--beams", "--nucleus", "--top-p", "--seed", "--max-tokens",
        "--min-tokens", "--out", "--device",
    ],
    "fetch-metrics": [],
    "doctor": ["--model", "--data-root", "--annotations", "--media", "--set"],
    "report": ["--out"],
    "compare": ["--changes", "--format"],
    "cache ls": [],
    "cache verify": ["--remove"],
    "cache gc": ["--max-gb", "--unused-days"],
    "models list": [],
    "models show": [],
    "models fetch": [],
    "models convert": ["--to", "--half"],
    "datasets list": [],
    "datasets show": [],
    "datasets new": ["--annotations", "--media", "--data-root"],
}  # fmt: skip

HEAVY = ("torch", "transformers", "timm", "pandas", "scipy", "matplotlib", "numpy", "av", "decord")


def commands() -> dict[str, list[str]]:
    found = {}
    root = typer.main.get_command(whole())
    for name, command in root.commands.items():  # type: ignore[attr-defined]
        inner = getattr(command, "commands", None)
        for word, leaf in ({f"{name} {n}": c for n, c in inner.items()} if inner else {name: command}).items():
            options = [one for one in leaf.params if one.param_type_name == "option"]
            found[word] = [flag for one in options for flag in one.opts if flag != "--help"]
    return found


def test_the_list_of_flags_is_frozen():
    assert commands() == FLAGS


@pytest.mark.parametrize(
    "words",
    [
        ["--help"],
        ["bench", "--help"],
        ["bench", "--list"],
        ["models", "list"],
        ["ask", "--help"],
        ["features", "--help"],
        ["caption", "--help"],
    ],
)
def test_help_and_lists_import_nothing_heavy(words: list[str]):
    code = (
        "import sys\n"
        "from blipvid.bench.cli import main\n"
        f"try: main({words!r})\n"
        "except SystemExit as end: assert not end.code, end.code\n"
        f"print('HEAVY', *[name for name in {HEAVY!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "HEAVY"


def test_the_list_names_benchmarks_and_models():
    found = call("bench", "--list")
    assert found.code == 0
    for name in ("demo-retrieval", "msrvtt-retrieval", "blip-base-retrieval-coco", "blip-large-retrieval-flickr"):
        assert name in found.out


def test_the_script_is_the_bench_command(tmp_path: Path):
    script = Path(__file__).parents[2] / "run_bench.py"
    done = subprocess.run([sys.executable, str(script), "--help"], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0
    assert "--save-scores" in done.stdout


def test_an_error_is_one_line_on_standard_error():
    found = call("bench", "msrvtt-retrievl")
    assert found.code == 2
    assert found.out == ""
    assert found.err.startswith("error: unknown benchmark 'msrvtt-retrievl'. Did you mean 'msrvtt-retrieval'")
    assert found.err.count("\n") == 1


def test_debug_shows_the_traceback():
    from blipvid.core.errors import ConfigError

    with pytest.raises(ConfigError):
        call("bench", "msrvtt-retrievl", "--debug")
    with pytest.raises(ConfigError):
        call("--debug", "models", "show", "nothing")


def test_an_unknown_flag_ends_with_2():
    assert call("bench", "--no-such-flag").code == 2


def test_only_the_table_goes_to_standard_output(world: World, tmp_path: Path):
    found = call(*world.arguments(tmp_path, "--format", "markdown"))
    assert found.code == 0
    assert all(line.startswith("|") for line in found.out.splitlines())
    assert "Protocol: six drawn clips" in found.err
    assert "written to" in found.err


def test_a_device_that_is_not_there_is_named(world: World, tmp_path: Path):
    found = call(*world.arguments(tmp_path, "--device", "cudda"))
    assert found.code == 2
    assert "device 'cudda'" in found.err


def test_the_memory_for_features_is_given_in_gib(world: World, tmp_path: Path):
    assert call(*world.arguments(tmp_path / "none", "--memory", "0")).code == 0
    assert call(*world.arguments(tmp_path / "some", "--memory", "1.5")).code == 0
    assert [read_run(tmp_path / name).runtime["memory_bytes"] for name in ("none", "some")] == [0, 3 * 2**29]
    assert read_predictions(tmp_path / "none") == read_predictions(tmp_path / "some")


@pytest.mark.parametrize("gib", ["-1", "nan", "inf", "1e30"])
def test_memory_that_no_machine_has_is_refused(world: World, tmp_path: Path, gib: str):
    found = call(*world.arguments(tmp_path / "run", "--memory", gib))
    assert found.code == 2
    assert "--memory" in found.err
    assert found.err.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_a_run_in_half_precision_says_what_that_changed(world: World, tmp_path: Path):
    found = call(*world.arguments(tmp_path, "--precision", "bf16"))
    assert found.code == 0
    record = read_run(tmp_path)
    assert record.details["features"] == {"kept_as": "float16"}
    assert 0 < record.details["certificate"]["error"] < 0.1
    assert "Matching differs from fp32 matching of the same features by at most" in found.out
    assert record.environment.tf32 == {"matmul": False, "convolution": False}


def test_models_are_shown_and_converted(world: World, tmp_path: Path):
    assert "embed_dim: 8" in call("models", "show", str(world.model)).out
    written = call("models", "convert", str(world.model), str(tmp_path), "--to", "official")
    assert written.code == 0
    assert call("models", "fetch", written.out.strip()).out.startswith(str(tmp_path / "tiny.pth"))


def test_fetching_checks_the_sha256(world: World):
    wrong = world.folder / "wrong.yaml"
    wrong.write_text(world.model.read_text() + f"sha256: {'ab' * 32}\n")
    found = call("models", "fetch", str(wrong))
    assert found.code == 2
    assert "ab" * 32 in found.err


def test_a_benchmark_is_shown_with_where_to_obtain_it():
    found = call("datasets", "show", "msrvtt-retrieval")
    assert "MSRVTT_JSFUSION_test.csv" in found.out
    assert "obtain:" in found.out


def test_a_benchmark_is_shown_with_what_it_leaves_at_its_default():
    shown = call("datasets", "show", "vqa2-val").out
    written = yaml.safe_load(shown)
    defaults = dict(re.findall(r"^# (frames|settings), by default: (.*)$", shown, re.M))
    spec = load_benchmark("vqa2-val").model_dump(mode="json")
    for section in ("frames", "settings"):
        by_default = yaml.safe_load(defaults[section])
        assert by_default.keys().isdisjoint(written[section])
        assert written[section] | by_default == spec[section]
