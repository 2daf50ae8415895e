"""The caption metrics of pycocoevalcap, called as its own evaluation calls them, and captions to score with them."""

import json
import random
import shutil
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from pycocoevalcap.bleu.bleu import Bleu
from pycocoevalcap.cider.cider import Cider
from pycocoevalcap.rouge.rouge import Rouge
from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer

Floats = npt.NDArray[np.float64]

needs_java = pytest.mark.skipif(shutil.which("java") is None, reason="needs Java on the path")


def split_by_java(captions: Sequence[str]) -> list[str]:
    """Tokenises captions by the Java program, each alone: a line between two keeps the next one out of sight."""
    apart = [{"caption": text} for caption in captions for text in (caption, "x")]
    return PTBTokenizer().tokenize({0: apart})[0][::2]


def score(hypotheses: Sequence[str], references: Sequence[Sequence[str]]) -> tuple[dict[str, float], dict[str, Floats]]:
    """Scores tokenised captions: figures of the set, then of each caption, percent."""
    said = {place: [caption] for place, caption in enumerate(hypotheses)}
    meant = {place: list(own) for place, own in enumerate(references)}
    bleus, _ = Bleu(4).compute_score(meant, said, verbose=0)
    rouge, rouges = Rouge().compute_score(meant, said)
    cider, ciders = Cider().compute_score(meant, said)
    of_set = {f"bleu{n}": value for n, value in enumerate(bleus, start=1)} | {"rouge_l": rouge, "cider": cider}
    return {name: 100 * float(value) for name, value in of_set.items()}, {
        "rouge_l": 100 * rouges,
        "cider": 100 * ciders,
    }


WORDS = "a the man dog runs plays on in two cats red don't it's café 中文 😀 ½ 1 1/2 U.S. x-ray !! ,"


def draw_case(seed: int) -> tuple[list[str], list[list[str]]]:
    """Draws up to 12 captions with one to five references each; some are empty, of one word, or equal."""
    draw = random.Random(seed)

    def caption() -> str:
        return " ".join(draw.choices(WORDS.split(), k=draw.choice([0, 1, 1, 2, 3, 5, 8, 13])))

    references = [[caption() for _ in range(draw.randint(1, 5))] for _ in range(draw.randint(1, 12))]
    references[0][0] = references[0][0] or "a dog"  # pycocoevalcap fails on a set of empty references
    return [draw.choice([caption(), draw.choice(own)]) for own in references], references


def captions_of(test_data: Path) -> dict[str, list[str]]:
    """Reads real captions by the name of their set."""
    folder = test_data / "data"
    with zipfile.ZipFile(folder / "annotations/msrvtt/test_videodatainfo.json.zip") as archive:
        msrvtt = json.loads(archive.read("test_videodatainfo.json"))["sentences"]
    msvd = json.loads((folder / "annotations/msvd/captions_msvd.json").read_text("utf-8"))
    nlvr2 = (folder / "annotations/nlvr2/dev.json").read_text("utf-8").splitlines()
    coco = json.loads((folder / "images/coco/captions.json").read_text("utf-8"))
    return {
        "msrvtt": [row["caption"] for row in msrvtt],
        "msvd": [caption for own in msvd.values() for caption in own],
        "nlvr2": [json.loads(line)["sentence"] for line in nlvr2],
        "coco": [caption for picture in coco for caption in picture["caption"]],
    }
