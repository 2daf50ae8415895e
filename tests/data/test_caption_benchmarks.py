"""The shipped captioning benchmarks, on the real annotation files and on small files in the forms that are in use."""

import json
import zipfile
from collections import Counter
from pathlib import Path

import pytest

from blipvid.core.types import CaptionSet
from blipvid.data.schema import CaptionBenchmark
from blipvid.data.sets import LoadedSet, load_set
from blipvid.data.spec import load_benchmark
from tests.data.real import load_real

PICTURES, VIDEOS = ["coco-caption", "nocaps-caption"], ["msrvtt-caption", "msvd-caption"]


def captions(loaded: LoadedSet) -> CaptionSet:
    assert isinstance(loaded.items, CaptionSet)
    return loaded.items


@pytest.mark.parametrize("name", [*PICTURES, *VIDEOS])
def test_captions_are_written_as_by_the_released_code(name: str) -> None:
    spec = load_benchmark(name)
    assert isinstance(spec, CaptionBenchmark)
    said = spec.settings
    assert (said.prompt, said.search, said.beams, said.max_tokens, said.min_tokens) == (
        "a picture of ",
        "beam",
        3,
        20,
        5,
    )
    assert said.repetition_penalty == (1.1 if name == "nocaps-caption" else 1.0)
    assert spec.model == "blip-base-caption-capfilt-large"


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_is_one_frame(name: str) -> None:
    frames = load_benchmark(name).frames
    assert (frames.count, frames.size, frames.resize) == (1, 384, "bicubic")


@pytest.mark.parametrize("name", VIDEOS)
def test_a_clip_is_the_frames_of_retrieval_and_no_figure_is_published(name: str) -> None:
    spec = load_benchmark(name)
    assert (spec.frames.sampler, spec.frames.count, spec.frames.size) == ("blip-compat", 8, 384)
    assert not spec.published
    assert "the paper gives no figures" in spec.about


def test_the_rows_to_be_reproduced() -> None:
    of_coco = {row.model: row for row in load_benchmark("coco-caption").published}
    assert of_coco["blip-base-caption-capfilt-large"].metrics == {"bleu4": 39.7, "cider": 133.3}
    assert of_coco["blip-large-caption"].metrics == {"bleu4": 40.4, "cider": 136.7}
    of_nocaps = {row.model: row.metrics for row in load_benchmark("nocaps-caption").published}
    base = of_nocaps["blip-base-caption-capfilt-large"]
    assert (base["cider"], base["spice"]) == (109.6, 14.7)
    assert [base[f"cider_{kind}-domain"] for kind in ("in", "near", "out")] == [111.8, 108.6, 111.5]
    assert of_nocaps["blip-large-caption"]["cider_out-domain"] == 115.3


@pytest.mark.parametrize("name", VIDEOS)
def test_real_annotations_hold_what_the_benchmark_expects(name: str, test_data: Path, tmp_path: Path) -> None:
    loaded = load_real(name, test_data, tmp_path)
    items, expect = captions(loaded), load_benchmark(name).dataset.expect.model_dump()
    assert (len(items.clips), sum(map(len, items.references))) == (expect["clips"], expect["captions"])
    assert loaded.notes == ()


def test_msrvtt_captions_are_those_of_the_archive(test_data: Path, tmp_path: Path) -> None:
    items = captions(load_real("msrvtt-caption", test_data, tmp_path))
    with zipfile.ZipFile(test_data / "data/annotations/msrvtt/test_videodatainfo.json.zip") as archive:
        sentences = json.loads(archive.read("test_videodatainfo.json"))["sentences"]
    assert {len(own) for own in items.references} == {20}
    said = Counter((row["video_id"], row["caption"]) for row in sentences)
    assert said == Counter(
        (clip.id, one) for clip, own in zip(items.clips, items.references, strict=True) for one in own
    )
    assert items.ids[0].startswith("video")


def test_msvd_captions_are_those_of_the_listed_clips(test_data: Path, tmp_path: Path) -> None:
    items = captions(load_real("msvd-caption", test_data, tmp_path))
    annotated = json.loads((test_data / "data/annotations/msvd/captions_msvd.json").read_text())
    assert all(list(own) == annotated[clip.id] for clip, own in zip(items.clips, items.references, strict=True))
    counts = [len(own) for own in items.references]
    assert (min(counts), max(counts)) == (21, 81)
    assert items.ids == tuple(clip.id for clip in items.clips)


def test_coco_by_the_released_list(tmp_path: Path) -> None:
    (tmp_path / "coco/val2014").mkdir(parents=True)
    rows = [
        {"image": f"val2014/COCO_val2014_{n:012}.jpg", "caption": [f"caption {k}" for k in range(5)]} for n in (42, 7)
    ]
    for row in rows:
        (tmp_path / "coco" / str(row["image"])).touch()
    path = tmp_path / "coco/coco_karpathy_test.json"
    path.write_text(json.dumps(rows))
    items = captions(load_set(load_benchmark("coco-caption", annotations=path), tmp_path))
    assert items.ids == ("42", "7")
    assert [len(own) for own in items.references] == [5, 5]


def write_nocaps(root: Path) -> Path:
    """Writes annotations in the form of the official file, with their pictures."""
    folder = root / "nocaps"
    (folder / "images").mkdir(parents=True)
    domains = ["in-domain", "near-domain", "out-domain"]
    images = [{"id": k, "file_name": f"{k}a.jpg", "domain": domain} for k, domain in enumerate(domains)]
    rows = [{"image_id": k, "id": 10 * k + n, "caption": f"caption {n} of {k}"} for k in range(3) for n in range(2)]
    for image in images:
        (folder / "images" / str(image["file_name"])).touch()
    path = folder / "nocaps_val_4500_captions.json"
    path.write_text(json.dumps({"images": images, "annotations": rows}))
    return path


def test_nocaps_pictures_and_domains_are_joined_to_its_captions(tmp_path: Path) -> None:
    write_nocaps(tmp_path)
    spec = load_benchmark("nocaps-caption", ["dataset.expect.clips=3", "dataset.expect.captions=6"])
    items = captions(load_set(spec, tmp_path))
    assert items.kinds == ("in-domain", "near-domain", "out-domain")
    assert items.ids == ("0", "1", "2")
    assert items.references[2] == ("caption 0 of 2", "caption 1 of 2")
    assert items.clips[1].path == tmp_path / "nocaps/images/1a.jpg"


def test_a_split_of_nocaps_without_captions(tmp_path: Path) -> None:
    """The file of the test split holds pictures and no captions."""
    whole = json.loads(write_nocaps(tmp_path).read_text())
    path = tmp_path / "nocaps/nocaps_test_image_info.json"
    path.write_text(json.dumps({"images": whole["images"]}))
    changes = ["dataset.records=images", "dataset.join=null", "dataset.fields.clip=id", "dataset.fields.captions=null"]
    items = captions(load_set(load_benchmark("nocaps-caption", changes, annotations=path), tmp_path))
    assert items.references == ((), (), ())
    assert items.ids == ("0", "1", "2")
