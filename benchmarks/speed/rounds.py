"""Two ways of doing the same work, timed in turns in one process, so that a disturbance hits both alike.

Never one side first and then the other: a machine that is busy for a minute would make up any ratio.
"""

import argparse
import ctypes
import os
import random
import statistics
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode


def parser_of(words: str | None, presets: Iterable[str], rounds: int = 3) -> argparse.ArgumentParser:
    """Returns a parser of what all programs can be asked for.

    Args:
        words: The docstring of the program.
        presets: Names, `full` among them, which is taken where none is asked for.
        rounds: Timed rounds where no number is asked for.
    """
    parser = argparse.ArgumentParser(description=words, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", choices=list(presets), default="full")
    parser.add_argument("--rounds", type=int, default=rounds)
    parser.add_argument("--json", type=Path, help="where to write all figures")
    return parser


@dataclass(frozen=True)
class Times:
    """Seconds of one way, one figure a round, for one unit of work.

    Attributes:
        cpu_s: Processor seconds of all threads.
        wall_s: Seconds on the clock.
        flop: Floating-point operations of one unit, counted and not timed.
    """

    cpu_s: list[float]
    wall_s: list[float]
    flop: float

    def summary(self) -> dict[str, Any]:
        """Returns median, least and most, for people and for JSON."""
        return {
            name: {"median": statistics.median(values), "min": min(values), "max": max(values)}
            for name, values in (("cpu_s", self.cpu_s), ("wall_s", self.wall_s))
        } | {"gflop": self.flop / 1e9}


def interleave(
    ways: Mapping[str, tuple[Callable[[], Any], int]], rounds: int, seed: int = 0
) -> tuple[dict[str, Times], dict[str, Any]]:
    """Times all ways in every round, in an order drawn anew each time.

    Args:
        ways: Name -> what to call, and how many units of work one call does.
        rounds: How often each is called; one call before them is not timed.
        seed: Of the order.

    Returns:
        Times by name, and what each way returned last.
    """
    order, results, flop = random.Random(seed), {}, {}
    for name, (call, units) in ways.items():
        with FlopCounterMode(display=False) as counter:
            results[name] = call()
        flop[name] = counter.get_total_flops() / units
    found: dict[str, Times] = {name: Times([], [], flop[name]) for name in ways}
    for _ in range(rounds):
        for name in order.sample(list(ways), len(ways)):
            call, units = ways[name]
            cpu, wall = time.process_time(), time.perf_counter()
            results[name] = call()
            found[name].cpu_s.append((time.process_time() - cpu) / units)
            found[name].wall_s.append((time.perf_counter() - wall) / units)
    return found, results


def spread(reference: list[float], ours: list[float]) -> dict[str, float]:
    """Returns how many times less ours takes, compared round by round."""
    each = [theirs / own for theirs, own in zip(reference, ours, strict=True)]
    return {"median": statistics.median(each), "min": min(each), "max": max(each)}


def ratio(reference: Times, ours: Times) -> dict[str, float]:
    """Returns how many times less ours takes: processor seconds round by round, and operations."""
    cpu = spread(reference.cpu_s, ours.cpu_s)
    return {
        "cpu": cpu["median"],
        "cpu_min": cpu["min"],
        "cpu_max": cpu["max"],
        "flop": reference.flop / ours.flop if ours.flop else float("nan"),
    }


def machine() -> str:
    """Says what the seconds depend on: torch, the instructions that there are, and how busy the machine is."""
    supported = [word for word in ("avx512_bf16", "amx_bf16") if _has(word)] or ["none for bf16, which is emulated"]
    return (
        f"torch {torch.__version__}, {torch.backends.cpu.get_cpu_capability()}, instructions: {', '.join(supported)}; "
        f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"
    )


def _has(instructions: str) -> bool:
    try:
        with Path("/proc/cpuinfo").open(encoding="utf-8") as file:
            return any(instructions in line.split() for line in file if line.startswith("flags"))
    except OSError:
        return False


def peak_bytes(call: Callable[[], Any]) -> int:
    """Returns the most memory that a call takes above what the process holds before; Linux only."""
    ctypes.CDLL("libc.so.6").malloc_trim(0)  # what was freed but kept would hide what the call takes
    Path("/proc/self/clear_refs").write_text("5")  # from here on the peak is counted anew
    before = _resident("VmRSS")
    call()
    return _resident("VmHWM") - before


def show_peaks(reference: Callable[[], Any], ours: Callable[[], Any]) -> dict[str, float]:
    """Prints the peak memory of both sides, one after the other, and returns it in GB; nothing but on Linux."""
    if not Path("/proc/self/clear_refs").exists():
        return {}
    peaks = {side: peak_bytes(call) / 1e9 for side, call in (("reference", reference), ("ours", ours))}
    print("peak memory above weights and inputs, GB: " + ", ".join(f"{k} {v:.2f}" for k, v in peaks.items()))
    return peaks


def _resident(what: str) -> int:
    lines = Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(what))
