import os
import shutil
from collections import namedtuple
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from blipvid.core.errors import BlipvidError, DecodeError
from blipvid.core.features import Features, KnownClip
from blipvid.core.protocols import FeatureKeeper, no_progress
from blipvid.core.settings import TaskSettings
from blipvid.core.types import Clip, Frames, Runtime
from blipvid.evaluate.cache.keeping import FeatureCache
from blipvid.evaluate.features import ClipStream
from tests.evaluate.cache.filled import a_cache, features_of, frames_of, write_clips
from tests.evaluate.replay import Loader

N = 6
Usage = namedtuple("Usage", ["total", "used", "free"])


class Pictures:
    """An encoder that multiplies."""

    def __init__(self) -> None:
        self.weight = torch.randn(3, 6, generator=torch.Generator().manual_seed(1))
        self.batches: list[int] = []

    def encode_images(self, pixels: torch.Tensor) -> Features:
        self.batches.append(len(pixels))
        tokens = pixels.flatten(2).transpose(1, 2) @ self.weight
        return Features(tokens, tokens[:, 0])


@pytest.fixture
def clips(tmp_path: Path) -> list[Clip]:
    return write_clips(tmp_path / "media", N)


def _entries(folder: Path) -> list[Path]:
    return sorted(folder.glob("*/??/*.safetensors"))


def _run(
    folder: Path, clips: Sequence[Clip], loader: Loader | None = None, on_error: str = "stop", **changes: object
) -> tuple[FeatureCache, Loader, Pictures, ClipStream, list[tuple[int, Features]]]:
    """Streams all clips through a cache."""
    loader, model = loader or Loader(), Pictures()
    cache = a_cache(folder, loader, **changes)
    with ClipStream(clips, cache, model, TaskSettings(on_error=on_error), Runtime(batch_size=4), no_progress) as stream:
        given = list(stream)
    return cache, loader, model, stream, given


def _same(one: list[tuple[int, Features]], other: list[tuple[int, Features]]) -> bool:
    return [position for position, _ in one] == [position for position, _ in other] and all(
        torch.equal(own.tokens, its.tokens) and torch.equal(own.embeds, its.embeds)
        for (_, own), (_, its) in zip(one, other, strict=True)
    )


def test_a_cache_is_a_keeper(tmp_path: Path):
    assert isinstance(a_cache(tmp_path, Loader()), FeatureKeeper)
    assert not isinstance(Loader(), FeatureKeeper)


@pytest.mark.parametrize("kept_as", ["fp32", "fp16"])
def test_a_second_run_decodes_and_encodes_nothing(tmp_path: Path, clips: list[Clip], kept_as: str):
    cache, loader, model, stream, given = _run(tmp_path / "cache", clips, kept_as=kept_as)
    assert (cache.found, cache.added) == (0, N)
    assert sum(model.batches) == 2 * N
    again, unused, idle, other, taken = _run(tmp_path / "cache", clips, kept_as=kept_as)
    assert (unused.asked, idle.batches) == ([], [])
    assert (again.found, again.added) == (N, 0)
    assert _same(given, taken)
    assert all(features.tokens.dtype == torch.float32 for _, features in given)
    assert (stream.backends, stream.notes) == (other.backends, other.notes)
    assert again.told == {**cache.told, "found": N, "added": 0}
    assert loader.closed


def test_features_are_those_of_a_run_without_a_cache(tmp_path: Path, clips: list[Clip]):
    cache, _, _, _, kept = _run(tmp_path / "cache", clips)
    plain = Loader()
    with ClipStream(clips, plain, Pictures(), TaskSettings(), Runtime(batch_size=4), no_progress) as stream:
        assert _same(kept, list(stream))
    assert cache.rounding == 0.0


def test_sixteen_bits_are_rounded_in_the_first_run_and_measured(tmp_path: Path, clips: list[Clip]):
    exact = _run(tmp_path / "exact", clips)[4]
    cache, *_, rounded = _run(tmp_path / "half", clips, kept_as="fp16")
    for (_, own), (_, its) in zip(exact, rounded, strict=True):
        assert torch.equal(own.tokens.half().float(), its.tokens)
        assert torch.equal(own.embeds, its.embeds)
    errors = [
        float((own.tokens - its.tokens).norm() / own.tokens.norm())
        for (_, own), (_, its) in zip(exact, rounded, strict=True)
    ]
    assert cache.rounding == pytest.approx(max(errors))
    assert 0 < cache.rounding < 2**-11
    sizes = [sum(path.stat().st_size for path in _entries(tmp_path / name)) for name in ("exact", "half")]
    saved = sum(2 * own.tokens.numel() for _, own in exact)
    assert sizes[0] - sizes[1] == pytest.approx(saved, abs=N * 64)  # headers differ a little


def test_numbers_that_are_not_finite_are_not_kept(tmp_path: Path, clips: list[Clip]):
    model = Pictures()
    model.weight[:] = torch.nan
    with (
        ClipStream(clips, a_cache(tmp_path, Loader()), model, TaskSettings(), Runtime(), no_progress) as stream,
        pytest.raises(BlipvidError, match="not finite"),
    ):
        list(stream)
    assert _entries(tmp_path) == []


def test_tokens_too_large_for_sixteen_bits(tmp_path: Path, clips: list[Clip]):
    cache = a_cache(tmp_path / "cache", Loader(), kept_as="fp16")
    list(cache(clips))
    large = Features(torch.full((1, 2, 2), 1e5), torch.ones(1, 2))
    with pytest.raises(BlipvidError, match=r"clip3.*--cache fp32"):
        cache.keep(clips[3], large, frames_of(3))
    assert _entries(tmp_path / "cache") == []


@pytest.mark.parametrize("there", [[0, 1, 2], [5], [1, 3, 4]])
def test_known_and_new_clips_come_in_order(tmp_path: Path, clips: list[Clip], there: list[int]):
    whole = _run(tmp_path / "whole", clips)[4]
    _run(tmp_path / "cache", [clips[position] for position in there])
    cache, loader, _, stream, given = _run(tmp_path / "cache", clips)
    assert [position for position, _ in given] == list(range(N))
    assert loader.asked == [clip.id for position, clip in enumerate(clips) if position not in there]
    assert (cache.found, cache.added) == (len(there), N - len(there))
    for (_, own), (_, its) in zip(given, whole, strict=True):
        torch.testing.assert_close(own.tokens, its.tokens)
    assert stream.backends == {"even": 3, "odd": 3}


def test_broken_clips_are_tried_again(tmp_path: Path, clips: list[Clip]):
    for _ in range(2):
        cache, loader, _, stream, given = _run(tmp_path / "cache", clips, Loader(broken=[0, 3]), on_error="skip")
        assert [position for position, _ in given] == [1, 2, 4, 5]
        assert [one.clip_id for one in stream.skipped] == ["clip0", "clip3"]
    assert loader.asked == ["clip0", "clip3"]
    assert cache.found == 4
    with pytest.raises(DecodeError, match="is broken"):
        _run(tmp_path / "cache", clips, Loader(broken=[0, 3]))


@pytest.mark.parametrize(
    "change",
    [
        {"made_by": {"frames": {"count": 3}}},
        {"made_by": {"frames": {"count": 2}, "weights": "ab"}},
        {"kept_as": "fp16"},
        {"by_id": True},
    ],
)
def test_features_made_otherwise_are_not_taken(tmp_path: Path, clips: list[Clip], change: dict[str, object]):
    _run(tmp_path / "cache", clips)
    cache, loader, *_ = _run(tmp_path / "cache", clips, **change)
    assert (cache.found, len(loader.asked)) == (0, N)
    assert len(_entries(tmp_path / "cache")) == 2 * N


@pytest.mark.parametrize("used_for", [{"model": "tiny", "benchmark": "seven"}, {"model": "other", "benchmark": "six"}])
def test_names_have_no_say(tmp_path: Path, clips: list[Clip], used_for: dict[str, str]):
    _run(tmp_path / "cache", clips)
    assert _run(tmp_path / "cache", clips, used_for=used_for)[0].found == N


def test_bytes_decide_and_not_names(tmp_path: Path, clips: list[Clip]):
    _run(tmp_path / "cache", clips)
    moved = [Clip(clip.id, clip.path.rename(tmp_path / f"moved{clip.path.name}")) for clip in clips]
    assert _run(tmp_path / "cache", moved)[0].found == N
    other_ids = [replace(clip, id=f"clip{N - 1 - position}") for position, clip in enumerate(moved)]
    assert _run(tmp_path / "cache", other_ids)[0].found == N
    assert _run(tmp_path / "cache", other_ids, by_id=True)[0].found == 0
    windows = [replace(clip, start_s=1.0) for clip in moved]
    assert _run(tmp_path / "cache", windows)[0].found == 0
    moved[2].path.write_text("other bytes")
    assert _run(tmp_path / "cache", moved)[0].found == N - 1
    gif = [replace(moved[0], path=moved[0].path.rename(tmp_path / "0.gif"))]
    assert _run(tmp_path / "cache", gif)[0].found == 0  # the ending says how a file is read


def test_clips_of_one_file_share_features(tmp_path: Path, clips: list[Clip]):
    twins = [clips[0], Clip("clip1", clips[0].path)]
    _run(tmp_path / "cache", twins)
    assert len(_entries(tmp_path / "cache")) == 1


def test_a_missing_file_is_left_to_the_decoder(tmp_path: Path, clips: list[Clip]):
    clips[1].path.unlink()
    cache, loader, _, stream, _ = _run(tmp_path / "cache", clips, Loader(broken=[1]), on_error="skip")
    assert "clip1" in loader.asked
    assert [one.clip_id for one in stream.skipped] == ["clip1"]
    assert cache.added == N - 1


@pytest.mark.parametrize("harm", ["removed", "cut"])
def test_what_is_gone_when_its_turn_comes_is_decoded_after_all(tmp_path: Path, clips: list[Clip], harm: str):
    given = _run(tmp_path / "cache", clips)[4]
    loader = Loader()
    cache = a_cache(tmp_path / "cache", loader)
    with ClipStream(clips, cache, Pictures(), TaskSettings(), Runtime(batch_size=4), no_progress) as stream:
        for position, features in stream:
            torch.testing.assert_close(features.tokens, given[position][1].tokens)
            if position == 2:
                for path in _entries(tmp_path / "cache"):
                    if harm == "removed":
                        path.unlink()
                    else:
                        path.write_bytes(path.read_bytes()[:-1])
    assert loader.asked == ["clip3", "clip4", "clip5"]
    assert (cache.found, cache.added) == (3, 3)


def test_what_is_seen_to_be_damaged_is_decoded_with_the_rest_in_one_go(tmp_path: Path, clips: list[Clip]):
    """A loader may start processes each time it is asked."""
    expected = _run(tmp_path / "cache", clips)[4]
    cut, replaced, giver, *_ = _entries(tmp_path / "cache")
    cut.write_bytes(cut.read_bytes()[:-1])
    replaced.write_bytes(giver.read_bytes())
    asked: list[int] = []

    def load(new: Sequence[Clip]) -> Iterator[tuple[Clip, Frames | DecodeError]]:
        asked.append(len(new))
        return Loader()(new)

    cache = a_cache(tmp_path / "cache", load)
    with ClipStream(clips, cache, Pictures(), TaskSettings(), Runtime(batch_size=4), no_progress) as stream:
        for (_, own), (_, its) in zip(stream, expected, strict=True):
            torch.testing.assert_close(own.tokens, its.tokens)
    assert asked == [2]
    assert (cache.found, cache.added) == (N - 2, 2)
    assert _run(tmp_path / "cache", clips)[0].found == N


def test_features_that_were_made_otherwise_and_moved_here_are_not_taken(tmp_path: Path, clips: list[Clip]):
    _run(tmp_path / "cache", clips)
    (theirs,) = (tmp_path / "cache").glob("*/")
    _run(tmp_path / "cache", clips, made_by={"frames": {"count": 3}})
    (own,) = set((tmp_path / "cache").glob("*/")) - {theirs}
    shutil.copytree(theirs, own, dirs_exist_ok=True)
    cache, loader, *_ = _run(tmp_path / "cache", clips, made_by={"frames": {"count": 3}})
    assert (cache.found, cache.added, len(loader.asked)) == (0, N, N)


def test_a_full_disk_ends_the_keeping_and_not_the_run(
    tmp_path: Path, clips: list[Clip], monkeypatch: pytest.MonkeyPatch
):
    expected = _run(tmp_path / "other", clips)[4]
    tries = []

    def full(path: Path, *_: object) -> None:
        tries.append(path)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("blipvid.evaluate.cache.keeping.write_entry", full)
    cache, _, _, _, given = _run(tmp_path / "cache", clips)
    assert _same(given, expected)
    assert len(tries) == 1
    assert cache.stopped is not None
    assert "took no more features (No space left on device)" in cache.stopped
    assert "blipvid cache gc" in cache.stopped


def test_the_room_that_the_run_itself_needs_is_not_taken(
    tmp_path: Path, clips: list[Clip], monkeypatch: pytest.MonkeyPatch
):
    tokens = 4 * 2 * 16 * 6  # bytes a clip

    def run(folder: str, clips_that_fit: int) -> FeatureCache:
        free = Usage(0, 0, clips_that_fit * tokens)
        monkeypatch.setattr(shutil, "disk_usage", lambda _: free)
        return _run(tmp_path / folder, clips)[0]

    assert run("much", N).stopped is None
    few = run("few", 2)
    assert few.stopped is not None
    assert f"({2 * tokens:,} bytes free, {4 * tokens:,} needed until the end of the run)" in few.stopped
    assert "blipvid cache gc" in few.stopped
    assert _entries(tmp_path / "few") == []


@pytest.mark.parametrize("kind", ["file", "read-only"])
def test_a_folder_that_cannot_be_written(tmp_path: Path, clips: list[Clip], kind: str, monkeypatch: pytest.MonkeyPatch):
    folder = tmp_path / "cache"
    if kind == "file":
        folder.write_text("")
        stopped = str(_run(folder, clips)[0].stopped)
        assert "(Not a directory); mend the folder, or let BLIPVID_CACHE name another" in stopped
        return
    _run(folder, clips[:3])

    def refused(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    for name in ("utime", "write", "fsync"):
        monkeypatch.setattr(os, name, refused)
    cache, loader, _, _, given = _run(folder, clips)
    assert (cache.found, len(given), len(loader.asked)) == (3, N, 3)
    assert "(Permission denied); mend the folder" in str(cache.stopped)
    shutil.rmtree(folder)
    monkeypatch.setattr(os, "mkdir", refused)
    assert "(Permission denied); mend the folder" in str(_run(folder, clips)[0].stopped)


def test_leaving_early_ends_the_decoding(tmp_path: Path, clips: list[Clip]):
    loader = Loader()
    with ClipStream(
        clips, a_cache(tmp_path / "cache", loader), Pictures(), TaskSettings(), Runtime(batch_size=4), no_progress
    ) as stream:
        next(iter(stream))
    assert loader.closed
    assert len(loader.asked) < N


def test_several_processes_tell_together(tmp_path: Path):
    cache = a_cache(tmp_path, Loader())
    told = {"kept_as": "fp32", "found": 2, "added": 3, "rounding": 0.0, "stopped": None}
    cache.join([told, {**told, "found": 5, "rounding": 0.5, "stopped": "full"}])
    assert cache.told == {"kept_as": "fp32", "found": 7, "added": 6, "rounding": 0.5, "stopped": "full"}


def test_what_is_known_needs_no_frames(tmp_path: Path, clips: list[Clip]):
    """A loader of one's own may know features without keeping any."""

    def load(asked: Sequence[Clip]) -> Iterator[tuple[Clip, Frames | KnownClip]]:
        for number, clip in enumerate(asked):
            yield clip, KnownClip(features_of(number), "elsewhere", ("kept",))

    with ClipStream(clips, load, Pictures(), TaskSettings(), Runtime(), no_progress) as stream:
        given = [features.tokens for _, features in stream]
    assert np.array_equal(torch.cat(given).numpy(), torch.cat([features_of(n).tokens for n in range(N)]).numpy())
    assert stream.backends == {"elsewhere": N}
    assert stream.notes[0]["clips"] == N
