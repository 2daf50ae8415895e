"""Many clips to their frames, in order, by processes that are watched over.

A decoder is foreign code that can hang or bring its process down (damaged files do that). With workers each clip is
decoded in a child process with a deadline: if the process dies or is late, that clip becomes a DecodeError, the process
is replaced and the others go on.
"""

import multiprocessing
import signal
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import TimeoutError as DeadlineError
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory

from pebble import ProcessExpired, ProcessFuture, ProcessPool

from blipvid.core.errors import DecodeError
from blipvid.core.settings import FrameSettings
from blipvid.core.types import Clip, Frames
from blipvid.media.decoding import decode_clip
from blipvid.media.handover import Parcel, pack, unpack
from blipvid.media.readers import READERS
from blipvid.media.sampling import SAMPLERS

Outcome = Frames | Parcel | DecodeError
_AHEAD = 2  # clips in flight for each worker: enough to keep it busy, few enough to bound memory


def load_clips(
    clips: Sequence[Clip], settings: FrameSettings, workers: int = 0
) -> Iterator[tuple[Clip, Frames | DecodeError]]:
    """Decodes clips in order.

    Args:
        clips: The clips.
        settings: Which frames, how large, and the deadline of one clip (`timeout_s`).
        workers: Decoding processes. 0 decodes in this process, where no deadline can be kept and a decoder that
            crashes takes everything down.

    Yields:
        Each clip with its frames, or with the reason why it has none.

    Raises:
        ConfigError: Unknown sampler or reader; raised before any clip is decoded.
    """
    SAMPLERS.get(settings.sampler)
    READERS.get(settings.backend)
    workers = min(workers, len(clips))
    return _in_workers(clips, settings, workers) if workers > 0 else _here(clips, settings)


def _here(clips: Sequence[Clip], settings: FrameSettings) -> Iterator[tuple[Clip, Frames | DecodeError]]:
    for clip in clips:
        yield clip, _try_clip(clip, settings)


def _in_workers(
    clips: Sequence[Clip], settings: FrameSettings, workers: int
) -> Iterator[tuple[Clip, Frames | DecodeError]]:
    # Fresh interpreters, not forks: a fork copies the locks of torch's and FFmpeg's threads as they happen to stand.
    pool = ProcessPool(max_workers=workers, context=multiprocessing.get_context("spawn"))
    waiting = iter(clips)
    in_flight: deque[tuple[Clip, ProcessFuture[Outcome]]] = deque()
    with TemporaryDirectory(prefix="blipvid-") as folder:
        try:
            while True:
                for clip in islice(waiting, workers * _AHEAD - len(in_flight)):
                    task = pool.schedule(_pack_clip, args=[clip, settings, Path(folder)], timeout=settings.timeout_s)
                    in_flight.append((clip, task))
                if not in_flight:
                    return
                clip, task = in_flight.popleft()
                outcome = _outcome(clip, task, settings)
                yield clip, unpack(outcome) if isinstance(outcome, Parcel) else outcome
        finally:
            pool.stop()
            pool.join()


def _pack_clip(clip: Clip, settings: FrameSettings, folder: Path) -> Outcome:
    frames = _try_clip(clip, settings)
    return pack(frames, folder) if isinstance(frames, Frames) else frames


def _try_clip(clip: Clip, settings: FrameSettings) -> Frames | DecodeError:
    try:
        return decode_clip(clip, settings)
    except DecodeError as error:
        return DecodeError(str(error))  # without its cause, which may hold what cannot travel between processes


def _outcome(clip: Clip, task: "ProcessFuture[Outcome]", settings: FrameSettings) -> Outcome:
    try:
        return task.result()
    except DeadlineError:
        return DecodeError(
            f"clip '{clip.id}': {clip.path}: not decoded after {settings.timeout_s:g} s; raise frames.timeout_s, try "
            "another frames.backend, or leave the clip out."
        )
    except ProcessExpired as error:
        return DecodeError(
            f"clip '{clip.id}': {clip.path}: the decoder brought its process down ({_ending(error.exitcode)}); try "
            "another frames.backend, or leave the clip out."
        )


def _ending(exit_code: int) -> str:
    known = {s.value: s.name for s in signal.Signals}
    return known.get(-exit_code, f"exit code {exit_code}")
