"""Real files: the recorded frames of the official loader, both readers against each other, and the odd ones."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from blipvid.core.errors import DecodeError
from blipvid.core.settings import FrameSettings
from blipvid.core.types import Clip, Frames
from blipvid.media.loader import load_clips
from blipvid.media.readers import open_video
from blipvid.media.readers.frame_index import index_frames
from blipvid.media.readers.pyav_reader import PyavReader

NO_FRAMES = {
    "decord__tests__test_data__corrupted.mp4",
    "moviepy__media__doc_medias__result.webm",
    "moviepy__media__crunching.mp3",
    "lerobot_lfs_pointers__tests__artifacts__encoded_videos__clip_32x48.mp4",
}
DECORD_REFUSES = {
    "moviepy__media__no_duration.webm",
    "moviepy__media__pigs_in_a_polka.gif",
    "imageio__images__newtonscradle.gif",
    "imageio__images__imageio_issue245.gif",
    "torchcodec__test__resources__av1_video.mkv",
}
DECORD_DOUBTFUL = {name for name in DECORD_REFUSES if name.endswith(".gif")} | {
    "torchcodec__test__resources__h265_video.mp4"
}


def videos(folder: Path) -> list[Clip]:
    return [Clip(p.name, p) for p in sorted(folder.iterdir()) if not p.suffix.startswith(".json")]


def load(clips: list[Clip], **settings: object) -> dict[str, Frames | DecodeError]:
    return {c.id: r for c, r in load_clips(clips, FrameSettings(timeout_s=120, **settings), workers=2)}  # type: ignore[arg-type]


def coding_of(path: Path) -> str:
    """MPEG-4 leaves the last bit of a pixel to the decoder, so decord reads it where it reads it right."""
    return index_frames(path).coding


@pytest.mark.parametrize("backend", ["auto", "pyav"])
def test_frames_are_those_of_the_official_loader_byte_for_byte(test_data: Path, backend: str) -> None:
    recorded = json.loads((test_data / "goldens/e2e/clips.json").read_text(encoding="utf-8"))
    clips = [Clip(row["file"], test_data / "data/clips" / row["file"]) for row in recorded]
    loaded = load(clips, backend=backend, size=224, count=8, sampler="blip-compat")
    assert len(loaded) == 23
    for row in recorded:
        frames = loaded[row["file"]]
        assert isinstance(frames, Frames), frames
        assert frames.indices.tolist() == row["frame_indices"]
        assert hashlib.sha256(frames.pixels.tobytes()).hexdigest() == row["sha256_frames_uint8_THWC"], row["file"]
        by_decord = backend == "auto" and coding_of(test_data / "data/clips" / row["file"]) == "mpeg4"
        assert frames.backend == ("decord" if by_decord else "pyav")
        assert frames.notes == ()


@pytest.mark.parametrize("size", [pytest.param(224, marks=pytest.mark.slow), 384])
def test_decord_and_pyav_agree_on_every_real_clip(test_data: Path, size: int) -> None:
    clips = videos(test_data / "data/clips")
    assert len(clips) == 30
    if size == 384:  # the default tier takes the quick ones; 224 has all, beside the recorded digests
        clips = [c for c in clips if c.path.stat().st_size < 600_000]
    ours, theirs = (load(clips, backend=b, size=size, sampler="endpoints") for b in ("pyav", "decord"))
    for clip in clips:
        mine, other = ours[clip.id], theirs[clip.id]
        assert isinstance(mine, Frames), mine
        if clip.path.suffix == ".gif":
            assert isinstance(other, DecodeError)
            continue
        assert isinstance(other, Frames), other
        assert np.array_equal(mine.pixels, other.pixels), clip.id
        assert np.array_equal(mine.times_s, other.times_s)


@pytest.mark.slow
def test_every_real_clip_at_384_and_every_jump_against_sequence(test_data: Path) -> None:
    rng = np.random.default_rng(0)
    for clip in videos(test_data / "data/clips"):
        index = index_frames(clip.path)
        reader = PyavReader(index, 32)
        wanted = sorted({int(i) for i in rng.integers(0, reader.n_frames, 40)} | {0, reader.n_frames - 1})
        in_sequence = reader._go_through(wanted)
        for part in (wanted, wanted[::7], wanted[-1:], wanted[len(wanted) // 2 : len(wanted) // 2 + 1]):
            assert np.array_equal(reader.read(part), [in_sequence[i] for i in part]), clip.id
        assert reader.notes == ()


def test_both_readers_choose_the_same_of_two_video_streams(test_data: Path) -> None:
    path = test_data / "data/odd_media/torchcodec__test__resources__nasa_13013.mp4"
    for backend in ("pyav", "decord", "auto"):
        reader = open_video(path, backend=backend)
        assert reader.n_frames == 390
        assert reader.fps == pytest.approx(30000 / 1001)
        assert reader.read([0]).shape == (1, 270, 480, 3)
        reader.close()


@pytest.mark.parametrize("backend", ["auto", "decord", "pyav"])
def test_every_odd_file_gives_frames_or_one_clear_error(test_data: Path, backend: str) -> None:
    folder = test_data / "data/odd_media"
    about = {row["file"]: row for row in json.loads((folder / "index.json").read_text(encoding="utf-8"))}
    clips = videos(folder)
    assert {c.id for c in clips} == set(about)
    loaded = load(clips, backend=backend, size=96, sampler="endpoints")
    failed = {name: str(result) for name, result in loaded.items() if isinstance(result, DecodeError)}
    assert set(failed) == (NO_FRAMES | DECORD_REFUSES if backend == "decord" else NO_FRAMES)
    for name, said in failed.items():
        assert said.startswith(f"clip '{name}': {folder / name}: ")
        assert "\n" not in said
        assert "/github/" not in said
        assert said.endswith(".")
        assert len(said) < 600
    for name, frames in loaded.items():
        if isinstance(frames, DecodeError):
            continue
        n = 390 if "nasa" in name else about[name]["decoded"]
        assert frames.indices[-1] == n - 1, "true frame counts where the header has none"
        assert frames.pixels.shape == (8, 96, 96, 3)
        if backend == "auto":
            by_decord = coding_of(folder / name) == "mpeg4" and name not in DECORD_DOUBTFUL
            assert frames.backend == ("decord" if by_decord else "pyav")
            told = [note for note in frames.notes if note.startswith("read by PyAV: decord")]
            assert bool(told) == (name in DECORD_DOUBTFUL)


def test_rotated_files_are_upright_under_both_readers(test_data: Path) -> None:
    folder = test_data / "data/odd_media"
    for angle, shape in ((0, (320, 568)), (90, (568, 320)), (180, (320, 568)), (270, (568, 320))):
        path = folder / f"decord__tests__test_data__video_{angle}.mov"
        ours, theirs = (open_video(path, backend=b).read([0, 2]) for b in ("pyav", "decord"))
        assert ours.shape[1:3] == shape
        assert np.array_equal(ours, theirs)
