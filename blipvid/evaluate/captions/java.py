"""The door to the metrics that are Java programs, METEOR and SPICE: the jars that pycocoevalcap ships.

Nothing is downloaded here. pycocoevalcap itself fetches the language models of SPICE (Stanford CoreNLP 3.6.0) when it
is first used; here they are looked for, and `blipvid fetch-metrics` fetches them. A program that is absent, dies or
hangs ends in `NotComputedError`, never in the loss of the other metrics.

SPICE is from 2016: its parser wants 8 GB of memory, and the parses that it keeps go to the folder `spice` of blipvid's
cache. On Java 9 and later it is allowed what Java 8 allowed every program, in the way that Java 8 does not read.

Source: github.com/salaniz/pycocoevalcap 1.2, meteor/meteor.py and spice/spice.py (options and protocol).
"""

import json
import math
import os
import queue
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Sequence
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import numpy.typing as npt

from blipvid.core.errors import BlipvidError
from blipvid.core.places import cache_folder
from blipvid.core.protocols import Progress, no_progress

SILENCE_S = 600.0
"""Seconds without an answer after which METEOR is given up; it starts in 3 on an idle machine, in 70 on a full one."""
SPICE_S = 7200.0
"""Seconds after which SPICE is given up; it says nothing until it ends."""

_OPENED = " ".join(f"--add-opens=java.base/java.{name}=ALL-UNNAMED" for name in ("lang", "math", "net", "text", "util"))


class NotComputedError(BlipvidError):
    """Says in a few words why a metric has no value."""


def package_folder() -> Path | None:
    """Returns the folder of pycocoevalcap; None where it is not installed."""
    found = find_spec("pycocoevalcap")
    places = found.submodule_search_locations if found else None
    return Path(next(iter(places))) if places else None


def spice_models(package: Path) -> list[Path]:
    """Returns where SPICE expects its language models, there or not."""
    return [package / "spice" / "lib" / f"stanford-corenlp-3.6.0{part}.jar" for part in ("", "-models")]


def find_java() -> str | None:
    """Returns the Java program on the path; None where there is none."""
    return shutil.which("java")


def meteor(
    hypotheses: Sequence[str],
    references: Sequence[Sequence[str]],
    subsets: Sequence[Sequence[int]] = (),
    progress: Progress = no_progress,
) -> list[float]:
    """Computes METEOR 1.5 of a set and of parts of it; every caption is compared once.

    Args:
        hypotheses: V tokenised captions.
        references: Tokenised references of each, at least one.
        subsets: Places of the captions of each part, at least one.
        progress: Told of captions compared.

    Returns:
        Scores in [0, 1], that of the set and then of each part. A score is made of counts summed over its captions; it
        is not the mean of scores of captions.

    Raises:
        NotComputedError: Something is missing, or the program fails.
    """
    java, package = _requirements()
    options = ["-Xmx2G", "-Dfile.encoding=UTF-8", "-jar", "meteor-1.5.jar", "-", "-", "-stdio", "-l", "en", "-norm"]
    with _Program("METEOR", [java, *options], package / "meteor") as program:
        counts = []
        for said, own in zip(hypotheses, references, strict=True):
            program.say(" ||| ".join(["SCORE", *own, said.replace("  ", " ")]))
            counts.append(program.hear())
            progress("METEOR", len(counts), len(hypotheses))
        return [_meteor_of(program, counts), *(_meteor_of(program, [counts[at] for at in own]) for own in subsets)]


def _meteor_of(program: "_Program", counts: Sequence[str]) -> float:
    program.say(" ||| ".join(["EVAL", *counts]))
    *_, answer = [program.hear() for _ in range(len(counts) + 1)]
    try:
        return float(answer)
    except ValueError as error:
        raise NotComputedError(f"METEOR answered '{answer}'") from error


def spice(hypotheses: Sequence[str], references: Sequence[Sequence[str]]) -> npt.NDArray[np.float64]:
    """Computes SPICE of every caption.

    Args:
        hypotheses: V tokenised captions.
        references: Tokenised references of each, at least one.

    Returns:
        (V,) scores in [0, 1]; the score of the set is their mean.

    Raises:
        NotComputedError: Something is missing, or the program fails.
    """
    java, package = _requirements()
    if not all(path.is_file() for path in spice_models(package)):
        raise NotComputedError("needs `blipvid fetch-metrics`")
    items = [
        {"image_id": place, "test": said, "refs": list(own)}
        for place, (said, own) in enumerate(zip(hypotheses, references, strict=True))
    ]
    with tempfile.TemporaryDirectory() as folder:
        given, wanted = Path(folder) / "captions.json", Path(folder) / "scores.json"
        given.write_text(json.dumps(items), encoding="utf-8")
        kept = cache_folder() / "spice"
        arguments = [given, "-cache", kept, "-out", wanted, "-subset", "-silent"]
        try:
            kept.mkdir(parents=True, exist_ok=True)
            ended = subprocess.run(
                [java, "-Xmx8G", "-Dfile.encoding=UTF-8", "-jar", "spice-1.0.jar", *map(str, arguments)],
                cwd=package / "spice",
                env={**os.environ, "JDK_JAVA_OPTIONS": _OPENED},
                capture_output=True,
                timeout=SPICE_S,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise NotComputedError(f"SPICE did not end in {SPICE_S / 3600:.0f} hours") from error
        except OSError as error:
            raise NotComputedError(f"SPICE cannot be started: {error}") from error
        if ended.returncode or not wanted.is_file():
            raise NotComputedError(f"SPICE ended with code {ended.returncode}: {_reason(ended.stderr)}")
        return _read_spice(wanted, len(items))


def _read_spice(path: Path, n: int) -> npt.NDArray[np.float64]:
    try:
        scores = {row["image_id"]: float(row["scores"]["All"]["f"]) for row in json.loads(path.read_text("utf-8"))}
        found = np.array([scores[place] for place in range(n)])
    except (KeyError, TypeError, ValueError) as error:
        raise NotComputedError(f"SPICE wrote something else than scores ({type(error).__name__})") from error
    without = sum(map(math.isnan, found))
    if without:
        raise NotComputedError(f"SPICE has no number for {without:,} captions")
    return found


def _requirements() -> tuple[str, Path]:
    """Returns Java and pycocoevalcap's folder."""
    java, package = find_java(), package_folder()
    if package is None:
        raise NotComputedError("needs `pip install blipvid[caption]`" + ("" if java else " and Java"))
    if java is None:
        raise NotComputedError("needs Java")
    return java, package


def _reason(errors: bytes) -> str:
    """Returns the line that says what went wrong: the first that names an error, else the last."""
    lines = errors.decode("utf-8", "replace").strip().splitlines() or ["it said nothing"]
    return next((line for line in lines if "Exception" in line or "Error" in line), lines[-1]).strip()


class _Program:
    """A program that answers lines with lines; both ends are watched, so that it can neither block nor outlive us.

    Args:
        name: What a person calls it.
        command: Program and arguments.
        folder: Where it runs.
    """

    def __init__(self, name: str, command: Sequence[str], folder: Path) -> None:
        self._name = name
        try:
            self._process = subprocess.Popen(
                command, cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
            )
        except OSError as error:
            raise NotComputedError(f"{name} cannot be started: {error}") from error
        self._answers: queue.Queue[bytes] = queue.Queue()
        self._errors: list[bytes] = []
        self._listeners = [threading.Thread(target=work, daemon=True) for work in (self._listen, self._overhear)]
        for listener in self._listeners:
            listener.start()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._answers.put(line)
        self._answers.put(b"")  # no line, not even an empty one: it has ended

    def _overhear(self) -> None:
        assert self._process.stderr is not None
        self._errors.extend(self._process.stderr)

    def say(self, line: str) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(f"{line}\n".encode())
            self._process.stdin.flush()
        except OSError as error:
            raise self._ended() from error

    def hear(self) -> str:
        try:
            answer = self._answers.get(timeout=SILENCE_S)
        except queue.Empty as error:
            raise NotComputedError(f"{self._name} gave no answer for {SILENCE_S / 60:.0f} minutes") from error
        if not answer:
            raise self._ended()
        text = answer.decode("utf-8", "replace").strip()
        if text.startswith("Error"):
            raise NotComputedError(f"{self._name}: {text}")
        return text

    def _ended(self) -> NotComputedError:
        code = self._process.wait()
        for listener in self._listeners:
            listener.join()
        return NotComputedError(f"{self._name} ended with code {code}: {_reason(b''.join(self._errors))}")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait()
        for listener in self._listeners:
            listener.join()
        with suppress(OSError):  # what it was told last may not be deliverable
            self._process.communicate()
