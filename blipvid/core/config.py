"""What a person writes: YAML files checked against pydantic models, with every mistake named at once.

This is not a configuration framework: no interpolation, no inheritance, no Python inside YAML.
"""

import difflib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from blipvid.core.errors import ConfigError


class Settings(BaseModel):
    """Base of every model a person writes or reads later: unknown keys are errors, numbers finite, values fixed."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True, allow_inf_nan=False)


Seed = Annotated[int, Field(ge=0, lt=2**31)]
"""What chance begins from. numpy takes none below 0 and 32 bits at most, of which one is left free because in training
each process adds its number."""

S = TypeVar("S", bound=BaseModel)


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Returns ` Did you mean 'x'?` for the nearest known words, or an empty string."""
    near = difflib.get_close_matches(word, list(known), n=2, cutoff=0.5)
    return f" Did you mean {' or '.join(repr(n) for n in near)}?" if near else ""


def read_yaml(path: Path) -> dict[str, Any]:
    """Reads one YAML mapping.

    Args:
        path: An existing `.yaml` file.

    Returns:
        The mapping at the top of the file.

    Raises:
        ConfigError: The file cannot be read, is not YAML, or holds something other than a mapping.
    """
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}); give the path of a YAML file.") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        where = " ".join(str(error).split())
        raise ConfigError(f"{path}: is not valid YAML ({where}); mend the file.") from error
    if not isinstance(raw, dict):
        raise ConfigError(f"{path}: holds no keys; a mapping like 'name: ...' is expected at the top of the file.")
    return raw


def validate(schema: type[S], raw: Mapping[str, Any], where: str | Path) -> S:
    """Checks a mapping against a pydantic model and names all mistakes in one error.

    Args:
        schema: The pydantic model.
        raw: What was read from the file, after overrides.
        where: File name for the message.

    Returns:
        The validated model.

    Raises:
        ConfigError: One sentence with every wrong key, each as a dotted path such as `frames.count`.
    """
    try:
        return schema.model_validate(raw)
    except ValidationError as error:
        problems = [_describe(schema, problem) for problem in error.errors()]
        raise ConfigError(f"{where}: {'; '.join(problems)}") from error


def _describe(schema: type[BaseModel], problem: Any) -> str:
    written, known = _follow(schema, [str(part) for part in problem["loc"]])
    key = ".".join(written) or "file"
    if problem["type"] == "extra_forbidden":
        hint = did_you_mean(written[-1], known) or (f" Known keys here: {', '.join(sorted(known))}." if known else "")
        return f"unknown key '{key}'.{hint}"
    if problem["type"] == "missing":
        return f"key '{key}' is missing"
    reason = problem["msg"].removeprefix("Value error, ")
    reason = reason[:1].lower() + reason[1:]
    shown = "" if problem["type"] == "value_error" else f" (found {problem['input']!r})"
    return f"key '{key}': {reason}{shown}"


def _follow(schema: type[BaseModel], location: list[str]) -> tuple[list[str], list[str]]:
    """Follows a location of pydantic's through the models.

    Returns:
        The path as a person writes it, without the tags by which pydantic names the members of a union; and the keys
        that are known where its last part stands.
    """
    written: list[str] = []
    known: list[str] = []
    models: list[Any] = [schema]
    for part in location:
        tagged = [model for model in models if len(models) > 1 and _is_tag(part, model)]
        if tagged:
            models = tagged
            continue
        written.append(part)
        known = [field.alias or name for model in models for name, field in model.model_fields.items()]
        field = next((model.model_fields[part] for model in models if part in model.model_fields), None)
        if field is not None:  # else an index into a list, or a key that nobody knows
            models = [inner for inner in _inner_types(field.annotation) if hasattr(inner, "model_fields")]
    return written, list(dict.fromkeys(known))


def _is_tag(word: str, model: Any) -> bool:
    """Says whether a member of a union is the one that a word chooses: one of its fields can be that word alone."""
    return any(getattr(field.annotation, "__args__", ()) == (word,) for field in model.model_fields.values())


def _inner_types(annotation: Any) -> list[Any]:
    inner = [annotation]
    for argument in getattr(annotation, "__args__", ()):
        inner.extend(_inner_types(argument))
    return inner
