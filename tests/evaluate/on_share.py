"""What processes do in test_share.py."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from blipvid.core.errors import BlipvidError, DataError, DecodeError
from blipvid.core.processes import this_process
from blipvid.evaluate.share import DoneElsewhere, Share, joined

RANK = "RANK"


def bring_together() -> None:
    """Shares seven things among the processes, tells of them, and leaves the sum to the first."""
    with joined() as share:
        told: list[tuple[str, int, int]] = []
        with share.agreed():
            progress = share.counted(lambda *report: told.append(report))
            rows = share.own(7)
            squares, words = np.full((7, 2), -1.0), np.full(7, None, np.object_)
            progress("squaring", 0, 7)
            for done, row in enumerate(rows, start=1):
                squares[row], words[row] = row**2, str(row)
                progress("squaring", done, 7)
            share.fill(rows, [squares, words])
            assert squares[:, 1].tolist() == [row**2 for row in range(7)]
            assert words.tolist() == [str(row) for row in range(7)]
            assert share.as_first(os.environ[RANK]) == "0"
        assert told == sorted(told)
        assert (told[-1] == ("squaring", 7, 7)) if share.first else not told
        try:
            with share.agreed():
                share.leave_rest_to_first()
                print("the sum is", squares[:, 0].sum())
        except DoneElsewhere as end:
            print("done", end.exit_code)


def fail() -> None:
    """Fails in two of three processes, one of them before the end of its work, and works together again."""
    with joined() as share:
        rank = int(os.environ[RANK])
        print(_outcome(share, rank))
        with share.agreed():
            print("ranks", share.gather(rank))
        if share.first:  # what only the first does fails for all
            print(_outcome(share, 1))
        else:
            print(_left(share))


def _outcome(share: Share, rank: int) -> str:
    try:
        with share.agreed():
            progress = share.counted(lambda *_: None)
            if rank == 1:
                raise DecodeError("clip 'c1': no frames.")
            if rank == 2:
                time.sleep(1)
                raise DataError("somewhere else.")
            for done in range(10_000):  # a quarter of an hour, were it not told
                progress("waiting", done, 10_000)
                time.sleep(0.1)
            share.gather(None)
    except DoneElsewhere as end:
        return f"done elsewhere with {end.exit_code}"
    except BlipvidError as error:
        return f"{type(error).__name__}: {error} {error.__notes__[0].splitlines()[0]}"
    return "nothing failed"


def _left(share: Share) -> str:
    try:
        with share.agreed():
            share.leave_rest_to_first()
    except DoneElsewhere as end:
        return f"done elsewhere with {end.exit_code}"
    return "nothing failed"


def die() -> None:
    """Loses a process while the others wait for it."""
    with joined() as share, share.agreed():
        if this_process().rank == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        try:
            share.gather(None)
        except BlipvidError as error:
            print(error)
            raise SystemExit(error.exit_code) from error


def be_stopped() -> None:
    """Gets SIGTERM at work."""
    with _told(), joined() as share:
        share.gather(None)
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(60)
        except Exception:  # noqa: BLE001 (as a loop that leaves out what fails would)
            print("went on")


def be_stopped_while_waiting() -> None:
    """Gets SIGTERM while it waits for a process that is killed a moment later, and again when it is about to speak."""
    with _told(again=True), joined() as share:
        pids = share.gather(os.getpid())
        if not share.first:
            time.sleep(0.5)  # until the first one waits
            os.kill(pids[0], signal.SIGTERM)
            time.sleep(0.5)
            os.kill(os.getpid(), signal.SIGKILL)
        share.gather(None)


def end_well() -> None:
    """Gets SIGTERM after the work."""
    with joined() as share:
        share.gather(None)
    print("done", flush=True)
    os.kill(os.getpid(), signal.SIGTERM)


@contextmanager
def _told(*, again: bool = False) -> Iterator[None]:
    try:
        yield
    except BlipvidError as error:
        if again:
            os.kill(os.getpid(), signal.SIGTERM)
        print(error)
        raise SystemExit(error.exit_code) from error
