"""Which of several processes of one job this is, as torchrun says it in the environment."""

import os
from dataclasses import dataclass

SAID_IN = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")
"""Source: docs.pytorch.org, torchrun, environment variables. Schedulers set some of them too, torchrun sets all."""


@dataclass(frozen=True, slots=True)
class Process:
    """One of the processes of a job.

    Attributes:
        rank: Its number in the whole job.
        count: Processes of the whole job.
        local_rank: Its number on its machine.
        local_count: Processes on its machine.
    """

    rank: int = 0
    count: int = 1
    local_rank: int = 0
    local_count: int = 1

    @property
    def first(self) -> bool:
        """Whether this is the process that talks to the person who started the job."""
        return self.rank == 0


def this_process() -> Process:
    """Returns what the environment says; without torchrun a process is alone."""
    if not all(os.environ.get(name, "").isdecimal() for name in SAID_IN):
        return Process()
    return Process(*(int(os.environ[name]) for name in SAID_IN))
