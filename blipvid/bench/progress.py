"""Tells a person how far the work is: bars on a terminal, plain lines elsewhere.

Both satisfy `core.protocols.Progress` and keep the seconds of each stage for the run record.
"""

import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

LINE_EVERY_S = 30.0
LINE_EVERY_SHARE = 0.1
LINE_AT_MOST_EVERY_S = 1.0


class StageProgress:
    """Keeps the time of each stage; a subclass shows it.

    Attributes:
        seconds: Stage name to seconds between the first and the last report of that stage.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.seconds: dict[str, float] = {}
        self._clock = clock
        self._began: dict[str, float] = {}
        self._last = clock()

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Takes one report: `done` of `total` in this stage."""
        now = self._clock()
        if stage not in self._began:  # a stage that first reports after some work began when the last one ended
            self._began[stage] = now if done == 0 else self._last
        self._last = now
        self.seconds[stage] = now - self._began[stage]
        self._show(stage, done, total)

    def _show(self, stage: str, done: int, total: int) -> None:
        """Shows one report."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Ends the show."""


class LineProgress(StageProgress):
    """Plain lines for logs and pipes: at every tenth of a stage or every half minute, and at its end."""

    def __init__(self, console: Console, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(clock)
        self._console = console
        self._shown: dict[str, tuple[float, float]] = {}  # stage -> (share, time) of its last line

    def _show(self, stage: str, done: int, total: int) -> None:
        now, share = self._last, done / total if total else 1.0
        shown_share, shown_at = self._shown.setdefault(stage, (0.0, now))
        a_tenth_on = share - shown_share >= LINE_EVERY_SHARE - 1e-9 and now - shown_at >= LINE_AT_MOST_EVERY_S
        at_end = done == total and shown_share < 1
        if not (a_tenth_on or at_end or now - shown_at >= LINE_EVERY_S):
            return
        self._shown[stage] = (share, now)
        line = f"{stage}: {done:,} of {total:,} ({share:.0%})"
        elapsed = self.seconds[stage]
        if done and elapsed > 0:
            line += f", {done / elapsed:,.1f}/s"
            if done < total:
                line += f", {format_seconds((total - done) * elapsed / done)} left"
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)


class BarProgress(StageProgress):
    """One bar a stage, with rate and remaining time."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self._tasks: dict[str, TaskID] = {}
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
            console=console,
        )

    def _show(self, stage: str, done: int, total: int) -> None:
        if stage not in self._tasks:
            self._tasks[stage] = self._bars.add_task(stage, total=total, rate="")
        elapsed = self.seconds[stage]
        rate = f"{done / elapsed:,.1f}/s" if done and elapsed > 0 else ""
        self._bars.update(self._tasks[stage], completed=done, total=total, rate=rate)

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()


def progress_on(console: Console) -> StageProgress:
    """Returns bars where the console is a terminal, else plain lines."""
    return BarProgress(console) if console.is_terminal else LineProgress(console)


def format_seconds(seconds: float) -> str:
    """Returns a duration as a person says it: `8 s`, `3 min 20 s`, `2 h 05 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
