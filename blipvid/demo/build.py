"""Makes the demo benchmarks' files on first use: clips as H.264 with captions and questions, pairs of pictures.

Announced by entry points, as a builder and readers of anybody's own would be.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from blipvid.core.files import replacing
from blipvid.core.places import cache_folder
from blipvid.demo.clips import FPS, SEED, SIZE_PX, DrawnClip, held_out_clips
from blipvid.demo.pairs import PICTURE_PX, DrawnPair, held_out_pairs
from blipvid.demo.questions import all_answers, clip_questions, one_of_each
from blipvid.demo.shapes import draw

CAPTIONS, QUESTIONS, ANSWERS, PAIRS = "captions.jsonl", "questions.jsonl", "answers.txt", "pairs.jsonl"
CODEC = {"crf": "16", "preset": "veryfast", "g": "12", "threads": "1"}
"""One encoder thread, so that the files are the same wherever the same encoder writes them."""


def build(dataset: Any, root: Path | None) -> Path:
    """Draws the clips that are not there yet (entry point `demo` of the group `blipvid.builders`).

    Every file appears whole or not at all, so a build that was killed goes on where it was, and two at once do no harm.

    Args:
        dataset: The benchmark's dataset section; nothing in it is needed.
        root: The data root; the demo world has its own.

    Returns:
        The folder that holds `clips/{id}.mp4`, `captions.jsonl`, `questions.jsonl`, `answers.txt`,
        `pictures/{id}.png` and `pairs.jsonl`.
    """
    folder = cache_folder() / "demo" / world_version()
    if (folder / PAIRS).is_file():  # written last
        return folder
    clips = held_out_clips()
    for clip in clips:
        path = folder / "clips" / f"{clip.id}.mp4"
        if not path.is_file():
            with replacing(path) as temporary:
                write_clip(clip, temporary)
    _write_lines(folder / CAPTIONS, _caption_rows(clips))
    _write(folder / ANSWERS, "".join(f"{answer}\n" for answer in all_answers()))
    _write_lines(folder / QUESTIONS, question_rows(clips))
    pairs = held_out_pairs()
    for pair in pairs:
        _write_pictures(pair, folder / "pictures")
    _write_lines(folder / PAIRS, pair_rows(pairs))
    return folder


def read_rows(dataset: Any, root: Path) -> Iterable[dict[str, Any]]:
    """Gives one row a clip, in field names (entry point `demo` of the group `blipvid.annotations`).

    Args:
        dataset: The benchmark's dataset section; nothing in it is needed.
        root: Where the files lie; the rows are the same everywhere.

    Yields:
        `clip`, its id, and `text`, its caption.
    """
    for clip in held_out_clips():
        yield {"clip": clip.id, "text": clip.caption}


def read_questions(dataset: Any, root: Path) -> Iterable[dict[str, Any]]:
    """Gives one row a question, in field names (entry point `demo-questions` of the group `blipvid.annotations`).

    Args:
        dataset: The benchmark's dataset section; nothing in it is needed.
        root: The folder that was built.

    Yields:
        `id`, `clip`, `kind`, `question` and `answer`.
    """
    for line in (root / QUESTIONS).read_text(encoding="utf-8").splitlines():
        yield json.loads(line)


def world_version() -> str:
    """Returns twelve hex digits that change whenever the code that draws and writes the world does."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def write_clip(clip: DrawnClip, path: Path) -> None:
    """Writes one clip as H.264 in mp4.

    Args:
        clip: What to draw.
        path: The file, whatever it ends in.
    """
    import av
    from av.video.reformatter import VideoReformatter

    to_yuv = VideoReformatter()  # one for all frames: setting it up costs more than converting
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=FPS, options=CODEC)
        stream.width, stream.height, stream.pix_fmt = SIZE_PX, SIZE_PX, "yuv420p"
        for picture in clip.frames():
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            container.mux(stream.encode(to_yuv.reformat(frame, format="yuv420p")))
        container.mux(stream.encode())


def _caption_rows(clips: Iterable[DrawnClip]) -> Iterator[dict[str, Any]]:
    for clip in clips:
        yield {"clip": clip.id, "caption": clip.caption, "twin": clip.twin, "twist": clip.twist}


def question_rows(clips: Iterable[DrawnClip]) -> Iterator[dict[str, Any]]:
    """Yields the questions about clips, as `read_questions` gives them."""
    rng, asked = np.random.default_rng(SEED), Counter[str]()
    for clip in clips:
        for question in one_of_each(rng, clip_questions(clip), asked):
            yield {
                "id": f"{clip.id}-{question.asks}",
                "clip": clip.id,
                "kind": question.asks,
                "question": question.question,
                "answer": question.answer,
            }


def pair_rows(pairs: Iterable[DrawnPair]) -> Iterator[dict[str, Any]]:
    """Yields the sentences about pairs of pictures, two about each pair."""
    for pair in pairs:
        for label, sentence in ((True, pair.true), (False, pair.false)):
            yield {
                "id": f"{pair.id}-{str(label).lower()}",
                "group": pair.id,
                "images": list(pair.names),
                "sentence": sentence,
                "label": label,
            }


def _write_pictures(pair: DrawnPair, folder: Path) -> None:
    for name, scene in zip(pair.names, pair.scenes, strict=True):
        path = folder / f"{name}.png"
        if not path.is_file():
            with replacing(path) as temporary:
                picture = Image.fromarray(draw(scene.background, [*scene.things()], PICTURE_PX))
                picture.save(temporary, format="PNG")


def _write_lines(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    _write(path, "".join(json.dumps(row) + "\n" for row in rows))


def _write(path: Path, text: str) -> None:
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
