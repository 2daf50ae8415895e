import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from blipvid.evaluate import similarity as module
from blipvid.evaluate.similarity import Similarity, chunks, top_k


@given(
    st.lists(st.lists(st.integers(0, 3), min_size=7, max_size=7), min_size=1, max_size=5),
    st.integers(1, 7),
)
def test_top_k_takes_the_earlier_of_equal_scores(rows: list[list[int]], k: int) -> None:
    found = top_k(torch.tensor(rows, dtype=torch.float32), k)
    for row, columns in zip(rows, found.tolist(), strict=True):
        assert sorted(columns) == sorted(sorted(range(7), key=lambda column, row=row: (-row[column], column))[:k])


def test_chunks_cover_all_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CHUNK_CELLS", 10)
    assert list(chunks(7, 4)) == [slice(0, 2), slice(2, 4), slice(4, 6), slice(6, 7)]
    assert list(chunks(2, 100)) == [slice(0, 1), slice(1, 2)]


@pytest.mark.parametrize("cells", [1, 9, 10**6])
@pytest.mark.parametrize("memory_bytes", [0, 10**6])
def test_views_of_the_matrix(monkeypatch: pytest.MonkeyPatch, cells: int, memory_bytes: int) -> None:
    monkeypatch.setattr(module, "CHUNK_CELLS", cells)
    generator = torch.Generator().manual_seed(0)
    clips, texts = torch.randn(6, 4, generator=generator), torch.randn(5, 4, generator=generator)
    row = np.array([4, 0, 1, 1, 2, 3, 3])
    found = Similarity(clips, texts, row, memory_bytes)
    assert isinstance(found.cosine, np.memmap) == (memory_bytes == 0)
    expected = (clips @ texts.T).numpy()
    np.testing.assert_allclose(found.cosine, expected, atol=1e-6)
    np.testing.assert_array_equal(found.of_clips(slice(2, 5)), found.cosine[2:5][:, row])
    np.testing.assert_array_equal(found.of_texts(slice(2, 5)), found.cosine[:, row[2:5]].T)
    np.testing.assert_array_equal(found.of_distinct_texts(slice(2, 5)), found.cosine[:, 2:5].T)
    best = found.best(found.of_clips, 6, 7, 3)
    for v in range(6):
        assert set(best[v]) == set(np.argsort(-expected[v, row], kind="stable")[:3])
