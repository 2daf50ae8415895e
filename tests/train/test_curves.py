"""The picture of a run, from metrics as a run writes them."""

import json
from pathlib import Path

import numpy as np
from PIL import Image

from blipvid.train.curves import CURVES, _smoothed, draw_curves
from blipvid.train.states import METRICS


def test_losses_and_chosen_scores_are_drawn(tmp_path: Path) -> None:
    assert draw_curves(tmp_path) is None  # nothing has been done yet
    lines = [{"step": n, "loss": 3 / n, "itc": 1 / n, "itm": 2 / n, "lr": 1e-3} for n in range(1, 60)]
    for line in lines[9::10]:
        line |= {"t2v_r1": 40.0, "t2v_mdr": 2.0}
    (tmp_path / METRICS).write_text("".join(json.dumps(line) + "\n" for line in lines))
    plain = Image.open(str(draw_curves(tmp_path))).size
    scored = Image.open(str(draw_curves(tmp_path, ["t2v_r1"]))).size
    assert scored[0] > 1.5 * plain[0]
    assert [path.name for path in tmp_path.iterdir() if path.suffix == ".png"] == [CURVES]


def test_the_running_mean_ends_at_each_place() -> None:
    values = np.arange(100.0)
    assert _smoothed(values)[[0, 1, 2, 99]].tolist() == [0.0, 0.5, 1.5, 98.5]
