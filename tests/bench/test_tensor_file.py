from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file

from blipvid.bench.tensor_file import Pieces, write_tensors


def test_what_is_written_in_pieces_is_read_whole(tmp_path: Path):
    whole = {
        "a": np.arange(12, dtype=np.float32).reshape(4, 3),
        "b": np.arange(5, dtype=np.int64),
        "c": np.arange(7, dtype=np.float16)[:, None],
        "none": np.zeros((0, 3), np.float32),
    }
    tensors = {
        name: Pieces(array.shape, array.dtype.name, [array[row : row + 2] for row in range(0, len(array), 2)])
        for name, array in whole.items()
    }
    write_tensors(tmp_path / "file", tensors, {"said": 'ä "quote" \n', "more": ""})
    for name, array in load_file(tmp_path / "file").items():
        assert array.dtype == whole[name].dtype
        np.testing.assert_array_equal(array, whole[name])
    with safe_open(tmp_path / "file", "numpy") as file:
        assert set(file.keys()) == set(whole)
        assert file.metadata() == {"said": 'ä "quote" \n', "more": ""}
        assert file.get_slice("a")[1:3].tolist() == whole["a"][1:3].tolist()


def test_an_array_that_lies_across_is_written_as_it_reads(tmp_path: Path):
    array = np.arange(6, dtype=np.float32).reshape(2, 3).T
    write_tensors(tmp_path / "file", {"a": Pieces.whole(array)}, {})
    np.testing.assert_array_equal(load_file(tmp_path / "file")["a"], array)


def test_half_a_file_is_never_seen(tmp_path: Path):
    def pieces():
        yield np.zeros((1, 2), np.float32)
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        write_tensors(tmp_path / "file", {"a": Pieces((2, 2), "float32", pieces())}, {})
    assert list(tmp_path.iterdir()) == []
