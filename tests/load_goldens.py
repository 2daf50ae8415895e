"""Reads recorded cases: inputs, weights and outputs of the official BLIP code, at tiny sizes with random weights."""

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file


@dataclass(frozen=True)
class Case:
    """One recorded case; half-precision tensors are widened, as the recording says they may be."""

    folder: Path
    weights_folder: Path
    entry: dict[str, Any]

    @cached_property
    def meta(self) -> dict[str, Any]:
        return json.loads((self.folder / "meta.json").read_text(encoding="utf-8"))

    @property
    def config(self) -> dict[str, Any]:
        return self.meta["config"]

    @property
    def atol(self) -> float:
        """The recording's own tolerance: 20 times its float32 spread against float64."""
        return self.entry["suggested_atol"]

    def tensors(self, name: str) -> dict[str, torch.Tensor]:
        folder = self.weights_folder if name == "weights" else self.folder
        loaded = load_file(folder / f"{name}.safetensors")
        return {key: value.float() if value.dtype == torch.float16 else value for key, value in loaded.items()}


class Goldens:
    """All recorded cases of one folder."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.manifest = json.loads((root / "manifest.json").read_text(encoding="utf-8"))
        self.vocab = root / "vocab.txt"

    def __getitem__(self, name: str) -> Case:
        if name not in self.manifest["cases"]:
            pytest.skip(f"case {name} is not shipped with the tests; set BLIPVID_TEST_DATA to run it")
        weights_of = "itm" if name == "pos_embed" else name  # pos_embed resizes the tensors of itm
        return Case(self.root / name, self.root / weights_of, self.manifest["cases"][name])
