"""One evaluation by several processes, on one machine or many: who does which clips, and how parts come together.

Each process decodes and encodes its own clips and does all work that needs their tokens, which never travel. What was
found travels: embeddings, scores, answers. The first process makes metrics and predictions of it; the others are done.
Written for torchrun; a process that was started alone has the whole of the work, and nothing here costs it anything.
"""

import atexit
import signal
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar, cast

import numpy as np
import numpy.typing as npt

from blipvid.core.errors import BlipvidError
from blipvid.core.processes import Process, this_process
from blipvid.core.protocols import Progress

if TYPE_CHECKING:
    from torch.distributed import Store

T = TypeVar("T")

TO_MEET = timedelta(minutes=10)
"""How long processes wait for each other at the start: machines do not start at the same moment."""

TO_FINISH = timedelta(hours=24)
"""How long they wait at the end of a stage: clips differ, and one process alone makes the metrics."""

TO_SPEAK = timedelta(minutes=1)
"""How long the others stay until the first has said what went wrong; torchrun ends all once one has ended badly."""

OVER = "over"


class DoneElsewhere(Exception):  # noqa: N818 (nothing went wrong here)
    """Ends the work of a process that is not the first: the first has the result, or says what went wrong.

    Attributes:
        exit_code: 0, or that of the error.
    """

    def __init__(self, exit_code: int = 0) -> None:
        super().__init__("the first process of the job has the result")
        self.exit_code = exit_code


class Share:
    """The whole of the work, for one process alone.

    Attributes:
        count: Processes that share the work.
        first: Whether this is the one that makes metrics and predictions.
    """

    count = 1
    first = True

    def own(self, n: int) -> range:
        """Returns which of n things this process does."""
        return range(n)

    def gather(self, mine: T) -> list[T]:
        """Returns what all processes have, in the order of their ranks; all of them have to come here.

        Raises:
            BlipvidError: Another process failed: on the first, what went wrong there.
            DoneElsewhere: The same, on the others.
        """
        return [mine]

    def fill(self, rows: Sequence[int] | npt.NDArray[np.int64], arrays: Sequence[npt.NDArray[Any]]) -> None:
        """Puts the rows that other processes did into arrays, of which this one did its own `rows`.

        Raises:
            BlipvidError: See `gather`.
            DoneElsewhere: See there.
        """
        if self.count == 1:
            return
        own = np.array(rows, np.int64)
        for theirs, values in self.gather((own, [array[own] for array in arrays])):
            for array, value in zip(arrays, values, strict=True):
                array[theirs] = value

    def as_first(self, mine: T) -> T:
        """Returns what the first process has in place of what this one has.

        Raises:
            BlipvidError: See `gather`.
            DoneElsewhere: See there.
        """
        return mine

    def leave_rest_to_first(self) -> None:
        """Ends the work here unless this is the first process.

        Raises:
            DoneElsewhere: It is not.
        """

    @contextmanager
    def first_of_machine_ahead(self) -> Iterator[None]:
        """Lets the others of a machine do the block after its first process, which finds or makes files for all.

        Raises:
            BlipvidError: See `gather`.
            DoneElsewhere: See there.
        """
        yield

    def counted(self, progress: Progress) -> Progress:
        """Returns a progress that takes what is done here, of what all do, and tells what is done everywhere."""
        return progress

    @contextmanager
    def agreed(self) -> Iterator[None]:
        """Makes what happens in the block happen to all processes: an error of one ends the block for all.

        Every process has to come here, and they leave together. Of several errors that of the lowest rank counts.

        Raises:
            BlipvidError: On the first process, that error.
            DoneElsewhere: On the others, if the block failed or if they left the rest of it to the first.
        """
        yield


ALONE = Share()


class _GivenUpError(BlipvidError):
    """Work was given up because another process failed, which has more to say."""


class ProcessShare(Share):
    """What one of several processes does.

    Args:
        process: Which.
        store: What all of them can read and write while they work.
    """

    def __init__(self, process: Process, store: "Store") -> None:
        self._process, self._store = process, store
        self.count, self.first = process.count, process.first
        self._block = 0
        self._all_know = False  # that the block failed
        self._progress: _CountedProgress | None = None

    def own(self, n: int) -> range:
        """Likewise; things are dealt in turn, for neighbours in a list are alike in length and number of texts."""
        return range(self._process.rank, n, self.count)

    def gather(self, mine: T) -> list[T]:
        """Likewise."""
        import torch.distributed as dist

        parts: list[Any] = [None] * self.count
        try:
            dist.all_gather_object(parts, mine)
        except RuntimeError as error:
            self._all_know = True  # there is nobody left to tell
            raise _lost() from error
        errors = [part for part in parts if isinstance(part, BlipvidError)]
        if errors:
            self._all_know = True
            cause = min(errors, key=lambda one: isinstance(one, _GivenUpError))
            raise cause if self.first else DoneElsewhere(cause.exit_code)
        if self._progress:
            self._progress.tell()
        return parts

    def as_first(self, mine: T) -> T:
        """Likewise."""
        return cast(T, self.gather(mine if self.first else None)[0])

    def leave_rest_to_first(self) -> None:
        """Likewise."""
        if not self.first:
            raise DoneElsewhere

    @contextmanager
    def first_of_machine_ahead(self) -> Iterator[None]:
        """Likewise."""
        ahead = self._process.local_rank == 0
        if not ahead:
            self.gather(None)
        yield
        if ahead:
            self.gather(None)

    def counted(self, progress: Progress) -> Progress:
        """Likewise; it also ends the work here soon after it failed elsewhere."""
        self._progress = _CountedProgress(progress if self.first else None, self._store, f"{self._block}/")
        return self._progress

    @contextmanager
    def agreed(self) -> Iterator[None]:
        """Likewise."""
        self._block, self._all_know, self._progress = self._block + 1, False, None
        try:
            yield
        except DoneElsewhere:
            if not self._all_know:
                self.gather(None)
            raise
        except BlipvidError as error:
            if not self._all_know:
                error.add_note(f"In process {self._process.rank} of {self.count}:\n{traceback.format_exc()}")
                with suppress(RuntimeError):  # the others will know it a stage later
                    self._store.set(_failed(f"{self._block}/"), "")
                self.gather(error)
            raise
        self.gather(None)


class _CountedProgress:
    """Adds up what all processes did, and looks whether one of them failed."""

    def __init__(self, progress: Progress | None, store: "Store", block: str) -> None:
        self._progress, self._store, self._block = progress, store, block
        self._done: dict[str, int] = {}
        self._last: tuple[str, int] | None = None

    def __call__(self, stage: str, done: int, total: int) -> None:
        more, self._done[stage] = done - self._done.get(stage, 0), done
        self._last = stage, total
        try:
            self.tell(more)
            if self._store.check([_failed(self._block)]):
                raise _GivenUpError("another process of the job failed.")
        except RuntimeError as error:
            raise _lost() from error

    def tell(self, more: int = 0) -> None:
        """Adds to what is done everywhere and tells the sum, on the first process."""
        if self._last is None:
            return
        stage, total = self._last
        done = self._store.add(f"{self._block}{stage}", more)
        if self._progress is not None:
            self._progress(stage, done, total)


def _failed(block: str) -> str:
    return f"{block}failed"


class LostError(BlipvidError):
    """There is nobody left to work with, or this process has to go as they had."""


def _lost() -> LostError:
    return LostError(
        "another process of this job ended, or its launcher stopped it, so the work cannot go on; what was printed "
        "last, or torchrun's own report, says why (a process killed by signal 9 mostly had too little memory); "
        "features that --cache kept remain, and the same command goes on with them."
    )


class _Stopped(BaseException):
    """SIGTERM came; like KeyboardInterrupt it is not for those who catch errors on the way."""


@contextmanager
def _stopped_in_words() -> Iterator[None]:
    """Lets SIGTERM end the block with a sentence: torchrun sends it to all processes once one has ended badly.

    A process that waits for the others hears nothing until that is over, which it is when they end: the lost
    connection leads to the same sentence. Programs that are started in the block are not concerned.

    Raises:
        LostError: SIGTERM came.
    """

    def stop(*_: object) -> None:
        raise _Stopped

    afterwards = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    except (_Stopped, LostError) as end:
        # it comes a moment after the connection is lost, and must not cut the sentence off
        afterwards = signal.SIG_IGN
        signal.signal(signal.SIGTERM, afterwards)
        raise _lost() from end
    finally:
        signal.signal(signal.SIGTERM, afterwards)


@contextmanager
def joined() -> Iterator[Share]:
    """Gives this process its share of the work: all of it, unless torchrun or its like started several.

    Raises:
        BlipvidError: The processes do not find each other, or lose each other, or SIGTERM came to one of several.
    """
    process = this_process()
    if process.count == 1:
        yield ALONE
        return
    import torch.distributed as dist

    try:
        store, _, _ = next(iter(dist.rendezvous("env://", timeout=TO_MEET)))
        # Arrays on the CPU are all that travels, so that one way will do for every device.
        own = dist.PrefixStore("gathering", store)
        dist.init_process_group("gloo", store=own, rank=process.rank, world_size=process.count, timeout=TO_FINISH)
    except (RuntimeError, ValueError) as error:
        raise BlipvidError(
            f"process {process.rank} of {process.count} does not find the others ({error}); start all of them with "
            "torchrun, or unset RANK and WORLD_SIZE to work alone."
        ) from error
    if process.first:
        atexit.register(_end, store)
    try:
        with _stopped_in_words():
            yield ProcessShare(process, store)
        if not process.first:
            with suppress(RuntimeError):  # it is over as well where nobody answers any more
                store.wait([OVER], TO_SPEAK)
    finally:
        dist.destroy_process_group()


def _end(store: "Store") -> None:
    with suppress(RuntimeError):
        store.set(OVER, "")
