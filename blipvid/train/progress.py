"""Tells a person how a training goes: one bar on a terminal, plain lines elsewhere."""

from collections.abc import Mapping
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from blipvid.train.loop import Step


class TrainingLines:
    """Prints one line every so many steps, losses as means since the last line.

    Args:
        console: Where a person reads.
        every: Steps between two lines; validations and broken samples are always told.
    """

    def __init__(self, console: Console, every: int) -> None:
        self.console, self.every = console, every
        self._sums: dict[str, float] = {}
        self._count = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Ends the show."""

    def __call__(self, step: Step) -> None:
        """Notes one step."""
        self._count += 1
        for name, loss in step.losses.items():
            self._sums[name] = self._sums.get(name, 0.0) + loss
        for sample in step.broken:
            self._say(f"step {step.number}: replaced {sample}")
        if step.scores:
            self._say(f"step {step.number}: {_values(step.scores, 2)}")
        if step.number % self.every == 0 or step.number == step.steps:
            means = {name: total / self._count for name, total in self._sums.items()}
            self._show(step, f"{_values(means, 3)}  lr {step.lr:.2e}  {step.pictures_per_s:.0f} pictures/s")
            self._sums, self._count = {}, 0

    def _show(self, step: Step, text: str) -> None:
        self._say(f"step {step.number}/{step.steps}  {text}  {_clock(step.remaining_s)} left")

    def _say(self, line: str) -> None:
        self.console.print(line, markup=False, highlight=False, soft_wrap=True)


class TrainingBar(TrainingLines):
    """One bar over all steps, its text renewed as often as a line would be printed."""

    def __init__(self, console: Console, every: int) -> None:
        super().__init__(console, every)
        columns = BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"), TextColumn("{task.fields[left]}")
        self._bar = Progress(*columns, console=console)
        self._task = self._bar.add_task("", total=None, left="")

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def __call__(self, step: Step) -> None:
        """Notes one step."""
        left = f"{_clock(step.remaining_s)} left"
        self._bar.update(self._task, completed=step.number, total=step.steps, left=left)
        super().__call__(step)

    def _show(self, step: Step, text: str) -> None:
        self._bar.update(self._task, description=text)


def progress_on(console: Console, every: int) -> TrainingLines:
    """Returns a bar where the console is a terminal, else plain lines."""
    return TrainingBar(console, min(every, 10)) if console.is_terminal else TrainingLines(console, every)


def _values(values: Mapping[str, float], digits: int) -> str:
    return "  ".join(f"{name} {value:.{digits}f}" for name, value in values.items())


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d}" if minutes < 60 else f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}"
