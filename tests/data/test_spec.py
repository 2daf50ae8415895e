"""Benchmark files and what --set, --annotations and --media change in them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from blipvid.core.config import validate
from blipvid.core.errors import ConfigError
from blipvid.data.patterns import filled, names_in
from blipvid.data.schema import ChoiceBenchmark, QaBenchmark, RetrievalBenchmark
from blipvid.data.spec import list_benchmarks, load_benchmark

Writer = Callable[..., Path]

GOOD: dict[str, Any] = {
    "name": "mine",
    "task": "retrieval",
    "dataset": {
        "annotations": "mine.csv",
        "fields": {"clip": "id", "text": "caption", "file": "filename"},
        "media": "clips/{file}",
    },
}


@pytest.fixture
def write(tmp_path: Path) -> Writer:
    def _write(**changes: Any) -> Path:
        raw = GOOD | changes
        raw["dataset"] = GOOD["dataset"] | changes.get("dataset", {})
        path = tmp_path / "mine.yaml"
        path.write_text(yaml.safe_dump(raw))
        return path

    return _write


def test_a_short_file_takes_the_published_settings(write: Writer) -> None:
    spec = load_benchmark(write())
    assert (spec.frames.sampler, spec.frames.count, spec.frames.size) == ("blip-compat", 8, 384)
    assert (spec.settings.rerank_top_k, spec.overrides) == (128, ())


@pytest.mark.parametrize(
    ("override", "value_of", "expected"),
    [
        ("size=224", lambda s: s.frames.size, 224),
        ("frames.size=224", lambda s: s.frames.size, 224),
        ("ties=blip", lambda s: s.settings.ties, "blip"),
        ("on_error=skip", lambda s: s.settings.on_error, "skip"),
        ("rerank_top_k=6", lambda s: s.settings.rerank_top_k, 6),
        ("backend=pyav", lambda s: s.frames.backend, "pyav"),
        ("sampler=uniform", lambda s: s.frames.sampler, "uniform"),
        ("timeout_s=2.5", lambda s: s.frames.timeout_s, 2.5),
        ("dataset.fields.clip=name", lambda s: s.dataset.fields["clip"], "name"),
        ("dataset.fields.clip=[name, id]", lambda s: s.dataset.fields["clip"], ["name", "id"]),
        ("dataset.media={file}.mp4", lambda s: s.dataset.media, "{file}.mp4"),
        ("dataset.expect.clips=3", lambda s: s.dataset.expect.clips, 3),
    ],
)
def test_set_changes_one_value_and_is_remembered(write: Writer, override: str, value_of: Any, expected: Any) -> None:
    spec = load_benchmark(write(), [override])
    assert value_of(spec) == expected
    full_key, _, shown = spec.overrides[0].partition("=")
    assert full_key.split(".")[0] in ("dataset", "frames", "settings")
    assert yaml.safe_load(shown) == expected if not shown.startswith("{") else shown == expected


@pytest.mark.parametrize(
    ("overrides", "value_of", "expected"),
    [
        (["answer_by=rank"], lambda s: s.settings.answer_by, ("rank",)),
        (["answer_by=[generate, rank]"], lambda s: s.settings.answer_by, ("generate", "rank")),
        (
            ["answers=train", "answers_top_n=1000"],
            lambda s: (s.settings.answers, s.settings.answers_top_n),
            ("train", 1000),
        ),
        (["settings.answers=other.txt"], lambda s: s.settings.answers, "other.txt"),
        (["dataset.answers=null"], lambda s: s.dataset.answers, None),
        (["dataset.train=mine.json"], lambda s: s.dataset.train, "mine.json"),
        (["dataset.join=null"], lambda s: s.dataset.join, None),
        (["dataset.join.file=other.txt"], lambda s: s.dataset.join.file, "other.txt"),
        (["dataset.kinds={}"], lambda s: s.dataset.kinds, {}),
        (["question_mask=ones"], lambda s: s.settings.question_mask, "ones"),
        (["dataset.expect.questions=3"], lambda s: s.dataset.expect.questions, 3),
    ],
)
def test_set_changes_what_is_asked_and_how_it_is_answered(overrides: list[str], value_of: Any, expected: Any) -> None:
    spec = load_benchmark("msvd-qa", overrides)
    assert value_of(spec) == expected
    assert validate(QaBenchmark, spec.model_dump(mode="json"), "record") == spec


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("train=x", r"--set train: no such key. Did you mean 'dataset.train'"),
        ("answer_by=guess", r"key 'settings.answer_by"),
        ("answer_by=[rank, rank]", r"'settings.answer_by': names a protocol twice"),
        ("answers_top_n=10", r"'answers_top_n' goes with 'answers: train'"),
        ("dataset.options=[a, b]", r"unknown key 'dataset.options'"),
        ("rerank_top_k=5", r"--set rerank_top_k: no such key"),
    ],
)
def test_a_change_that_does_not_fit_questions_is_named(override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_benchmark("msvd-qa", [override])


def test_overrides_work_together_and_the_last_wins(write: Writer) -> None:
    spec = load_benchmark(write(), ["sampler=fps", "rate_fps=2", "size=100", "frames.size=112"])
    assert (spec.frames.sampler, spec.frames.rate_fps, spec.frames.size) == ("fps", 2.0, 112)
    assert spec.overrides == ("frames.sampler=fps", "frames.rate_fps=2", "frames.size=100", "frames.size=112")


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("sise=224", r"--set sise: no such key. Did you mean 'size'"),
        ("media=x", r"--set media: no such key. Did you mean 'dataset.media'"),
        ("frames.sise=224", r"unknown key 'frames.sise'. Did you mean 'size'"),
        ("size=tiny", r"key 'frames.size'.*'tiny'"),
        ("size", r"write key=value"),
        ("name=other", r"no such key"),
        ("dataset.media=clips/one.mp4", r"key 'dataset.media': names no field"),
        ("published.0=1", r"only keys below dataset, frames, settings"),
        ("frames.size.x=1", r"'frames.size' holds no keys"),
        ("ties=first", r"key 'settings.ties'"),
        ("dataset.fields.clip=[]", r"'clip' names no column"),
    ],
)
def test_a_wrong_override_is_named(write: Writer, override: str, message: str) -> None:
    path = write(frames={"size": 384})
    with pytest.raises(ConfigError, match=message):
        load_benchmark(path, [override])


def test_annotations_and_media_on_the_command_line_are_below_the_current_folder(
    write: Writer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    here = tmp_path / "odd{folder}"
    here.mkdir()
    monkeypatch.chdir(here)
    spec = load_benchmark(write(), annotations=Path("other.jsonl"), media="sub/{clip}.avi")
    assert spec.dataset.annotations == str(here / "other.jsonl")
    assert filled(spec.dataset.media, {"clip": "x"}) == str(here / "sub/x.avi")
    assert [change.partition("=")[0] for change in spec.overrides] == ["dataset.annotations", "dataset.media"]
    assert load_benchmark(write(), media="/abs/{clip}.avi").dataset.media == "/abs/{clip}.avi"


def test_all_mistakes_of_a_file_come_at_once_with_their_keys(write: Writer) -> None:
    path = write(frames={"cuont": 4, "size": "big"}, dataset={"expct": {}}, publishd=[])
    with pytest.raises(ConfigError) as caught:
        load_benchmark(path)
    message = str(caught.value)
    for part in (
        str(path),
        "unknown key 'frames.cuont'. Did you mean 'count'?",
        "key 'frames.size'",
        "unknown key 'dataset.expct'. Did you mean 'expect'?",
        "unknown key 'publishd'. Did you mean 'published'?",
    ):
        assert part in message


@pytest.mark.parametrize(
    ("dataset", "message"),
    [
        ({"media": "clips/{fil}"}, r"key 'dataset.media': '\{fil\}' is not a mapped field. Did you mean 'file'"),
        ({"media": "clips/{file.name}"}, r"key 'dataset.media': only \{field\}, \{field:stem\} and \{field:012\}"),
        ({"media": "clips/{file:12}"}, r"key 'dataset.media': only \{field\}, \{field:stem\} and \{field:012\}"),
        ({"media": "clips/{file"}, r"key 'dataset.media'"),
        ({"fields": {"clip": "id", "txt": "caption"}, "media": "{clip}"}, r"'fields' lacks 'text'. Did you mean 'txt'"),
        (
            {"fields": {"clip": "id", "text": "c", "start": "begin"}, "media": "{clip}"},
            r"'dataset.fields.start': neither the task nor 'dataset.media' uses it; remove it. Did you mean 'start_s'",
        ),
        ({"annotations": None}, r"'annotations' is missing"),
    ],
)
def test_a_mapping_that_cannot_work_is_refused(write: Writer, dataset: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_benchmark(write(dataset=dataset))


def test_a_published_row_must_say_where_it_stands_and_how_it_was_ranked(write: Writer) -> None:
    with pytest.raises(ConfigError, match=r"'published.0.source' is missing; key 'published.0.protocol' is missing"):
        load_benchmark(write(published=[{"label": "x", "metrics": {"t2v_r1": 1}}]))


def test_names_are_found_or_guessed(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"unknown benchmark 'msrvt-retrieval'. Did you mean 'msrvtt-retrieval'"):
        load_benchmark("msrvt-retrieval")
    with pytest.raises(ConfigError, match="cannot be read"):
        load_benchmark(tmp_path / "none.yaml")


def test_a_yaml_of_ones_own_is_given_by_path(write: Writer, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(name="not-the-stem")
    monkeypatch.chdir(path.parent)
    assert load_benchmark("mine.yaml").name == "not-the-stem"


def test_a_task_that_does_not_exist_is_a_mistake(write: Writer) -> None:
    with pytest.raises(ConfigError, match=r"unknown task 'retreival'. Did you mean 'retrieval'"):
        load_benchmark(write(task="retreival"))
    with pytest.raises(ConfigError, match="key 'task' is missing"):
        load_benchmark(write(task=None))


def test_what_was_overridden_cannot_be_claimed_by_a_file(write: Writer) -> None:
    with pytest.raises(ConfigError, match="'overrides' is written by blipvid"):
        load_benchmark(write(overrides=["frames.size=224"]))


def test_a_benchmark_survives_json(write: Writer) -> None:
    spec = load_benchmark("msrvtt-retrieval", ["size=224"])
    assert validate(RetrievalBenchmark, spec.model_dump(mode="json"), "record") == spec
    for name, schema in (("tgif-frameqa", QaBenchmark), ("nextqa", ChoiceBenchmark), ("msrvtt-mc", ChoiceBenchmark)):
        spec = load_benchmark(name)
        assert validate(schema, spec.model_dump(mode="json"), "record") == spec


def test_media_patterns() -> None:
    assert list(names_in("a/{clip:stem}/{{x}}/{file}")) == ["clip", "file"]
    assert filled("a/{clip:stem}.mp4", {"clip": "x.y.mov"}) == "a/x.y.mp4"
    assert filled("a/{clip:stem}.mp4", {"clip": "97352149@N00_6143993297."}) == "a/97352149@N00_6143993297.mp4"
    assert filled("a/{clip:stem}.mp4", {"clip": "plain"}) == "a/plain.mp4"
    assert filled("{{x}}/{clip}", {"clip": "v"}) == "{x}/v"


def test_only_yaml_files_at_the_top_are_benchmarks() -> None:
    assert "msrvtt-retrieval" in list_benchmarks()
    assert not any("/" in name or "speed" in name for name in list_benchmarks())
