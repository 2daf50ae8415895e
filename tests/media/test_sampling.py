import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from blipvid.core.errors import ConfigError, DecodeError
from blipvid.core.settings import FrameSettings
from blipvid.core.types import Clip
from blipvid.media import sampling
from blipvid.media.sampling import SAMPLERS, blip_compat, endpoints, midpoint, sample, uniform, window_in_frames
from tests.load_goldens import Goldens

CLIP = Clip("video7010", Path("video7010.mp4"))
PLAIN = ["uniform", "midpoint", "endpoints"]
SEEDED = ["head-tail", "random"]


def settings(sampler: str, **more: object) -> FrameSettings:
    return FrameSettings(sampler=sampler, rate_fps=1.0 if sampler == "fps" else None, **more)


def test_blip_compat_gives_every_recorded_row(goldens: Goldens) -> None:
    values = goldens["frame_sampler"].meta["values"]
    rows = [row for row in values["rows"] if row["indices"] is not None]
    assert len(rows) > 600
    for row in rows:
        assert blip_compat(row["vlen"], row["num_frm"]) == row["indices"], row
    for row in values["rows"]:
        if row["indices"] is None:
            with pytest.raises(DecodeError, match="holds no frames"):
                sample(settings("blip-compat", count=row["num_frm"]), row["vlen"], 25.0, CLIP)


def test_blip_compat_gives_every_recorded_window(goldens: Goldens) -> None:
    windowed = goldens["frame_sampler"].meta["values"]["windowed"]
    assert len(windowed) == 4
    for row in windowed:
        clip = Clip("c", Path("c.mp4"), row["start"], row["end"])
        chosen = sample(settings("blip-compat", count=row["num_frm"]), row["vlen"], row["fps"], clip)
        assert chosen == row["indices"], row


def test_blip_compat_has_the_recorded_wrong_lengths_and_no_others(goldens: Goldens) -> None:
    values = goldens["frame_sampler"].meta["values"]
    for length, count, got in values["wrong_length_pairs"]:
        assert len(blip_compat(length, count)) == got
    wrong = sum(len(blip_compat(n, k)) != k for k in range(1, 65) for n in range(k, 1500))
    assert wrong == values["wrong_length_total"]


def test_uniform_is_the_lavis_list_where_blip_truncates_its_step() -> None:
    assert uniform(300, 8) == [0, 37, 75, 112, 150, 187, 225, 262]
    assert blip_compat(300, 8) == [0, 37, 74, 111, 148, 185, 222, 259]
    for n in range(1, 400):
        for k in range(1, min(n, 33)):
            assert uniform(n, k) == np.arange(0, n, n / k).astype(int).tolist()[:k]


def test_midpoint_and_endpoints_on_ten_frames() -> None:
    assert midpoint(10, 5) == [1, 3, 5, 7, 9]
    assert midpoint(10, 1) == [5]
    assert endpoints(10, 4) == [0, 3, 6, 9]
    assert endpoints(10, 1) == [0]


@pytest.mark.parametrize("name", [*PLAIN, *SEEDED])
@given(data=st.data(), n_frames=st.integers(1, 3000), count=st.integers(1, 64))
def test_samplers_give_count_ascending_frames_inside_the_window(
    name: str, data: st.DataObject, n_frames: int, count: int
) -> None:
    start = data.draw(st.integers(0, n_frames - 1))
    end = data.draw(st.integers(start + 1, n_frames))
    more = {"generator": np.random.default_rng(0)} if name in SEEDED else {}
    chosen = SAMPLERS.get(name)(n_frames, count, (start, end), **more)
    assert len(chosen) == count
    assert chosen == sorted(chosen)
    assert start <= chosen[0]
    assert chosen[-1] < end
    if count <= end - start:
        assert name == "head-tail" or len(set(chosen)) == count


@given(n_frames=st.integers(1, 3000), count=st.integers(1, 64), start=st.integers(0, 2999))
def test_blip_compat_stays_inside_the_window(n_frames: int, count: int, start: int) -> None:
    start = min(start, n_frames - 1)
    chosen = blip_compat(n_frames, count, (start, n_frames))
    assert chosen == sorted(chosen)
    assert start <= chosen[0]
    assert chosen[-1] < n_frames
    assert len(chosen) <= count + 1


@given(n_frames=st.integers(1, 3000), count=st.integers(1, 64), step=st.floats(0.1, 500))
def test_frame_rate_takes_no_frame_twice_and_at_most_count(n_frames: int, count: int, step: float) -> None:
    chosen = sampling.frame_rate(n_frames, count, frames_per_take=step)
    assert chosen[0] == 0
    assert len(chosen) <= count
    assert chosen == sorted(chosen)
    assert chosen[-1] < n_frames
    if count <= n_frames:
        assert len(set(chosen)) == len(chosen)


def test_frame_rate_follows_the_rate_then_spreads_what_is_too_much() -> None:
    chosen = sample(FrameSettings(sampler="fps", rate_fps=2.0, count=64), 100, 25.0, CLIP)
    assert chosen == [0, 12, 25, 37, 50, 62, 75, 87]
    assert sample(FrameSettings(sampler="fps", rate_fps=2.0, count=4), 100, 25.0, CLIP) == [0, 25, 50, 75]


def test_random_depends_on_seed_and_clip_and_on_nothing_else() -> None:
    ask = "random"
    first = sample(settings(ask), 900, 30.0, CLIP)
    assert first == sample(settings(ask), 900, 30.0, CLIP)
    assert first != sample(settings(ask, seed=43), 900, 30.0, CLIP)
    assert first != sample(settings(ask), 900, 30.0, Clip("video7011", CLIP.path))
    script = (
        "from blipvid.media.sampling import *; from pathlib import Path; "
        "print(sample(FrameSettings(sampler='random'), 900, 30.0, Clip('video7010', Path('x'))))"
    )
    elsewhere = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert elsewhere.stdout.strip() == str(first)


def test_two_samplers_draw() -> None:
    assert [name for name in SAMPLERS if sampling.draws(name)] == ["head-tail", "random"]


def test_head_tail_takes_half_from_each_half() -> None:
    chosen = sample(settings("head-tail", count=9), 100, 25.0, CLIP)
    assert sum(i < 50 for i in chosen) == 4
    assert sum(i >= 50 for i in chosen) == 5


@pytest.mark.parametrize("name", ["blip-compat", *PLAIN, *SEEDED])
def test_short_clips_repeat_frames_or_are_refused(name: str) -> None:
    chosen = sample(settings(name, count=8), 3, 25.0, CLIP)
    assert len(chosen) == 8
    assert set(chosen) <= {0, 1, 2}
    with pytest.raises(DecodeError, match=r"'video7010'.*has 3 frames where 8 are asked"):
        sample(settings(name, count=8, short="error"), 3, 25.0, CLIP)
    assert len(sample(settings(name, count=8, short="error"), 8, 25.0, CLIP)) == 8


@pytest.mark.parametrize("name", PLAIN)
def test_windows_in_seconds_become_windows_in_frames(name: str) -> None:
    clip = Clip("moment", Path("m.mp4"), 2.0, 4.0)
    chosen = sample(settings(name), 250, 25.0, clip)
    assert min(chosen) >= 50
    assert max(chosen) < 100


def test_windows_without_begin_or_end() -> None:
    assert window_in_frames(Clip("c", Path("c"), None, 2.0), 100, 25.0) == (0, 50)
    assert window_in_frames(Clip("c", Path("c"), 2.0, None), 100, 25.0) == (50, 100)
    assert window_in_frames(Clip("c", Path("c"), 2.0, 99.0), 100, 25.0) == (50, 100)
    assert window_in_frames(Clip("c", Path("c"), 0.0, 0.0), 100, 25.0) is None
    assert window_in_frames(Clip("c", Path("c")), 100, 25.0) is None


@pytest.mark.parametrize("window", [(4.0, 9.0), (2.0, 2.0), (3.0, 1.0), (7.0, None), (-1.0, 2.0), (0.001, 0.002)])
def test_windows_without_frames_are_an_error_that_names_the_clip(window: tuple[float, float | None]) -> None:
    with pytest.raises(DecodeError, match=r"clip 'moment'.*holds no frame of the file, which has 100 frames, 4\.00 s"):
        sample(settings("uniform"), 100, 25.0, Clip("moment", Path("m.mp4"), *window))


def test_unknown_samplers_are_named_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"unknown sampler 'unifrom'\. Did you mean 'uniform'"):
        sample(settings("unifrom"), 100, 25.0, CLIP)


def test_a_sampler_that_invents_frames_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SAMPLERS._own, "wild", lambda n_frames, count, window=None: [n_frames])
    with pytest.raises(ConfigError, match="sampler 'wild' returned \\[100\\]"):
        sample(settings("wild"), 100, 25.0, CLIP)
