"""A full-size ViT-B/384 with random weights on 51 real pictures, captions in both directions: both layouts agree."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.numpy import load_file

from blipvid.core.text import clean_caption
from blipvid.models.zoo import load_model
from tests.parity.test_full_size import run_under_watch, write_models

MEMORY_LIMIT_GB = 5.0  # weights 0.9, features of 51 pictures 0.1, the rest is torch and batches
TOP_K = 6


@torch.inference_mode()
def one_pair(model_file: Path, picture: Path, caption: str) -> float:
    """The matching logit + cosine of one picture and one caption, read and encoded alone."""
    model = load_model(str(model_file)).model
    pixels = np.array(Image.open(picture).convert("RGB").resize((384, 384), Image.Resampling.BICUBIC))
    seen = model.encode_images(torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 255)
    text = model.encode_texts([clean_caption(caption, 30)], 35)
    cosine = torch.nn.functional.normalize(seen.embeds, dim=1) @ text.embeds.T
    return float(
        model.match(model.remember(seen.tokens[0]), model.prepare_texts(text, 2**28), torch.tensor([0])) + cosine[0]
    )


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_layouts_agree_on_real_pictures(test_data: Path, tmp_path: Path) -> None:
    models = write_models(tmp_path, test_data / "data" / "tokenizer" / "bert-base-uncased-vocab.txt")
    pictures = test_data / "data" / "images" / "coco"
    scores = {}
    for layout, model in models.items():
        out = tmp_path / f"out-{layout}"
        command = [sys.executable, "run_bench.py", "coco-retrieval", "--model", str(model), "--out", str(out)]
        command += ["--annotations", str(pictures / "captions.json"), "--media", f"{pictures}/{{clip}}"]
        command += ["--set", f"rerank_top_k={TOP_K}", "--save-scores", "--device", "cpu"]
        peak = run_under_watch(command)
        print(f"{layout}: peak {peak:.2f} GB")
        assert peak < MEMORY_LIMIT_GB
        scores[layout] = load_file(out / "scores.safetensors")
        record = json.loads((out / "run.json").read_text(encoding="utf-8"))
        assert record["coverage"] == {"clips_used": 51, "clips": 51, "items": 255, "skipped": []}
        assert record["details"]["rerank"]["used"] == {"t2v": TOP_K, "v2t": TOP_K}
        assert "text-to-image R@1" in (out / "table.md").read_text(encoding="utf-8")
    for name, matrix in scores["official"].items():
        assert np.array_equal(scores["hf"][name], matrix), name  # the same bytes go through the same arithmetic
    v2t = scores["official"]["v2t"]
    assert v2t[v2t > -99].std() > 1e-3
    rows = json.loads((pictures / "captions.json").read_text(encoding="utf-8"))
    text = int(v2t[17].argmax())
    alone = one_pair(models["official"], pictures / rows[17]["image"], rows[text // 5]["caption"][text % 5])
    assert v2t[17, text] == pytest.approx(alone, abs=1e-4)
