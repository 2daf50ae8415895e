"""Where the time of an evaluation goes."""

import time


class Seconds:
    """Seconds spent in each stage; a stage may come many times."""

    def __init__(self) -> None:
        self._spent: dict[str, float] = {}
        self._last = time.perf_counter()

    @property
    def spent(self) -> dict[str, float]:
        """Seconds by stage, in the order in which the stages first ended."""
        return {stage: round(seconds, 3) for stage, seconds in self._spent.items()}

    def end(self, stage: str) -> None:
        """Counts the time since the last call for this stage."""
        now = time.perf_counter()
        self._spent[stage] = self._spent.get(stage, 0.0) + now - self._last
        self._last = now
