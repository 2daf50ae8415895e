"""Cleaning and tokenisation against the official code's recorded outputs: exact."""

from pathlib import Path

import pytest

from blipvid.core.text import clean_caption, clean_question
from blipvid.models.tokenizer import Tokenizer, load_tokenizer
from tests.load_goldens import Goldens


def test_cleaning(goldens: Goldens) -> None:
    rows = goldens["text_prep"].meta["values"]["rows"]
    assert len(rows) > 50
    for row in rows:
        for key, wanted in row.items():
            if key.startswith("cap"):
                assert clean_caption(row["text"], int(key.removeprefix("cap"))) == wanted, (key, row["text"])
            elif key.startswith("q"):
                assert clean_question(row["text"], int(key.removeprefix("q"))) == wanted, (key, row["text"])


@pytest.fixture(scope="module")
def small(goldens: Goldens) -> Tokenizer:
    return load_tokenizer(goldens.vocab)


def ids_of(tokenizer: Tokenizer, text: str, max_tokens: int | None = None) -> list[int]:
    return tokenizer([text], max_tokens)[0][0].tolist()


def test_small_vocabulary(goldens: Goldens, small: Tokenizer) -> None:
    rows = goldens["text_prep"].meta["values"]["tokenize"]
    assert len(rows) > 100
    for row in rows:
        assert ids_of(small, row["text"]) == row["small"], row["text"]
        assert ids_of(small, row["text"], 12) == row["small_trunc12"], row["text"]
        assert [small.dec, small.enc, len(small)] == goldens["text_prep"].meta["values"]["small_special_ids"]
        assert small.decode(row["small"]) == row["small_decode"], row["text"]


def test_full_vocabulary(goldens: Goldens, test_data: Path) -> None:
    full = load_tokenizer(test_data / "data" / "tokenizer" / "bert-base-uncased-vocab.txt")
    values = goldens["text_prep"].meta["values"]
    for row in values["tokenize"]:
        assert ids_of(full, row["text"]) == row["full_bert"], row["text"]
    assert [full.dec, full.enc, len(full)] == values["full_special_ids"]


def test_padding(goldens: Goldens, small: Tokenizer) -> None:
    values = goldens["text_prep"].meta["values"]
    batch, padded = values["batch"], values["padded"]
    ids, mask = small(batch)
    assert ids.tolist() == padded["longest"]
    assert mask.tolist() == padded["longest_mask"]
    assert small(batch, 30, pad_to=30)[0].tolist() == padded["max30"]
