"""The command line on real files against what the official evaluation gave for them, through both readers."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from blipvid.core.settings import FrameSettings
from blipvid.core.types import Clip
from blipvid.media.decoding import decode_clip
from tests.parity.on_files import link_clips, write_model

ROOT = Path(__file__).parents[2]
ATOL = 1e-4  # the recording's own: metrics.json, suggested_atol; its spread is 9e-7


@pytest.fixture(scope="module")
def recorded(test_data: Path) -> Path:
    return test_data / "goldens" / "e2e"


@pytest.fixture(scope="module")
def videos(recorded: Path, test_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The recorded clips under the names that the official loader gave them, with their annotation file."""
    folder = tmp_path_factory.mktemp("e2e")
    rows = link_clips(recorded / "captions.jsonl", test_data / "data" / "clips", folder / "videos")
    lines = [json.dumps({"clip_name": row["clip_name"], "caption": row["caption"]}) for row in rows]
    (folder / "msrvtt_test.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


@pytest.mark.parametrize(("backend", "top_k", "prefix"), [("decord", 6, ""), ("pyav", 6, ""), ("auto", 23, "full_")])
def test_scores(recorded: Path, videos: Path, tmp_path: Path, backend: str, top_k: int, prefix: str) -> None:
    out = tmp_path / "out"
    command = [sys.executable, "run_bench.py", "msrvtt-retrieval", "--model"]
    command += [write_model(recorded, recorded / "vocab.txt", "retrieval", tmp_path)]
    command += ["--annotations", videos / "msrvtt_test.jsonl", "--media", f"{videos}/videos/{{clip}}.mp4"]
    command += ["--set", f"backend={backend}", "--set", "size=224", "--set", f"rerank_top_k={top_k}"]
    command += ["--set", "bootstrap=0", "--save-scores", "--out", out, "--device", "cpu"]
    done = subprocess.run([str(part) for part in command], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    ours, wanted = load_file(out / "scores.safetensors"), load_file(recorded / "outputs.safetensors")
    for name, key in (("itc", "itc"), ("t2v", f"{prefix}t2v"), ("v2t", f"{prefix}v2t")):
        assert torch.equal(ours[name] > -99, wanted[key] > -99), name
        torch.testing.assert_close(ours[name], wanted[key], atol=ATOL, rtol=0)
    record = json.loads((out / "run.json").read_text(encoding="utf-8"))
    official = json.loads((recorded / "metrics.json").read_text(encoding="utf-8"))
    official = official["metrics_k_all" if prefix else "metrics"]
    names = {"vid_r1": "t2v_r1", "vid_r5": "t2v_r5", "vid_r10": "t2v_r10", "vid_mdR": "t2v_mdr"}
    names |= {"txt_r1": "v2t_r1", "txt_r5": "v2t_r5", "txt_r10": "v2t_r10"}
    for theirs in official["tie_free"]:
        assert record["metrics"][names[theirs]] == pytest.approx(official["official"][theirs]), theirs


@pytest.mark.parametrize("backend", ["decord", "pyav"])
def test_frames(recorded: Path, test_data: Path, backend: str) -> None:
    settings = FrameSettings(sampler="blip-compat", count=8, size=224, resize="decoder", backend=backend)
    rows = json.loads((recorded / "clips.json").read_text(encoding="utf-8"))
    assert len(rows) == 23
    for row in rows:
        frames = decode_clip(Clip(row["clip_name"], test_data / "data" / "clips" / row["file"]), settings)
        assert frames.backend == backend
        assert frames.indices.tolist() == row["frame_indices"], row["clip_name"]
        assert hashlib.sha256(frames.pixels.tobytes()).hexdigest() == row["sha256_frames_uint8_THWC"], row["clip_name"]
