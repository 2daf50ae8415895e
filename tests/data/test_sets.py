"""From rows to a set: order, ids, windows, media, and every way in which data can be wrong."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from blipvid.core.errors import ConfigError, DataError
from blipvid.core.text import clean_caption
from blipvid.data.sets import load_set
from blipvid.data.spec import load_benchmark
from tests.data.written import Dataset


@pytest.fixture
def three(tmp_path: Path) -> Dataset:
    """Three clips; the rows of clip b are apart."""
    return (
        Dataset(tmp_path)
        .rows(
            {"id": "b", "caption": "B one", "key": "k0", "begin": "1.5", "finish": 3, "file": "bee.mov"},
            {"id": "00a", "caption": "A one", "key": "k1", "begin": "", "finish": None, "file": "ay.mov"},
            {"id": "b", "caption": "B two", "key": "k2", "begin": 1.5, "finish": 3, "file": "bee.mov"},
            {"id": 7, "caption": "C one", "key": "k3", "begin": 0, "finish": 2, "file": "sea.mov"},
        )
        .media("b.mp4", "00a.mp4", "7.mp4", "bee.mov", "ay.mov", "sea.mov")
    )


def test_clips_and_texts_come_in_the_order_of_their_first_row(three: Dataset) -> None:
    loaded = three.load()
    assert [clip.id for clip in loaded.items.clips] == ["b", "00a", "7"]
    assert loaded.items.texts == ("B one", "A one", "B two", "C one")
    assert loaded.items.text_ids == ("b#0", "00a#0", "b#1", "7#0")
    np.testing.assert_array_equal(loaded.items.text_clip, [0, 1, 0, 2])
    assert loaded.items.text_clip.dtype == np.int64
    assert loaded.items.clips[0].path == three.root / "clips/b.mp4"
    assert (loaded.notes, loaded.annotations) == ((), three.root / "a.jsonl")


def test_annotated_ids_windows_and_file_names_are_used_where_mapped(three: Dataset) -> None:
    three.dataset["fields"] |= {"id": "key", "start_s": "begin", "end_s": "finish", "file": "file"}
    three.dataset["media"] = "clips/{file}"
    items = three.load().items
    assert items.text_ids == ("k0", "k1", "k2", "k3")
    assert [(clip.start_s, clip.end_s) for clip in items.clips] == [(1.5, 3.0), (None, None), (0.0, 2.0)]
    assert [clip.path.name for clip in items.clips] == ["bee.mov", "ay.mov", "sea.mov"]


def test_a_paragraph_joins_a_clips_texts_in_file_order(three: Dataset) -> None:
    three.dataset["paragraph"] = True
    items = three.load().items
    assert items.texts == ("B one B two", "A one", "C one")
    assert items.text_ids == ("b#0", "00a#0", "7#0")


def test_a_list_in_a_row_is_several_texts(tmp_path: Path) -> None:
    dataset = Dataset(tmp_path).rows({"id": "x", "caption": ["one", "two"], "key": "q"}).media("x.mp4")
    assert dataset.load().items.text_ids == ("x#0", "x#1")
    dataset.dataset["fields"]["id"] = "key"
    assert dataset.load().items.text_ids == ("q#0", "q#1")


def test_the_first_column_that_exists_counts(three: Dataset) -> None:
    three.dataset["fields"] |= {"clip": ["video", "id"], "text": ["sentence", "caption", "key"]}
    assert three.load().items.texts[0] == "B one"


def test_a_list_of_clips_keeps_only_those(three: Dataset) -> None:
    (three.root / "list.txt").write_text("7\n\n b \n")
    three.dataset["clips"] = "list.txt"
    assert [clip.id for clip in three.load().items.clips] == ["b", "7"]
    (three.root / "list.txt").write_text("7\nzz\n")
    with pytest.raises(DataError, match=r"1 of 2 listed clips have no annotation: zz"):
        three.load()
    three.dataset["clips"] = "none.txt"
    with pytest.raises(DataError, match=r"none.txt: the list of clips cannot be read.*'dataset.clips'"):
        three.load()


def test_a_limit_keeps_all_texts_of_the_first_clips_and_says_so(three: Dataset) -> None:
    (three.root / "clips/7.mp4").unlink()  # beyond the limit, so nobody asks for it
    loaded = three.load(limit=2)
    assert loaded.items.text_ids == ("b#0", "00a#0", "b#1")
    np.testing.assert_array_equal(loaded.items.text_clip, [0, 1, 0])
    assert loaded.notes == ("only the first 2 of 3 clips are evaluated",)
    with pytest.raises(ConfigError, match="limit of 0"):
        three.load(limit=0)


def test_the_benchmarks_own_annotations_must_hold_what_it_expects(three: Dataset) -> None:
    three.dataset["expect"] = {"clips": 3, "texts": 4}
    assert three.load().notes == ()
    three.dataset["expect"] = {"clips": 1000, "texts": 4}
    with pytest.raises(DataError, match=r"a.jsonl holds 3 clips instead of 1,000 \(key 'dataset.expect' of mine\)"):
        three.load()
    with pytest.raises(DataError, match="3 clips instead of 1,000"):
        three.load("dataset.media=clips/{clip}.mp4")


def test_other_annotations_are_only_noted(three: Dataset) -> None:
    three.dataset["expect"] = {"clips": 1000, "texts": 1000}
    other = three.root / "other.csv"
    other.write_text("id,caption\nb,only this\n")
    loaded = three.load(annotations=other)
    assert loaded.items.texts == ("only this",)
    assert loaded.annotations == other
    assert "1 clips instead of 1,000 and 1 texts instead of 1,000; these are not the benchmark's own" in loaded.notes[0]
    assert three.load("dataset.fields.text=key").notes != ()


def test_all_missing_media_are_named_before_anything_else(tmp_path: Path) -> None:
    dataset = Dataset(tmp_path).rows(*({"id": f"v{i:02}", "caption": "x"} for i in range(30))).media("v03.mp4")
    with pytest.raises(DataError) as caught:
        dataset.load()
    message = str(caught.value)
    assert "mine: 29 of 30 media files are missing" in message
    assert str(tmp_path / "clips/v20.mp4") in message
    assert "v21.mp4" not in message  # twenty names, then a count
    assert "and 9 more" in message
    assert "v03" not in message
    assert "To obtain: ask the authors" in message


def test_a_folder_is_no_media_file(tmp_path: Path) -> None:
    dataset = Dataset(tmp_path).rows({"id": "x", "caption": "x"}, {"id": "y", "caption": "y"}).media("y.mp4")
    (tmp_path / "clips/x.mp4").mkdir()
    with pytest.raises(DataError, match="1 of 2 media files are missing"):
        dataset.load()


def test_with_skip_missing_media_are_handed_on_and_noted(three: Dataset) -> None:
    (three.root / "clips/7.mp4").unlink()
    loaded = three.load("on_error=skip")
    assert len(loaded.items.clips) == 3
    assert loaded.notes[0].startswith("1 of 3 media files are missing; their clips are skipped")
    for path in (three.root / "clips").iterdir():
        path.unlink()
    with pytest.raises(DataError, match="3 of 3 media files are missing"):
        three.load("on_error=skip")


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"id": "x", "caption": " \n"}], r"row 1: clip 'x' has an empty text"),
        ([{"id": "x", "caption": []}], r"row 1: clip 'x' has an empty list"),
        ([{"id": "x", "caption": 3}], r"'caption' of clip 'x' is int, not text"),
        ([{"id": "", "caption": "x"}], r"row 1: 'id' is empty"),
        ([{"id": None, "caption": "x"}], r"row 1: 'id' is empty"),
        ([{"id": 1.5, "caption": "x"}], r"row 1: 'id' is float 1.5"),
        ([{"id": "x", "caption": "x"}, {"id": "y"}], r"row 2: lacks 'caption'"),
        ([{"name": "x", "caption": "x"}], r"no column 'id' \(key 'dataset.fields.clip'\). The file has: name, caption"),
    ],
)
def test_a_bad_row_is_named(tmp_path: Path, rows: list[dict[str, Any]], message: str) -> None:
    with pytest.raises(DataError, match=message):
        Dataset(tmp_path).rows(*rows).media("x.mp4", "y.mp4").load()


@pytest.mark.parametrize(
    ("start", "end", "message"),
    [
        (3, 3, r"window of clip 'x' ends at 3.0 s, not after its start 3.0 s"),
        (-1, None, r"'s' is -1"),
        ("soon", None, r"'s' is 'soon'"),
        (None, "nan", r"'e' is 'nan'"),
    ],
)
def test_a_window_must_make_sense(tmp_path: Path, start: Any, end: Any, message: str) -> None:
    dataset = Dataset(tmp_path).rows({"id": "x", "caption": "x", "s": start, "e": end}).media("x.mp4")
    dataset.dataset["fields"] |= {"start_s": "s", "end_s": "e"}
    with pytest.raises(DataError, match=message):
        dataset.load()


def test_one_id_is_one_file_and_one_window(tmp_path: Path) -> None:
    dataset = Dataset(tmp_path).rows(
        {"id": "x", "caption": "one", "s": 0, "m": "m0"}, {"id": "x", "caption": "two", "s": 5, "m": "m1"}
    )
    dataset.media("x.mp4").dataset["fields"] |= {"start_s": "s"}
    with pytest.raises(DataError, match=r"row 2: clip 'x' is already another file or window"):
        dataset.load()
    dataset.dataset |= {"fields": {"clip": "m", "text": "caption", "start_s": "s", "file": "id"}}
    dataset.dataset["media"] = "clips/{file}.mp4"
    items = dataset.load().items
    assert [(clip.id, clip.path.name, clip.start_s) for clip in items.clips] == [
        ("m0", "x.mp4", 0.0),
        ("m1", "x.mp4", 5.0),
    ]


def test_text_ids_must_be_unique(three: Dataset) -> None:
    three.dataset["fields"]["id"] = "id"
    with pytest.raises(DataError, match=r"row 3: text id 'b' occurs twice"):
        three.load()


def test_the_data_root_comes_from_the_argument_or_the_environment(
    three: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    three.load()
    spec = load_benchmark(three.root / "mine.yaml")
    monkeypatch.delenv("BLIPVID_DATA", raising=False)
    with pytest.raises(ConfigError, match=r"no data folder.*--data-root DIR or set \$BLIPVID_DATA. To obtain: ask"):
        load_set(spec, None)
    monkeypatch.setenv("BLIPVID_DATA", str(three.root))
    assert len(load_set(spec, None).items.clips) == 3


def test_absolute_paths_need_no_data_root(three: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BLIPVID_DATA", raising=False)
    three.load()
    spec = load_benchmark(
        three.root / "mine.yaml", annotations=three.root / "a.jsonl", media=f"{three.root}/clips/{{clip}}.mp4"
    )
    assert len(load_set(spec, None).items.clips) == 3


def test_texts_of_a_karpathy_file_match_those_the_official_loader_gave(test_data: Path, tmp_path: Path) -> None:
    golden = json.loads((test_data / "goldens/datasets/meta.json").read_text())["values"]["retrieval_val"]
    path = tmp_path / "karpathy.yaml"
    dataset = {
        "annotations": "annotation/coco_karpathy_val.json",
        "fields": {"clip": "image", "text": "caption"},
        "media": "root/{clip}",
    }
    path.write_text(yaml.safe_dump({"name": "karpathy", "task": "retrieval", "dataset": dataset}))
    items = load_set(load_benchmark(path), test_data / "goldens/datasets").items
    assert [clip.id for clip in items.clips] == golden["image"]
    assert items.text_clip.tolist() == [golden["txt2img"][str(q)] for q in range(len(golden["text"]))]
    assert [clean_caption(text, 30) for text in items.texts] == golden["text"]


def test_real_clips_with_captions(test_data: Path, tmp_path: Path) -> None:
    path = tmp_path / "clips.yaml"
    dataset = {
        "annotations": "clips.jsonl",
        "fields": {"clip": "video", "text": "caption"},
        "media": "{clip}",
        "expect": {"clips": 30, "texts": 30},
    }
    path.write_text(yaml.safe_dump({"name": "clips", "task": "retrieval", "dataset": dataset}))
    items = load_set(load_benchmark(path), test_data / "data/clips").items
    assert all(clip.path.is_file() for clip in items.clips)
