"""The shipped benchmark and model files: names, numbers, and the real annotation files of the retrieval sets."""

import json
import zipfile
from collections import Counter
from pathlib import Path

import pytest

from blipvid.bench.labels import CAPTION_MEASURES
from blipvid.core.config import read_yaml
from blipvid.core.errors import DataError
from blipvid.core.places import definitions
from blipvid.data.dataset_schema import QuestionDataset
from blipvid.data.schema import BenchmarkSpec
from blipvid.data.sets import load_set
from blipvid.data.spec import list_benchmarks, load_benchmark
from tests.data.real import lines, load_real, table, videos_of

VIDEO_SETS = ["msrvtt-retrieval", "msrvtt-full-retrieval", "msvd-retrieval", "didemo-retrieval"]
QUESTION_SETS = ["msvd-qa", "msrvtt-qa", "tgif-frameqa", "activitynet-qa", "nextqa", "msrvtt-mc"]
METRICS = {
    "retrieval": {f"{way}_{what}" for way in ("t2v", "v2t") for what in ("r1", "r5", "r10", "mdr", "mnr")},
    "qa": {"generate_accuracy", "rank_accuracy"},
    "choice": {"choice_accuracy"},
    "caption": set(CAPTION_MEASURES),
    "pairs": {"accuracy"},
    "dialog": {"mrr", "r1", "r5", "r10", "mean_rank", "ndcg"},
}
KNOWN_TASKS = {"pretrain", "retrieval", "caption", "vqa", "nlvr", "visdial"}


def test_every_shipped_benchmark_is_valid_and_named_like_its_file() -> None:
    names = list_benchmarks()
    assert {*VIDEO_SETS, *QUESTION_SETS, "demo-retrieval"} <= set(names)
    for name in names:
        spec = load_benchmark(name)
        assert spec.name == name
        assert spec.about
        assert "\n" not in spec.about
        assert spec.dataset.obtain


def metrics_of(spec: BenchmarkSpec) -> set[str]:
    """Names that a row of this benchmark may carry: those of its task, and where kinds are named, of each kind."""
    names = METRICS[spec.task]
    if spec.name == "nocaps-caption":
        return names | {f"{name}_{domain}-domain" for name in names for domain in ("in", "near", "out")}
    kinds = spec.dataset.kinds.values() if isinstance(spec.dataset, QuestionDataset) else ()
    return names | {f"{name}_{kind}" for name in names for kind in kinds}


def test_published_rows_use_our_metric_names_and_our_model_names() -> None:
    models = {path.stem for path in definitions("configs/models").glob("*.yaml")}
    for name in list_benchmarks():
        spec = load_benchmark(name)
        for row in [*spec.published, *spec.compare]:
            assert set(row.metrics) <= metrics_of(spec), row
            assert row.model is None or row.model in models, row
        labels = Counter(row.label for row in [*spec.published, *spec.compare])
        assert not [label for label, count in labels.items() if count > 1]


@pytest.mark.parametrize("name", ["msvd-qa", "msrvtt-qa"])
def test_a_source_that_does_not_say_how_questions_were_answered_has_its_figure_twice(name: str) -> None:
    spec = load_benchmark(name)
    for row in [*spec.published, *spec.compare]:
        assert row.protocol == "not stated"
        assert row.metrics["generate_accuracy"] == row.metrics["rank_accuracy"]
        assert "fine-tuned" not in row.label or row.note == "not zero-shot"
        assert "GPT" not in row.label  # judged by a language model, which is not exact match


def test_the_rows_to_be_reproduced() -> None:
    rows = {row.label: row for row in load_benchmark("msrvtt-retrieval").published}
    blip = rows["BLIP zero-shot"]
    assert blip.metrics == {"t2v_r1": 43.3, "t2v_r5": 65.6, "t2v_r10": 74.7, "t2v_mdr": 2}
    assert (blip.protocol, blip.model) == ("re-ranked", "blip-base-retrieval-coco")


@pytest.mark.parametrize(("name", "accuracy"), [("msvd-qa", 35.2), ("msrvtt-qa", 19.2)])
def test_the_question_rows_to_be_reproduced(name: str, accuracy: float) -> None:
    (row,) = load_benchmark(name).published
    assert row.metrics == {"generate_accuracy": accuracy, "rank_accuracy": accuracy}
    assert row.note is not None
    assert "not on record" in row.note


@pytest.mark.parametrize("name", VIDEO_SETS)
def test_the_released_settings_of_blip(name: str) -> None:
    spec = load_benchmark(name)
    assert (spec.frames.sampler, spec.frames.count, spec.frames.size) == ("blip-compat", 8, 384)
    assert spec.settings.rerank_top_k == 128


@pytest.mark.parametrize("name", VIDEO_SETS)
def test_real_annotations_hold_what_the_benchmark_expects(name: str, test_data: Path, tmp_path: Path) -> None:
    loaded = load_real(name, test_data, tmp_path)
    expect = load_benchmark(name).dataset.expect
    assert (len(loaded.items.clips), len(loaded.items.texts)) == (expect.clips, expect.texts)
    assert loaded.notes == ()
    assert {str(clip.path.relative_to(tmp_path)) for clip in loaded.items.clips} == set(
        videos_of(name, test_data / "data/annotations")
    )


def test_msrvtt_texts_are_those_of_the_csv(test_data: Path, tmp_path: Path) -> None:
    items = load_real("msrvtt-retrieval", test_data, tmp_path).items
    rows = table(test_data / "data/annotations/msrvtt/MSRVTT_JSFUSION_test.csv")
    assert items.texts == tuple(row["sentence"] for row in rows)
    assert len(set(items.texts)) == 995
    assert items.text_clip.tolist() == list(range(1000))


def test_msrvtt_full_has_twenty_texts_a_clip(test_data: Path, tmp_path: Path) -> None:
    items = load_real("msrvtt-full-retrieval", test_data, tmp_path).items
    assert set(Counter(items.text_clip.tolist()).values()) == {20}
    with zipfile.ZipFile(test_data / "data/annotations/msrvtt/test_videodatainfo.json.zip") as archive:
        sentences = json.loads(archive.read("test_videodatainfo.json"))["sentences"]
    for q in (0, 1, 30_000, 59_799):
        assert items.texts[q] == sentences[q]["caption"]
        assert items.text_ids[q] == str(sentences[q]["sen_id"])
        assert items.clips[items.text_clip[q]].id == sentences[q]["video_id"]


def test_msvd_has_21_to_81_texts_a_clip(test_data: Path, tmp_path: Path) -> None:
    items = load_real("msvd-retrieval", test_data, tmp_path).items
    counts = Counter(items.text_clip.tolist()).values()
    assert (min(counts), max(counts)) == (21, 81)


def test_didemo_paragraphs_follow_the_clip4clip_rule(test_data: Path, tmp_path: Path) -> None:
    """Source: ArrowLuo/CLIP4Clip dataloaders/dataloader_didemo_retrieval.py, descriptions joined by one blank."""
    items = load_real("didemo-retrieval", test_data, tmp_path).items
    joined: dict[str, str] = {}
    for row in json.loads((test_data / "data/annotations/didemo/test_data.json").read_text()):
        before = joined.get(row["video"])
        joined[row["video"]] = row["description"] if before is None else f"{before} {row['description']}"
    for text, clip in zip(items.texts, items.clips, strict=True):
        assert text.split() == joined[clip.id].split()


def test_didemo_converted_to_mp4_is_found_by_a_pattern(test_data: Path, tmp_path: Path) -> None:
    other = tmp_path / "converted"
    other.mkdir()
    for one in lines(test_data / "data/annotations/didemo/test_list.txt"):
        (other / f"{one.rpartition('.')[0]}.mp4").touch()
    media = f"{other}/{{clip:stem}}.mp4"
    assert len(load_real("didemo-retrieval", test_data, tmp_path / "root", media=media).items.clips) == 1004


def test_blips_own_list_of_the_same_split_is_read(test_data: Path, tmp_path: Path) -> None:
    theirs = load_real("msrvtt-retrieval", test_data, tmp_path).items
    path = tmp_path / "msrvtt_test.jsonl"
    rows = [
        {"clip_name": clip.id, "caption": text, "retrieval_key": "r"}
        for clip, text in zip(theirs.clips, theirs.texts, strict=True)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    loaded = load_real("msrvtt-retrieval", test_data, tmp_path, annotations=path)
    assert (loaded.items.texts, loaded.items.text_ids) == (theirs.texts, theirs.text_ids)
    assert loaded.notes == ()


def test_missing_videos_of_a_real_set_are_counted(test_data: Path, tmp_path: Path) -> None:
    for clip in load_real("msrvtt-retrieval", test_data, tmp_path).items.clips[::100]:
        clip.path.unlink()
    with pytest.raises(DataError, match=r"10 of 1,000 media files are missing.*CLIP4Clip"):
        load_set(load_benchmark("msrvtt-retrieval"), tmp_path)


# Source: salesforce/BLIP README, tables of pre-trained and fine-tuned checkpoints.
RELEASED = {
    "model_base_14M", "model_base", "model_base_capfilt_large", "model_large", "model_base_retrieval_coco",
    "model_large_retrieval_coco", "model_base_retrieval_flickr", "model_large_retrieval_flickr",
    "model_base_caption_capfilt_large", "model_large_caption", "model_vqa", "model_base_vqa_capfilt_large",
    "model_base_nlvr",
}  # fmt: skip


def test_every_released_checkpoint_has_a_model_file() -> None:
    files = sorted(definitions("configs/models").glob("blip-*.yaml"))
    raws = [read_yaml(path) for path in files]
    assert {Path(raw["checkpoint"]).stem for raw in raws} == RELEASED
    for path, raw in zip(files, raws, strict=True):
        assert raw["name"] == path.stem
        assert raw["task"] in KNOWN_TASKS
        large = "large" in Path(raw["checkpoint"]).stem.split("capfilt_large")[0]
        assert raw["vision"] == ("vit-l16" if large else "vit-b16"), path
        size = {"pretrain": 224, "vqa": 480}.get(raw["task"], 384)
        assert raw["image_size"] == size, path
        assert raw["licence"] == "BSD-3-Clause"
