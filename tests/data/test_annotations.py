"""Annotation files of every format: what stands in them arrives unchanged, and what is wrong is named."""

import hashlib
import json
import zipfile
from pathlib import Path

import pandas as pd
import pytest

from blipvid.core.errors import DataError
from blipvid.data.annotations import choose_column, columns_of, find_annotations, read_rows, sha256_of

AWKWARD_IDS = ["-4wsuPCjDBc_5_15", "00123", "NA", "null", "nan", "True", "1e5", "_x", "3.0", " a"]


def rows_for(ids: list[str]) -> list[dict[str, str]]:
    return [{"clip": one, "text": f'says "{one}", twice'} for one in ids]


def write(path: Path, rows: list[dict[str, str]]) -> Path:
    if path.suffix in (".csv", ".tsv"):
        pd.DataFrame(rows).to_csv(path, index=False, sep="," if path.suffix == ".csv" else "\t")
    elif path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    elif path.suffix == ".json":
        path.write_text(json.dumps(rows))
    else:
        pd.DataFrame(rows).to_parquet(path)
    return path


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".json", ".jsonl", ".parquet"])
def test_every_format_keeps_ids_and_texts_as_written(tmp_path: Path, suffix: str) -> None:
    rows = rows_for(AWKWARD_IDS)
    assert read_rows(write(tmp_path / f"a{suffix}", rows)) == rows


@pytest.mark.parametrize("suffix", [".csv", ".json", ".jsonl"])
def test_a_byte_order_mark_is_not_part_of_the_first_column(tmp_path: Path, suffix: str) -> None:
    path = write(tmp_path / f"a{suffix}", rows_for(["x"]))
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert read_rows(path) == rows_for(["x"])


def test_parquet_keeps_whole_numbers_beside_gaps(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pd.DataFrame({"clip": pd.array([9770, None], dtype="Int64"), "text": [["a", "b"], ["c"]]}).to_parquet(path)
    assert read_rows(path) == [{"clip": 9770, "text": ["a", "b"]}, {"clip": None, "text": ["c"]}]


def test_a_txt_file_has_cells_and_no_names(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("-4wsuPCjDBc_5_15 vid1\n\n_x\t vid2 \r\n")
    assert read_rows(path) == [{"$1": "-4wsuPCjDBc_5_15", "$2": "vid1"}, {"$1": "_x", "$2": "vid2"}]


def test_a_csv_file_may_be_separated_by_tabs(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("clip\ttext\nx\ta dog, running\n")
    assert read_rows(path) == [{"clip": "x", "text": "a dog, running"}]
    path.write_text("clip,long text\nx,a\tb\n")
    assert read_rows(path) == [{"clip": "x", "long text": "a\tb"}]


def test_a_column_without_a_name_is_one_more_column(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(",clip,text\n0,x,dog\n1,y,cat\n")
    rows = [{"Unnamed: 0": "0", "clip": "x", "text": "dog"}, {"Unnamed: 0": "1", "clip": "y", "text": "cat"}]
    assert read_rows(path) == rows


def test_a_json_object_gives_a_row_an_entry(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps({"v1": ["a", "b"], "v2": {"duration": 3, "sentences": ["c"]}}))
    assert read_rows(path) == [
        {"$key": "v1", "$value": ["a", "b"]},
        {"$key": "v2", "$value": {"duration": 3, "sentences": ["c"]}, "duration": 3, "sentences": ["c"]},
    ]


def test_records_leads_into_nested_json(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps({"info": {}, "data": {"sentences": [{"caption": "a"}]}}))
    assert read_rows(path, "data.sentences") == [{"caption": "a"}]
    with pytest.raises(DataError, match=r"records: data.sentence' leads nowhere at 'sentence'; the file has sentences"):
        read_rows(path, "data.sentence")
    with pytest.raises(DataError, match=r"'dataset.records' is for nested JSON"):
        read_rows(write(tmp_path / "b.csv", rows_for(["x"])), "data")


def test_a_zip_with_one_annotation_file_is_read_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "a.json.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("inner/a.json", json.dumps(rows_for(["x"])))
        archive.writestr("inner/readme.txt", "not annotations")
        archive.writestr("__MACOSX/inner/a.json", "not annotations either")
    assert read_rows(path) == rows_for(["x"])
    assert find_annotations(tmp_path / "a.json") == path
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("b.json", "[]")
    with pytest.raises(DataError, match="holds 2 annotation files"):
        read_rows(path)


def test_one_object_a_line_may_end_in_json(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text('{"clip": 1}\n{"clip": 2}\n')
    assert read_rows(path) == [{"clip": 1}, {"clip": 2}]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", "", "is empty"),
        ("a.csv", "clip,text\n", "holds no rows"),
        ("a.csv", "clip,text\nx,a dog, running\ny,a cat, asleep\n", "more cells than the header"),
        ("a.csv", 'clip,text\nx,"never closed\ny,z\n', "cannot be read as a table"),
        ("a.jsonl", '{"clip": 1}\n\n{"clip": \n', "line 3 is not JSON"),
        ("a.jsonl", "{}\n[1]\n", "line 2 holds list"),
        ("a.json", '{"clip": 1}\n{"clip": 2', "line 2 is not JSON"),
        ("a.json", '{"clip": 1', "is not JSON"),
        ("a.json", '["x"]', "a list of str where a list of objects"),
        ("a.json", "3", "holds int where"),
        ("a.json", "[]", "holds no rows"),
        ("a.parquet", "not parquet", "not a readable parquet file"),
        ("a.zip", "not a zip", "cannot be read"),
        ("a.txt", "x vid1\n\ny z vid2\n", "line 3 has 3 cells, the first one 2"),
        ("a.txt", " \n", "holds no rows"),
        ("a.xlsx", "x", "'.xlsx' is not an annotation format"),
    ],
)
def test_a_bad_file_is_named_with_its_fault(tmp_path: Path, name: str, content: str, message: str) -> None:
    path = tmp_path / name
    path.write_text(content)
    with pytest.raises(DataError, match=message) as caught:
        read_rows(path)
    assert str(path) in str(caught.value)


def test_text_in_another_encoding_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes("clip,text\nx,café\n".encode("latin-1"))
    with pytest.raises(DataError, match="not UTF-8"):
        read_rows(path)


def test_a_missing_column_names_those_that_exist(tmp_path: Path) -> None:
    columns = columns_of([{"key": 1, "video_id": 2}, {"sentence": 3}])
    assert columns == ["key", "video_id", "sentence"]
    assert choose_column(["caption", "sentence", "key"], columns, tmp_path, "dataset.fields.text") == "sentence"
    with pytest.raises(
        DataError, match=r"'dataset.fields.clip'\). The file has: key, video_id, sentence. Did you mean"
    ):
        choose_column("vidio_id", columns, tmp_path, "dataset.fields.clip")


def test_a_missing_file_comes_with_advice(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"does not exist.*To obtain: ask the authors"):
        find_annotations(tmp_path / "none.csv", obtain="ask\nthe authors")
    with pytest.raises(DataError, match=r"name the file by --set dataset.train=FILE"):
        find_annotations(tmp_path / "none.csv", key="dataset.train")
    with pytest.raises(DataError, match=r"is a folder; .* by 'dataset.annotations' or --annotations"):
        find_annotations(tmp_path)


def test_the_digest_is_that_of_the_bytes(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b"clip,text\r\n")
    assert sha256_of(path) == hashlib.sha256(b"clip,text\r\n").hexdigest()
