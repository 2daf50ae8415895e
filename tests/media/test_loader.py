"""Workers that are watched over: order, deadline, death, and what a process drags in."""

import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from blipvid.core.errors import ConfigError, DecodeError
from blipvid.core.settings import FrameSettings
from blipvid.core.types import Clip, Frames
from blipvid.media.handover import Parcel, pack, unpack
from blipvid.media.loader import load_clips
from tests.media.conftest import Draw
from tests.media.drawing import read_numbers

MISBEHAVING = """
import os, signal, time
import numpy as np

class Reader:
    n_frames, fps, notes, backend = 100, 25.0, (), "misbehaving"
    def __init__(self, path, size):
        self.path = path
    def times_s(self, indices):
        return np.array(indices) / 25
    def read(self, indices):
        if "hang" in self.path.name:
            time.sleep(600)
        if "exit" in self.path.name:
            os._exit(3)
        if "crash" in self.path.name:
            os.kill(os.getpid(), signal.SIGSEGV)
        return np.full((len(indices), 4, 4, 3), int(self.path.stem), np.uint8)
    def close(self):
        pass
"""


@pytest.fixture
def misbehaving(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Installs a package that announces a reader, as a user's own package would."""
    package = tmp_path / "site"
    info = package / "misbehaving_reader-1.0.dist-info"
    info.mkdir(parents=True)
    (package / "misbehaving_reader.py").write_text(MISBEHAVING)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: misbehaving-reader\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[blipvid.readers]\nmisbehaving = misbehaving_reader:Reader\n")
    monkeypatch.syspath_prepend(str(package))
    return "misbehaving"


def made(folder: Path, names: Sequence[str]) -> list[Clip]:
    for name in names:
        (folder / f"{name}.mp4").write_bytes(b"x")
    return [Clip(name, folder / f"{name}.mp4") for name in names]


@pytest.mark.parametrize("workers", [0, 2])
def test_clips_come_in_order_each_with_its_frames_or_its_error(draw: Draw, tmp_path: Path, workers: int) -> None:
    good, other = draw("mp4", b_frames=2), draw("avi", b_frames=2)
    paths = [good, tmp_path / "gone.mp4", other, good, other, good]
    clips = [Clip(f"c{i}", path) for i, path in enumerate(paths)]
    settings = FrameSettings(sampler="uniform", count=4, size=64)
    loaded = list(load_clips(clips, settings, workers))
    assert [clip for clip, _ in loaded] == clips
    for (_, result), path in zip(loaded, paths, strict=True):
        if path.name == "gone.mp4":
            assert isinstance(result, DecodeError)
            assert "clip 'c1'" in str(result)
        else:
            assert isinstance(result, Frames)
            assert read_numbers(result.pixels) == [0, 25, 50, 75]


def test_a_decoder_that_hangs_or_kills_its_process_costs_one_clip(tmp_path: Path, misbehaving: str) -> None:
    names = ["1", "2 hang", "3", "4 exit", "5", "6 crash", "7", "8"]
    clips = made(tmp_path, names)
    settings = FrameSettings(backend=misbehaving, count=2, timeout_s=2.0)
    begun = time.monotonic()
    loaded = dict(load_clips(clips, settings, workers=2))
    assert time.monotonic() - begun < 60
    said = {clip.id: str(result) for clip, result in loaded.items() if isinstance(result, DecodeError)}
    assert set(said) == {"2 hang", "4 exit", "6 crash"}
    assert "not decoded after 2 s" in said["2 hang"]
    assert "brought its process down (exit code 3)" in said["4 exit"]
    assert "brought its process down (SIGSEGV)" in said["6 crash"]
    for clip, result in loaded.items():
        if isinstance(result, Frames):
            assert result.pixels.max() == int(clip.id)
            assert result.backend == "misbehaving"


def test_an_announced_reader_is_used_in_this_process_too(tmp_path: Path, misbehaving: str) -> None:
    ((_, frames),) = load_clips(made(tmp_path, ["9"]), FrameSettings(backend=misbehaving, count=3))
    assert isinstance(frames, Frames)
    assert frames.pixels.shape == (3, 4, 4, 3)


def test_unknown_names_are_said_before_any_work() -> None:
    with pytest.raises(ConfigError, match="unknown sampler"):
        load_clips([], FrameSettings(sampler="unifrm"), workers=2)
    with pytest.raises(ConfigError, match="unknown reader"):
        load_clips([], FrameSettings(backend="pyavv"))


def test_leaving_early_ends_the_workers(draw: Draw) -> None:
    psutil = pytest.importorskip("psutil")
    before = {child.pid for child in psutil.Process().children(recursive=True)}
    path = draw("mp4", b_frames=2)
    clips = [Clip(str(i), path) for i in range(50)]
    loading = load_clips(clips, FrameSettings(count=2, size=32), workers=2)
    next(loading)
    loading.close()  # type: ignore[attr-defined]
    left = [c for c in psutil.Process().children(recursive=True) if c.pid not in before]
    assert [c for c in left if "resource_tracker" not in " ".join(c.cmdline())] == []


def test_few_clips_are_in_flight(draw: Draw, monkeypatch: pytest.MonkeyPatch) -> None:
    from blipvid.media import loader

    asked: list[int] = []

    class Counted(list[Clip]):
        def __iter__(self):  # type: ignore[no-untyped-def]
            for clip in super().__iter__():
                asked.append(1)
                yield clip

    path = draw("mp4", b_frames=2)
    loading = load_clips(Counted(Clip(str(i), path) for i in range(40)), FrameSettings(count=2, size=32), workers=1)
    next(loading)
    assert len(asked) <= loader._AHEAD
    loading.close()  # type: ignore[attr-defined]


def test_pixels_go_through_files_that_are_gone_afterwards(
    draw: Draw, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    path = draw("mp4", b_frames=2)
    clips, settings = [Clip(str(i), path) for i in range(5)], FrameSettings(count=2, size=32)
    loading = load_clips(clips, settings, workers=1)
    _, frames = next(loading)
    (here,) = load_clips(clips[:1], settings)
    assert isinstance(frames, Frames)
    assert isinstance(here[1], Frames)
    assert np.array_equal(frames.pixels, here[1].pixels)
    assert frames.pixels.flags.writeable, "as those decoded in this process"
    assert [p.name.startswith("blipvid-") for p in tmp_path.iterdir()] == [True]
    loading.close()  # type: ignore[attr-defined]
    assert list(tmp_path.iterdir()) == []


def test_a_parcel_gives_back_what_was_packed(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (2, 5, 4, 3), dtype=np.uint8)
    frames = Frames(pixels[:, :, ::-1], np.array([3, 1]), np.array([0.3, 0.1]), "pyav", ("a note",))
    parcel = pack(frames, tmp_path)
    assert isinstance(parcel, Parcel)
    assert parcel.rest.pixels.nbytes == 0
    found = unpack(pickle.loads(pickle.dumps(parcel)))
    assert np.array_equal(found.pixels, frames.pixels)
    assert (found.indices.tolist(), found.times_s.tolist()) == ([3, 1], [0.3, 0.1])
    assert (found.backend, found.notes) == ("pyav", ("a note",))
    assert list(tmp_path.iterdir()) == []
    assert pack(frames, tmp_path / "full") is frames, "where there is no room, the pipe carries them"


def test_worker_code_drags_in_neither_torch_nor_a_decoder() -> None:
    script = "import sys, blipvid.media.loader; print([m for m in ('torch', 'av', 'decord') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_reading_many_clips_leaks_neither_memory_nor_files(draw: Draw) -> None:
    psutil = pytest.importorskip("psutil")
    path, process = draw("mp4", b_frames=2), psutil.Process()
    settings = [FrameSettings(count=4, size=64, backend=b) for b in ("pyav", "decord")]
    clips = [Clip(str(i), path) for i in range(40)]

    def load() -> None:
        for each in settings:
            assert all(isinstance(result, Frames) for _, result in load_clips(clips, each))

    load()
    files, memory = process.num_fds(), process.memory_info().rss
    load()
    load()
    assert process.num_fds() <= files + 1
    assert process.memory_info().rss - memory < 24 * 2**20, "160 more clips of 0.4 MB each"


def test_exit_codes_are_told_as_signals_where_they_are() -> None:
    from blipvid.media.loader import _ending

    assert _ending(-signal.SIGKILL) == "SIGKILL"
    assert _ending(7) == "exit code 7"
