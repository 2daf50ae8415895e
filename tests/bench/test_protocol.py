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
    assert "another checkpoint" in caveats(spec, loaded("mine"), METRICS, "fp32")[0]
    assert caveats(spec, loaded("base"), METRICS, "fp32") == ()


def test_a_published_row_without_a_figure_of_ours_is_no_reason_to_beware(world: World):
    spec = load_benchmark(str(world.benchmark)).model_copy(update={"published": [row("base", model="base")]})
    assert caveats(spec, loaded("mine"), {}, "fp32") == ()
    assert caveats(spec, loaded("mine"), {"v2t_r1": 36.0}, "fp32") == ()


def test_no_difference_is_made_where_figures_do_not_compare(world: World):
    published, _ = published_beside(load_benchmark(str(world.benchmark)), METRICS, "tiny", comparable=False)
    assert published[0].differences == {}


def test_caveats_name_changed_settings_resized_pictures_and_low_precision(world: World):
    spec = load_benchmark(str(world.benchmark), ["frames.count=4"])
    found = " ".join(caveats(spec, loaded(trained=224, now=384), METRICS, "bf16"))
    assert "frames.count=4" in found
    assert "384 px" in found
    assert "224 px" in found
    assert "bf16" in found


def test_the_sentence_names_everything_that_can_change_an_answer():
    spec = load_benchmark("msvd-qa", ["answer_by=[generate, rank]", "answers=train", "answers_top_n=1000"])
    sentence = protocol_sentence(spec)
    for part in (
        "16 frames",
        "480 px",
        "50 words and 35 tokens",
        "'generate': answers in the model's own words by beam search, 3 beams, 1 to 10 tokens",
        "sees no padding of the question, so no answer depends on which others",
        "'rank': the best of the 1,000 most frequent answers of the training split",
        "the 128 answers whose first token",
        "letter by letter",
        "VQA-normalised",
        "every question counts",
        "reconstruction",
    ):
        assert part in sentence


def test_the_sentence_of_pictures_speaks_of_no_frames_and_of_no_reconstruction():
    asked = protocol_sentence(load_benchmark("vqa2-val"))
    assert "still pictures, 480 px, resize 'bicubic'; questions cut" in asked
    assert "those of several annotators it is the accuracy of that evaluation" in asked
    assert "reconstruction" not in asked
    ranked = protocol_sentence(load_benchmark("coco-retrieval"))
    for part in ("still pictures, 384 px", "30 words", "256 best", "image-to-text 'any-text'"):
        assert part in ranked
    assert "video" not in ranked


def test_each_protocol_is_described_only_where_it_runs():
    generated = protocol_sentence(load_benchmark("msvd-qa", ["answer_by=generate", "question_mask=ones", "beams=1"]))
    assert "'rank'" not in generated
    assert "greedy search" in generated
    assert "as in the released code, each question padded to the longest of its 32" in generated
    ranked = protocol_sentence(load_benchmark("msvd-qa", ["answer_by=rank", "answers=my list.txt", "answer_top_k=0"]))
    assert "'generate'" not in ranked
    assert "padding" not in ranked
    assert "best of 'my list.txt'" in ranked
    assert "all answers are scored in full" in ranked


def test_the_sentence_says_how_options_are_chosen():
    ranked = protocol_sentence(load_benchmark("nextqa", ["choose_by=rank"]))
    assert "'rank': the option with the lowest label-smoothed loss" in ranked
    assert "reconstruction" in ranked
    matched = protocol_sentence(load_benchmark("msrvtt-mc", ["choose_by=match"]))
    assert "'match': the option with the highest ITM logit + cosine" in matched
    assert "40 words and 35 tokens" in matched
    assert "reconstruction" not in matched


def test_a_limit_asks_other_questions():
    (reason,) = why_not_comparable(load_benchmark("msvd-qa"), 20, 20)
    assert reason == "--limit 20 asks only a part of the questions behind the published figures"
    assert why_not_comparable(load_benchmark("msvd-qa"), 5000, 504) == ()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("question_tokens=600", "questions are cut to 512 tokens and not to 600"),
        ("answer_max_tokens=700", "answers are cut to 512 tokens and not to 700"),
    ],
)
def test_what_the_model_has_no_positions_for_is_a_caveat(change: str, said: str):
    assert said in " ".join(caveats(load_benchmark("msvd-qa", [change]), loaded(), METRICS, "fp32"))
    assert "are cut to" not in " ".join(caveats(load_benchmark("msvd-qa"), loaded(), METRICS, "fp32"))


def test_options_are_read_by_one_tower_or_the_other():
    longer = ["text_tokens=600", "question_tokens=700"]
    matched = " ".join(caveats(load_benchmark("msrvtt-mc", ["choose_by=match", *longer]), loaded(), METRICS, "fp32"))
    assert "texts are cut to 512 tokens and not to 600" in matched
    assert "questions are cut" not in matched


def test_another_list_of_answers_is_a_caveat_and_not_another_set():
    spec = load_benchmark("msvd-qa", ["answer_by=rank", "dataset.answers=mine.txt"])
    assert why_not_comparable(spec, None, 504) == ()
    assert "dataset.answers=mine.txt" in " ".join(caveats(spec, loaded(), METRICS, "fp32"))
    other = load_benchmark("msvd-qa", ["dataset.annotations=mine.json"])
    assert "mine.json" in why_not_comparable(other, None, 504)[0]


def test_the_sentence_says_how_captions_are_written():
    sentence = protocol_sentence(load_benchmark("nocaps-caption"))
    for part in (
        "still pictures, 384 px",
        "captions after 'a picture of ', which is cut off again, by beam search, 3 beams, repetition penalty 1.1",
        "5 to 20 tokens with the opening one and the prompt",
        "split into words as by the Penn Treebank tokenizer",
    ):
        assert part in sentence
    assert "repetition penalty" not in protocol_sentence(load_benchmark("coco-caption"))
    drawn = protocol_sentence(load_benchmark("msrvtt-caption", ["search=nucleus", "settings.seed=7", "top_p=0.8"]))
    for part in ("nucleus sampling, top_p 0.8, top_k 50 and repetition penalty 1.1", "seed 7", "8 frames a clip"):
        assert part in drawn
    assert "beams" not in drawn
    assert "greedy search" in protocol_sentence(load_benchmark("coco-caption", ["beams=1"]))


def test_a_limit_captions_other_clips():
    reasons = why_not_comparable(load_benchmark("coco-caption"), 100, 100)
    assert reasons == ("--limit 100 captions only a part of the clips behind the published figures",)
