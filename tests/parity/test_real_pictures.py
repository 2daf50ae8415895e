"""Retrieval of 51 real pictures with five captions each, from the command line, against the same work done plainly."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.numpy import load_file

from blipvid.core.text import clean_caption
from blipvid.models.zoo import load_model
from tests.bench.call import call
from tests.evaluate.official import rerank_one_by_one
from tests.models.tiny import write_model

SIZE, TOP_K = 32, 20


@pytest.fixture(scope="module")
def rows(test_data: Path) -> list[dict[str, Any]]:
    found = json.loads((test_data / "data/images/coco/captions.json").read_text(encoding="utf-8"))
    assert len(found) == 51
    return found


@torch.inference_mode()
def plainly(rows: list[dict[str, Any]], folder: Path, model_file: Path) -> tuple[np.ndarray, np.ndarray]:
    """Cosines and matching logits (V, Q), one picture after the other, as the released evaluation does."""
    model = load_model(str(model_file)).model
    texts = model.encode_texts([clean_caption(text, 30) for row in rows for text in row["caption"]], 35)
    cosine, logits = [], []
    for row in rows:
        picture = Image.open(folder / row["image"]).convert("RGB").resize((SIZE, SIZE), Image.Resampling.BICUBIC)
        pixels = torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None].float() / 255
        features = model.encode_images(pixels)
        cosine.append((torch.nn.functional.normalize(features.embeds, dim=1) @ texts.embeds.T)[0])
        ids = texts.ids.clone()
        ids[:, 0] = model.tokenizer.enc
        read = model.text_encoder(ids, texts.mask, model.text_encoder.remember(features.tokens))
        logits.append(model.itm_head(read[:, 0])[:, 1])
    return torch.stack(cosine).numpy(), torch.stack(logits).numpy()


def test_fifty_one_pictures(rows: list[dict[str, Any]], test_data: Path, tmp_path: Path) -> None:
    pictures, model_file = test_data / "data/images/coco", write_model(tmp_path)
    command = ["bench", "coco-retrieval", "--model", str(model_file), "--annotations", str(pictures / "captions.json")]
    command += ["--media", f"{pictures}/{{clip}}", "--set", f"size={SIZE}", "--set", f"rerank_top_k={TOP_K}"]
    command += ["--set", "bootstrap=0", "--save-scores", "--workers", "0", "--device", "cpu"]
    found = call(*command, "--out", str(tmp_path / "out"))
    assert found.code == 0, found.err
    assert "51 of 51 pictures, 255 texts" in found.out

    cosine, logits = plainly(rows, pictures, model_file)
    scores = load_file(tmp_path / "out/scores.safetensors")
    np.testing.assert_allclose(scores["itc"], cosine, atol=1e-5)
    wanted = {"v2t": rerank_one_by_one(cosine, logits, TOP_K), "t2v": rerank_one_by_one(cosine.T, logits.T, TOP_K)}
    for name, matrix in wanted.items():
        ours = scores[name]
        same = (ours > -99) == (matrix > -99)
        assert same.mean() > 0.999  # where two cosines are equal up to rounding either pair may be re-ranked
        np.testing.assert_allclose(ours[same], matrix[same], atol=1e-4)

    owner = np.repeat(np.arange(51), 5)
    of_texts = [rank_among(scores["t2v"][text], np.arange(51) == clip) for text, clip in enumerate(owner)]
    of_pictures = [rank_among(scores["v2t"][clip], owner == clip) for clip in range(51)]
    metrics = json.loads((tmp_path / "out/run.json").read_text(encoding="utf-8"))["metrics"]
    for k in (1, 5, 10):
        assert metrics[f"t2v_r{k}"] == pytest.approx(100 * np.mean([rank <= k for rank in of_texts]))
        assert metrics[f"v2t_r{k}"] == pytest.approx(100 * np.mean([rank <= k for rank in of_pictures]))
    assert 0 < metrics["v2t_r10"] < 100


def rank_among(row: np.ndarray, own: np.ndarray) -> float:
    """The mean rank of the best own item over all orders of equal ones; of a picture any own caption will do."""
    best = row[own].max()  # captions of words that the tiny vocabulary lacks are equal
    return float((row > best).sum() + ((row == best).sum() + 1) / ((row[own] == best).sum() + 1))
