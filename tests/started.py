"""Starts functions in several processes as torchrun does, but from a process that has imported everything already."""

import atexit
import multiprocessing
import os
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from blipvid.bench import runner  # noqa: F401 (what follows is imported once, not once a process)
from blipvid.data import sets  # noqa: F401
from blipvid.evaluate import run, share  # noqa: F401
from blipvid.media import loader  # noqa: F401
from blipvid.models import zoo  # noqa: F401

CONTEXT = multiprocessing.get_context("forkserver")
TIMEOUT_S = 300


@dataclass(frozen=True)
class Ended:
    """What the processes of a job left behind, by rank."""

    codes: list[int | None]
    out: list[str]
    err: list[str]


def start(n: int, folder: Path, work: Callable[..., None], *arguments: object) -> Ended:
    """Runs `work(*arguments)` in n processes that write what they say into a folder."""
    CONTEXT.set_forkserver_preload([__name__])
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folder.mkdir(exist_ok=True)
    processes = [CONTEXT.Process(target=_main, args=(rank, n, port, folder, work, arguments)) for rank in range(n)]
    for one in processes:
        one.start()
    for one in processes:
        one.join(TIMEOUT_S)
    codes = [one.exitcode for one in processes]
    for one in processes:
        one.kill()
    said = [[(folder / f"{rank}.{name}").read_text() for rank in range(n)] for name in ("out", "err")]
    return Ended(codes, *said)


def _main(rank: int, n: int, port: int, folder: Path, work: Callable[..., None], arguments: tuple[object, ...]) -> None:
    said = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": n, "LOCAL_WORLD_SIZE": n, "MASTER_PORT": port}
    os.environ |= {name: str(value) for name, value in said.items()} | {"MASTER_ADDR": "127.0.0.1"}
    for name, stream in (("out", sys.stdout), ("err", sys.stderr)):
        os.dup2(os.open(folder / f"{rank}.{name}", os.O_CREAT | os.O_WRONLY), stream.fileno())
    try:
        work(*arguments)
    finally:
        sys.stdout.flush()
        atexit._run_exitfuncs()  # a process that multiprocessing started ends without them
