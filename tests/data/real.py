"""The real annotation files, with empty files in place of the videos."""

import csv
import json
from pathlib import Path
from typing import Any

from blipvid.data.sets import LoadedSet, load_set
from blipvid.data.spec import load_benchmark

FOLDERS = ("msrvtt", "msvd", "didemo", "msvd_qa", "msrvtt_qa", "tgif_qa", "nextqa")


def lines(path: Path) -> list[str]:
    return path.read_text().split()


def table(path: Path, delimiter: str = ",") -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file, delimiter=delimiter))


def videos_of(name: str, annotations: Path) -> list[str]:
    """File names as the sets' own lists give them, read without blipvid."""
    if name == "msrvtt-retrieval":
        return [
            f"msrvtt/videos/{row['video_id']}.mp4" for row in table(annotations / "msrvtt/MSRVTT_JSFUSION_test.csv")
        ]
    if name in ("msrvtt-full-retrieval", "msrvtt-caption", "msrvtt-qa"):
        return [f"msrvtt/videos/{one}.mp4" for one in lines(annotations / "msrvtt/lists/test_list_full.txt")]
    if name in ("msvd-retrieval", "msvd-caption"):
        return [f"msvd/videos/{one}.avi" for one in lines(annotations / "msvd/test_list.txt")]
    if name == "didemo-retrieval":
        return [f"didemo/videos/{one}" for one in lines(annotations / "didemo/test_list.txt")]
    if name == "msvd-qa":
        file_of = dict(line.split()[::-1] for line in (annotations / "msvd/youtube_mapping.txt").open())
        asked = {row["video_id"] for row in json.loads((annotations / "msvd_qa/test_qa.json").read_text())}
        return [f"msvd/videos/{file_of[f'vid{number}']}.avi" for number in asked]
    if name == "tgif-frameqa":
        rows = table(annotations / "tgif_qa/Test_frameqa_question.csv", "\t")
        return sorted({f"tgif_qa/gifs/{row['gif_name']}.gif" for row in rows})
    assert name == "nextqa"
    folder_of = json.loads((annotations / "nextqa/map_vid_vidorID.json").read_text())
    return sorted({f"nextqa/videos/{folder_of[row['video']]}.mp4" for row in table(annotations / "nextqa/val.csv")})


def load_real(name: str, test_data: Path, root: Path, *overrides: str, **options: Any) -> LoadedSet:
    """Loads a shipped benchmark from the real annotations.

    Args:
        name: The benchmark.
        test_data: The folder that holds data/.
        root: An empty folder that becomes the data root.
        overrides: `key=value` each, as of the command line.
        options: Other arguments of `load_benchmark`.
    """
    annotations = test_data / "data/annotations"
    for folder in FOLDERS:
        (root / folder).mkdir(parents=True, exist_ok=True)
        for one in (annotations / folder).iterdir():
            target = root / folder / one.name
            if one.is_file() and not target.exists():
                target.symlink_to(one)
    for video in videos_of(name, annotations):
        (root / video).parent.mkdir(parents=True, exist_ok=True)
        (root / video).touch()
    return load_set(load_benchmark(name, overrides, **options), root)
