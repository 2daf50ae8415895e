"""Eight frames of a clip to squares of 384: as blipvid reads them, against decord as BLIP's loader calls it.

decord runs with its default number of threads, which is what the released loader does, and with one, which is what many
processes side by side should do. Clips are drawn: textures that move, with some noise, coded with B-frames, and in each
picture its number, so that right frames can be told from wrong ones. Real clips are added where BLIPVID_TEST_DATA names
a folder that has them. Pixels must be equal byte for byte wherever decord returns the right frames.

    python benchmarks/speed/decode.py [--preset ci|full] [--rounds 5] [--json FILE]
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any, cast

import av
import decord
import numpy as np
import numpy.typing as npt
from PIL import Image
from rounds import Times, interleave, parser_of, spread

from blipvid.core.settings import FrameSettings
from blipvid.core.types import Clip
from blipvid.media.decoding import decode_clip

SIZE, COUNT, FPS, BITS = 384, 8, 30, 10
SIDES = {"240p": (320, 240), "360p": (640, 360), "720p": (1280, 720)}
SMALL_BYTES = 600_000  # of the real clips, those below are in the preset ci
Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Drawn:
    """A clip to be drawn."""

    side: str
    gop: int
    seconds: int
    ending: str = "mp4"
    codec: str = "libx264"

    @property
    def name(self) -> str:
        """Says what is drawn."""
        return f"{self.codec.removeprefix('lib')} {self.ending} {self.side}, GOP {self.gop}, {self.seconds} s"


OTHERS = [Drawn("240p", 250, 15, "mkv"), Drawn("240p", 250, 15, "ts"), Drawn("240p", 250, 15, "avi")]
OTHERS += [Drawn("240p", 250, 15, "avi", "mpeg4"), Drawn("240p", 250, 15, "webm", "libvpx-vp9")]
PRESETS = {
    "full": [Drawn(side, gop, 15) for side in SIDES for gop in (12, 250)] + OTHERS,
    "ci": [Drawn(side, gop, 10) for side in ("240p", "360p") for gop in (12, 250)],
}


def draw_clip(drawn: Drawn, folder: Path) -> Path:
    """Encodes a clip; pictures as they come from a camera that moves over a texture with something in front of it."""
    width, height = SIDES[drawn.side]
    rng, path = np.random.default_rng(0), folder / f"{drawn.name.replace(' ', '-')}.{drawn.ending}"
    coarse = Image.fromarray(rng.integers(0, 256, (height // 8 + 20, width // 8 + 40, 3), dtype=np.uint8))
    texture = np.asarray(coarse.resize((width + 320, height + 160), Image.Resampling.BICUBIC)).astype(np.int16)
    options = {"g": str(drawn.gop), "bf": "0" if drawn.codec == "mpeg4" else "3"}
    if drawn.codec == "libx264":
        options |= {"preset": "veryfast", "crf": "23", "sc_threshold": "0"}
    elif drawn.codec.startswith("libvpx"):
        options |= {"deadline": "realtime", "cpu-used": "8", "b": "1M"}
    with av.open(str(path), "w") as file:
        stream = cast(av.VideoStream, file.add_stream(drawn.codec, rate=FPS, options=options))
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for number in range(FPS * drawn.seconds):
            x, y = int(160 + 150 * np.sin(number / 40)), int(80 + 70 * np.cos(number / 23))
            picture = texture[y : y + height, x : x + width] + rng.integers(-6, 7, (height, width, 1), dtype=np.int16)
            left = number * 3 % (width // 2)
            picture[height // 2 : height * 3 // 4, left : left + width // 4] = texture[: height // 4, : width // 4]
            bars = np.array([number >> bit & 1 for bit in range(BITS)])
            picture[: height // 6] = 255 * bars[np.arange(width) * BITS // width][None, :, None]
            frame = av.VideoFrame.from_ndarray(picture.clip(0, 255).astype(np.uint8), format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, FPS)
            file.mux(stream.encode(frame.reformat(format="yuv420p")))
        file.mux(stream.encode(None))
    return path


def read_numbers(pixels: Pixels) -> list[int]:
    """Returns the numbers that (N, H, W, 3) pictures bear."""
    middles = (np.arange(BITS) * 2 + 1) * pixels.shape[2] // (2 * BITS)
    level = pixels[:, pixels.shape[1] // 24 : pixels.shape[1] // 8, middles].mean(axis=(1, 3))
    return [int(sum(1 << bit for bit in range(BITS) if row[bit] > 127)) for row in level]


def read_by_decord(paths: Sequence[Path], threads: int, count: int = COUNT, size: int = SIZE) -> list[Pixels]:
    """Reads clips as the released loader does."""
    found = []
    for path in paths:
        reader = decord.VideoReader(str(path), width=size, height=size, num_threads=threads)
        length = len(reader)
        found.append(reader.get_batch(np.arange(0, length, length / count, dtype=int)).asnumpy())
    return found


def read_by_blipvid(paths: Sequence[Path]) -> list[Pixels]:
    """Reads clips as a benchmark does."""
    settings = FrameSettings(sampler="blip-compat", count=COUNT, size=SIZE)
    return [decode_clip(Clip(path.name, path), settings).pixels for path in paths]


def peak_mib(code: str) -> float:
    """Returns the peak memory of a fresh process that runs some code; that of its imports is in it."""
    # not getrusage, whose figure is that of the process that started this one where that is larger
    code += "\nprint(next(line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM')))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return int(done.stdout) / 1024


def show_peaks(path: Path) -> dict[str, float]:
    """Prints the peak memory of reading one clip, where the system tells it."""
    if not Path("/proc/self/status").exists():
        return {}
    peaks = {
        "decord": peak_mib(
            f"import decord; r = decord.VideoReader({str(path)!r}, width={SIZE}, height={SIZE})\n"
            f"r.get_batch(list(range(0, len(r), len(r) // {COUNT}))[:{COUNT}]).asnumpy()"
        ),
        "ours": peak_mib(
            "from pathlib import Path; from blipvid.core.settings import FrameSettings\n"
            "from blipvid.core.types import Clip; from blipvid.media.decoding import decode_clip\n"
            f"decode_clip(Clip('clip', Path({str(path)!r})), FrameSettings(count={COUNT}, size={SIZE}))"
        ),
    }
    print(
        "peak memory of a process that reads the first drawn clip, MiB: " + str({k: round(v) for k, v in peaks.items()})
    )
    return peaks


def judge(results: Mapping[str, list[Pixels]], *, drawn: Drawn | None) -> dict[str, Any]:
    """Says which frames came back, and whether pixels are equal; `fine` where nothing speaks against ours."""
    theirs, ours = results.get("decord"), results["ours"]
    equal = theirs is not None and all(np.array_equal(a, b) for a, b in zip(theirs, ours, strict=True))
    if drawn is None:
        return {"equal": equal, "fine": equal}
    wanted = list(range(0, FPS * drawn.seconds, FPS * drawn.seconds // COUNT))[:COUNT]
    right = {name: read_numbers(found[0]) == wanted for name, found in results.items()}
    return {"equal": equal, "right": right, "fine": right["ours"] and (equal or not right.get("decord"))}


def compare(name: str, paths: Sequence[Path], rounds: int, drawn: Drawn | None) -> dict[str, Any]:
    """Times the three ways on some clips, prints a line and returns it for JSON."""
    ways = {
        "decord": partial(read_by_decord, paths, 0),
        "decord, 1 thread": partial(read_by_decord, paths, 1),
        "ours": partial(read_by_blipvid, paths),
    }
    try:
        ways["decord"]()
    except decord.DECORDError:
        alone = judge({"ours": ways["ours"]()}, drawn=drawn)
        said = "the right ones" if alone["fine"] else "WRONG ONES"
        print(f"{name:<38}decord gives no frames, ours {said}", flush=True)
        return {"share": {}, **alone}
    times, results = interleave({way: (call, len(paths)) for way, call in ways.items()}, rounds)
    found = judge(results, drawn=drawn)
    shares = {way: spread(times["ours"].cpu_s, times[way].cpu_s) for way in ("decord", "decord, 1 thread")}
    cpu = [f"{1e3 * times[way].summary()['cpu_s']['median']:>10.0f}" for way in ways]
    said = [f"{'{median:.2f} [{min:.2f}, {max:.2f}]'.format(**share):>22}" for share in shares.values()]
    wrong = [] if drawn is None else [way for way, right in found["right"].items() if not right]
    what = f"wrong frames: {', '.join(wrong)}" if wrong else "equal pixels" if found["equal"] else "OTHER PIXELS"
    print(f"{name:<38}{''.join(cpu)}{''.join(said)}  {what}", flush=True)
    return {way: summary(of) for way, of in times.items()} | {"share": shares} | found


def summary(times: Times) -> dict[str, Any]:
    found = times.summary()
    del found["gflop"]
    return found


def real_clips(preset: str) -> list[Path]:
    """Returns the real clips that there are, none without BLIPVID_TEST_DATA."""
    folder = Path(os.environ.get("BLIPVID_TEST_DATA", "/nowhere")) / "data" / "clips"
    paths = sorted(p for p in folder.glob("*.m[pk][4v]"))
    return paths if preset == "full" else [p for p in paths if p.stat().st_size < SMALL_BYTES]


def main() -> int:
    """Reads all clips in three ways; returns 1 where ours gives a wrong frame or another pixel."""
    parser = parser_of(__doc__, PRESETS, rounds=5)
    asked = parser.parse_args()
    decord.logging.set_level(decord.logging.QUIET)
    print(
        f"{COUNT} frames at {SIZE} px, {asked.rounds} rounds, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, "
        f"PyAV {av.__version__}, decord {decord.__version__}; processor milliseconds a clip, median; ours in parts of "
        "decord's [least, most]"
    )
    print(f"{'':<38}{'decord':>10}{'1 thread':>10}{'ours':>10}{'of decord':>22}{'of 1 thread':>22}")
    lines = {}
    with tempfile.TemporaryDirectory() as folder:
        paths = [draw_clip(drawn, Path(folder)) for drawn in PRESETS[asked.preset]]
        for drawn, path in zip(PRESETS[asked.preset], paths, strict=True):
            lines[drawn.name] = compare(drawn.name, [path], asked.rounds, drawn)
        if real := real_clips(asked.preset):
            name = f"{len(real)} real clips"
            lines[name] = compare(name, real, asked.rounds, None)
        peaks = show_peaks(paths[0])
    if asked.json:
        versions = {"av": av.__version__, "decord": decord.__version__}
        asked.json.write_text(json.dumps({"lines": lines, "peak_mib": peaks, "versions": versions}, indent=2))
    return 0 if all(line["fine"] for line in lines.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
