import json
from pathlib import Path

import pytest

from blipvid.evaluate.captions.tokenizer import tokenize
from tests.evaluate.captions.oracle import captions_of, needs_java, split_by_java

RECORDED = json.loads(Path(__file__).with_name("words.json").read_text("utf-8"))
"""Captions with the words that the Java program gives, recorded: real forms first, then hard ones, then drawn ones."""


@pytest.mark.parametrize(
    ("caption", "words"),
    [
        ("A man doesn't know why he can't go, and it's OK.", "a man does n't know why he ca n't go and it 's ok"),
        ("Mr. Smith (left) cannot sing at 10:30am...", "mr. smith -lrb- left -rrb- can not sing at 10:30 am"),
        ("what?! $5.50 and 50% -- “wow”", "what ?! $ 5.50 and 50 % wow"),
        ("1 1/2 cups", "1\u00a01/2 cups"),
        (" ... ", ""),
        ("", ""),
    ],
)
def test_some_captions_to_read(caption: str, words: str) -> None:
    assert tokenize(caption) == words


@pytest.mark.parametrize(("caption", "words"), RECORDED)
def test_words_are_those_that_java_gave(caption: str, words: str) -> None:
    assert tokenize(caption) == words


@needs_java
def test_the_record_is_what_java_gives() -> None:
    pytest.importorskip("pycocoevalcap")
    captions, words = zip(*RECORDED, strict=True)
    assert split_by_java(captions) == list(words)


@needs_java
@pytest.mark.parametrize("name", ["coco", "nlvr2", "msrvtt", "msvd"])
def test_real_captions_are_split_as_by_java(test_data: Path, name: str) -> None:
    captions = list(dict.fromkeys(captions_of(test_data)[name]))
    assert len(captions) > 200
    differ = [
        (caption, ours, theirs)
        for caption, ours, theirs in zip(captions, map(tokenize, captions), split_by_java(captions), strict=True)
        if ours != theirs
    ]
    assert differ == []
