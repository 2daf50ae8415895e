from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from blipvid.bench.protocol import caveats, protocol_sentence, published_beside, why_not_comparable
from blipvid.data.schema import Published
from blipvid.data.spec import load_benchmark
from blipvid.models.spec import TEXT_SIZES
from tests.bench.world import World

METRICS = {"t2v_r1": 45.0, "v2t_r1": 36.0}


def row(label: str, **keys: Any) -> Published:
    return Published(**{"label": label, "metrics": {"t2v_r1": 43.3}, "source": "s", "protocol": "re-ranked", **keys})


def loaded(name: str = "tiny", trained: int = 384, now: int = 384) -> Any:
    return SimpleNamespace(
        spec=SimpleNamespace(name=name, image_size=trained, text=TEXT_SIZES["bert-base"]), image_size=now
    )


def test_the_sentence_names_everything_that_can_change_a_number():
    spec = load_benchmark("msrvtt-retrieval", ["ties=blip", "on_error=skip", "frames.sampler=random", "frames.seed=7"])
    sentence = protocol_sentence(spec)
    for part in ("8 frames", "'random', seed 7", "384 px", "decoder", "40 words", "35 tokens", "128 best", "released"):
        assert part in sentence
    assert "count as misses" in sentence
    assert "cosine alone" in protocol_sentence(load_benchmark("msrvtt-retrieval", ["rerank_top_k=0"]))


def test_a_whole_run_of_a_shipped_benchmark_is_comparable():
    spec = load_benchmark("msrvtt-retrieval", media="/videos/{clip}.mp4")
    assert why_not_comparable(spec, None, 1000) == ()
    assert why_not_comparable(spec, 1000, 1000) == ()  # a limit that cuts nothing


def test_a_part_of_the_gallery_is_not_comparable():
    (reason,) = why_not_comparable(load_benchmark("msrvtt-retrieval"), 20, 20)
    assert "--limit 20" in reason


def test_other_annotations_are_not_comparable(tmp_path: Path):
    (reason,) = why_not_comparable(load_benchmark("msrvtt-retrieval", annotations=tmp_path / "own.csv"), None, 1000)
    assert "own.csv" in reason


def test_rows_of_the_checkpoint_come_first_and_the_others_beside_other_methods(world: World):
    spec = load_benchmark(str(world.benchmark)).model_copy(
        update={
            "published": [row("base", model="base"), row("large", model="large"), row("unknown")],
            "compare": [row("CLIP")],
        }
    )
    published, compare = published_beside(spec, METRICS, "large", comparable=True)
    assert [found.label for found in published] == ["large"]
    assert [found.label for found in compare] == ["base", "unknown", "CLIP"]
    assert published[0].differences == {"t2v_r1": pytest.approx(1.7)}
    assert all(found.differences == {} for found in compare)


def test_a_model_without_a_row_of_its_own_sees_all_published_rows(world: World):
    spec = load_benchmark(str(world.benchmark)).model_copy(update={"published": [row("base", model="base")]})
    published, _ = published_beside(spec, METRICS, "mine", comparable=True)
    assert [found.label for found in published] == ["base"]
    assert "another checkpoint" in caveats(spec, loaded("mine"), "fp32")[0]
    assert caveats(spec, loaded("base"), "fp32") == ()


def test_no_difference_is_made_where_figures_do_not_compare(world: World):
    published, _ = published_beside(load_benchmark(str(world.benchmark)), METRICS, "tiny", comparable=False)
    assert published[0].differences == {}


def test_caveats_name_changed_settings_resized_pictures_and_low_precision(world: World):
    spec = load_benchmark(str(world.benchmark), ["frames.count=4"])
    found = " ".join(caveats(spec, loaded(trained=224, now=384), "bf16"))
    assert "frames.count=4" in found
    assert "384 px" in found
    assert "224 px" in found
    assert "bf16" in found
