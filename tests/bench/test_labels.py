import pytest

from blipvid.bench.labels import FigureName, figure, measure_label, metric_label, protocol_of, terms_of
from tests.bench.records import QA_DETAILS, a_caption_run, a_choice_run, a_qa_run, a_run


def test_labels_spell_the_direction_and_leave_foreign_metrics_alone():
    assert metric_label("v2t_mnr") == "video-to-text MnR"
    assert metric_label("itc_t2v_r10") == "ITC only text-to-video R@10"
    assert metric_label("accuracy") == "accuracy"
    assert figure("t2v_mdr", 2.5) == "2.5"


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("t2v_r1", ("", "t2v", "r1", None)),
        ("itc_v2t_mnr", ("itc", "v2t", "mnr", None)),
        ("generate_accuracy", ("", "generate", "accuracy", "all")),
        ("vqa_rank_accuracy_how many", ("vqa", "rank", "accuracy_how many", "how many")),
        ("choice_accuracy_causal", ("", "choice", "accuracy_causal", "causal")),
        ("accuracy", ("", "accuracy", "", None)),
        ("t2v_sum", ("", "t2v_sum", "", None)),
    ],
)
def test_a_name_is_taken_apart(name: str, parts: tuple[str, str, str, str | None]):
    found = FigureName.of(name)
    assert (found.beside, found.owner, found.measure, found.kind) == parts


def test_labels_of_questions_name_the_protocol():
    assert metric_label("generate_accuracy", "generate") == "generate · exact match"
    assert metric_label("rank_accuracy_what", "rank:train-top-1000") == "rank:train-top-1000 · what"
    assert metric_label("vqa_rank_accuracy") == "VQA-normalised rank · exact match"
    assert metric_label("choice_accuracy", "match") == "choice by match · accuracy"
    assert measure_label("rank_accuracy") == measure_label("generate_accuracy") == "exact match"
    assert measure_label("choice_accuracy_causal") == "causal"


PICTURES = {"name": "six", "dataset": {}, "frames": {"count": 1, "resize": "bicubic"}}


def test_of_pictures_the_words_are_those_of_images():
    terms = terms_of(a_run(benchmark=PICTURES))
    assert metric_label("t2v_r1", terms=terms) == "text-to-image R@1"
    assert metric_label("itc_v2t_mdr", terms=terms) == "ITC only image-to-text MdR"
    assert [measure_label(name, terms) for name in ("t2v_r5", "v2t_r5")] == ["t2i R@5", "i2t R@5"]
    one_frame = terms_of(a_run(benchmark={**PICTURES, "frames": {"count": 1, "resize": "decoder"}}))
    assert metric_label("t2v_r1", terms=one_frame) == "text-to-video R@1"


def test_the_measure_of_a_run_names_its_accuracy():
    terms = terms_of(a_qa_run(details={**QA_DETAILS, "measure": "VQA accuracy"}))
    assert metric_label("rank_accuracy", "rank:list.json", terms) == "rank:list.json · VQA accuracy"
    assert metric_label("rank_accuracy_number", "rank", terms) == "rank · number"
    assert measure_label("generate_accuracy", terms) == "VQA accuracy"
    assert measure_label("choice_accuracy", terms) == "accuracy"


def test_each_figure_has_a_protocol():
    assert protocol_of(a_run(), "t2v_r1") == "re-ranked"
    assert protocol_of(a_run(), "itc_t2v_r1") == "cosine"
    assert protocol_of(a_run(details={"score": "cosine"}), "t2v_r1") == "cosine"
    assert protocol_of(a_qa_run(), "vqa_rank_accuracy_what") == "rank:train-top-1000"
    assert protocol_of(a_choice_run(), "choice_accuracy") == "rank"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("bleu4", "BLEU-4"),
        ("rouge_l", "ROUGE-L"),
        ("rouge_l_out-domain", "ROUGE-L · out-domain"),
        ("cider", "CIDEr"),
        ("cider_in-domain", "CIDEr · in-domain"),
        ("spice_near-domain", "SPICE · near-domain"),
    ],
)
def test_figures_of_captions(name: str, words: str):
    assert metric_label(name, "beam") == measure_label(name) == words


def test_figures_of_captions_know_their_kind():
    assert [FigureName.of(name).kind for name in ("cider", "rouge_l", "rouge_l_a_b")] == ["all", "all", "a_b"]
    assert protocol_of(a_caption_run(), "cider_in-domain") == "beam"
