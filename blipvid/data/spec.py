"""Finding a benchmark by name or path, and applying what the command line changes in it.

What a file may say stands in `schema.py`.
"""

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from blipvid.core.config import did_you_mean, read_yaml, validate
from blipvid.core.errors import ConfigError
from blipvid.core.places import definitions
from blipvid.core.settings import FrameSettings
from blipvid.data.schema import TASKS, BenchmarkSpec

__all__ = ["BenchmarkSpec", "list_benchmarks", "load_benchmark"]

OPEN_SECTIONS = ("dataset", "frames", "settings")
"""The parts of a benchmark that `--set` may change."""


def list_benchmarks() -> list[str]:
    """Returns the names of the shipped benchmarks, sorted."""
    return sorted(path.stem for path in definitions("benchmarks").glob("*.yaml"))


def load_benchmark(
    name_or_path: str | Path,
    overrides: Sequence[str] = (),
    annotations: Path | None = None,
    media: str | None = None,
) -> BenchmarkSpec:
    """Reads one benchmark file, applies the changes asked for, and checks the whole.

    Args:
        name_or_path: A shipped name, or a path that ends in `.yaml` or `.yml`.
        overrides: `key=value` each, the value in YAML. The key is a dotted path (`frames.size`,
            `dataset.fields.clip`) or the bare name of a key of `frames` or `settings` (`size`, `ties`). Later ones win.
        annotations: Annotation file to use instead of the benchmark's own; relative to the current folder.
        media: Media pattern to use instead of the benchmark's own; absolute, or relative to the current folder.

    Returns:
        The checked benchmark; its `overrides` list every change.

    Raises:
        ConfigError: Unknown name, or every mistake in the file and the overrides, with key paths.
    """
    path = _find(name_or_path)
    raw = read_yaml(path)
    schema = _schema_of_task(raw, path)
    if "overrides" in raw:
        raise ConfigError(f"{path}: key 'overrides' is written by blipvid, not in a file; remove it.")
    changes = [_change(text, schema) for text in overrides]
    if annotations is not None:
        changes.append(("dataset.annotations", str(Path.cwd() / annotations.expanduser())))
    if media is not None:
        # Braces in the folder's own name would be taken for fields.
        here = str(Path.cwd()).replace("{", "{{").replace("}", "}}")
        changes.append(("dataset.media", str(Path(here) / Path(media).expanduser())))
    if not changes:
        return _checked(schema, raw, path)
    changed = copy.deepcopy(raw)
    for key, value in changes:
        _put(changed, key, value, path)
    changed["overrides"] = [f"{key}={_shown(value)}" for key, value in changes]
    return _checked(schema, changed, f"{path} with {', '.join(changed['overrides'])}")


def _find(name_or_path: str | Path) -> Path:
    text = str(name_or_path)
    if Path(text).suffix.lower() in (".yaml", ".yml"):
        return Path(text)
    names = list_benchmarks()
    if text not in names:
        hint = did_you_mean(text, names) or f" Known: {', '.join(names)}."
        raise ConfigError(f"unknown benchmark '{text}'.{hint} A file of your own is given by its path, NAME.yaml.")
    return definitions("benchmarks") / f"{text}.yaml"


def _schema_of_task(raw: Mapping[str, Any], path: Path) -> type[BenchmarkSpec]:
    task = raw.get("task")
    if task in TASKS:
        return TASKS[task]
    if task is None:
        raise ConfigError(f"{path}: key 'task' is missing; one of {', '.join(TASKS)}.")
    hint = did_you_mean(str(task), TASKS) or f" Known: {', '.join(TASKS)}."
    raise ConfigError(f"{path}: key 'task': unknown task '{task}'.{hint}")


def _checked(schema: type[BenchmarkSpec], raw: Mapping[str, Any], where: str | Path) -> BenchmarkSpec:
    spec = validate(schema, raw, where)
    # A pattern given with --media may leave out a field that the file's own pattern uses.
    if unused := [] if any(change.startswith("dataset.media=") for change in spec.overrides) else spec.unused_fields():
        hint = did_you_mean(unused[0], {*spec.used_fields()} - {*spec.dataset.fields})
        raise ConfigError(
            f"{where}: key 'dataset.fields.{unused[0]}': neither the task nor 'dataset.media' uses it; remove it.{hint}"
        )
    return spec


def _change(text: str, schema: type[BenchmarkSpec]) -> tuple[str, Any]:
    key, equals, value = text.partition("=")
    key = key.strip()
    if not equals or not key:
        raise ConfigError(f"--set {text}: write key=value, for instance --set frames.size=224.")
    return _full_key(key, schema), _value(value)


def _full_key(key: str, schema: type[BenchmarkSpec]) -> str:
    bare = {"frames": list(FrameSettings.model_fields), "settings": list(_settings_of(schema).model_fields)}
    if "." in key:
        if key.split(".")[0] in OPEN_SECTIONS:
            return key
        raise ConfigError(f"--set {key}: only keys below {', '.join(OPEN_SECTIONS)} can be changed.")
    found = [f"{section}.{key}" for section, names in bare.items() if key in names]
    if len(found) == 1:
        return found[0]
    if found:
        raise ConfigError(f"--set {key}: stands for {' and '.join(found)}; write the one you mean.")
    dotted = {name: f"{section}.{name}" for section, names in bare.items() for name in names}
    dotted |= {name: f"dataset.{name}" for name in schema.model_fields["dataset"].annotation.model_fields}  # type: ignore[union-attr]
    hint = f" Did you mean '{dotted[key]}'?" if key in dotted else did_you_mean(key, dotted)
    hint = hint or f" Only keys below {', '.join(OPEN_SECTIONS)} can be changed."
    raise ConfigError(f"--set {key}: no such key.{hint}")


def _settings_of(schema: type[BenchmarkSpec]) -> Any:
    return schema.model_fields["settings"].annotation


def _value(text: str) -> Any:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        return text  # such as a media pattern that begins with a brace; the schema says whether text may stand here


def _shown(value: Any) -> str:
    return (
        value if isinstance(value, str) else yaml.safe_dump(value, default_flow_style=True, width=10**6).split("\n")[0]
    )


def _put(raw: dict[str, Any], key: str, value: Any, path: Path) -> None:
    *sections, last = key.split(".")
    current: Any = raw
    for depth, section in enumerate(sections):
        current = current.setdefault(section, {})
        if not isinstance(current, dict):
            raise ConfigError(f"{path}: --set {key}: '{'.'.join(sections[: depth + 1])}' holds no keys.")
    current[last] = value
