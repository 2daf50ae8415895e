"""Run records as they would be written, one a task, with whatever a test wants changed."""

from datetime import UTC, datetime
from typing import Any

from blipvid.bench.record import Comparison, Coverage, DataRecord, Environment, ModelRecord, Run

METRICS = {
    "t2v_r1": 43.25,
    "t2v_mdr": 2.0,
    "t2v_mnr": 14.26,
    "v2t_r1": 35.0,
    "itc_t2v_r1": 30.0,
    "itc_t2v_mdr": 3.5,
    "itc_t2v_mnr": 20.0,
    "itc_v2t_r1": 31.0,
}


PAPER = Comparison(
    label="a paper",
    metrics={"t2v_r1": 43.3, "t2v_mdr": 2},
    differences={"t2v_r1": 43.25 - 43.3, "t2v_mdr": 0.0},
    source="Table 10",
    checkpoint="ViT-B",
    protocol="re-ranked",
)


def a_run(**changes: Any) -> Run:
    """Returns a record of a re-ranked retrieval run."""
    values: dict[str, Any] = {
        "blipvid": "0.1.0",
        "command": "run_bench.py six",
        "started": datetime(2024, 5, 1, 12, tzinfo=UTC),
        "ended": datetime(2024, 5, 1, 12, 5, tzinfo=UTC),
        "benchmark": {"name": "six", "dataset": {"annotations": "captions.csv"}, "frames": {"count": 8}},
        "protocol": "8 frames a clip.",
        "model": ModelRecord(name="tiny", spec={}, sha256="0" * 64, keys={"matched": 3}, image_size=32),
        "data": DataRecord(annotations="captions.csv", sha256="1" * 64),
        "runtime": {"precision": "fp32"},
        "metrics": METRICS,
        "intervals": {"t2v_r1": (40.15, 46.35), "t2v_mdr": (1.5, 3.0)},
        "coverage": Coverage(clips_used=997, clips=1000, items=1000),
        "details": {"score": "matching logit + cosine"},
        "environment": Environment(
            python="3.11", platform="Linux x86_64", packages={}, device="cpu", cpu_threads=2, tf32={}
        ),
    }
    return Run(**{**values, **changes})


COUNTS = {"what": 60, "who": 30, "how": 10, "all": 100}
QA_METRICS = {
    "generate_accuracy": 35.0,
    "generate_accuracy_what": 30.0,
    "generate_accuracy_who": 40.0,
    "generate_accuracy_how": 50.0,
    "vqa_generate_accuracy": 36.0,
    "vqa_generate_accuracy_what": 30.0,
    "vqa_generate_accuracy_who": 40.0,
    "vqa_generate_accuracy_how": 60.0,
    "rank_accuracy": 33.0,
    "rank_accuracy_what": 31.0,
    "rank_accuracy_who": 36.0,
    "rank_accuracy_how": 36.0,
    "vqa_rank_accuracy": 33.5,
    "vqa_rank_accuracy_what": 31.5,
    "vqa_rank_accuracy_who": 36.5,
    "vqa_rank_accuracy_how": 36.5,
}
QA_DETAILS: dict[str, Any] = {
    "protocols": {"generate": "generate", "rank": "rank:train-top-1000"},
    "counts": COUNTS,
    "answer_list": {"name": "train-top-1000", "sha256": "0123456789abcdef" * 4, "size": 1000, "coverage": 93.14},
    "commonest": {"all": 12.0, "what": 9.0, "who": 20.0, "how": 15.0},
    "questions_cut": 2,
    "distinct_answers": {"generate": 40, "rank": 35},
    "paired": {
        "metric": "generate_accuracy",
        "ours": "generate",
        "theirs": "rank",
        "test": "exact McNemar",
        "gained": 8,
        "lost": 6,
        "p": 0.79,
        "note": "takes the questions of one clip as independent, so p is too small",
    },
}
CHOICE_METRICS = {"choice_accuracy": 30.0, "choice_accuracy_causal": 25.0, "choice_accuracy_temporal": 40.0}


def a_qa_run(**changes: Any) -> Run:
    """Returns a record of questions answered in both ways."""
    values: dict[str, Any] = {
        "benchmark": {"name": "asked", "task": "qa", "dataset": {"annotations": "qa.json"}, "frames": {"count": 16}},
        "protocol": "16 frames a clip.",
        "metrics": QA_METRICS,
        "intervals": {name: (value - 4, value + 5) for name, value in QA_METRICS.items()},
        "coverage": Coverage(clips_used=19, clips=20, items=100),
        "details": QA_DETAILS,
    }
    return a_run(**{**values, **changes})


def a_choice_run(**changes: Any) -> Run:
    """Returns a record of multiple choice."""
    values: dict[str, Any] = {
        "benchmark": {
            "name": "chosen",
            "task": "choice",
            "dataset": {"annotations": "mc.csv"},
            "frames": {"count": 16},
        },
        "protocol": "16 frames a clip.",
        "metrics": CHOICE_METRICS,
        "intervals": {"choice_accuracy": (20.0, 41.0)},
        "coverage": Coverage(clips_used=20, clips=20, items=30),
        "details": {
            "protocols": {"choice": "rank"},
            "counts": {"causal": 20, "temporal": 10, "all": 30},
            "chance": {"all": 20.0},
        },
    }
    return a_run(**{**values, **changes})


def a_prediction(number: int, prediction: str | None, answer: str = "dog", **changes: Any) -> dict[str, Any]:
    """Returns one line of predictions of a QA run."""
    row: dict[str, Any] = {
        "id": f"q{number}",
        "clip": f"c{number % 3}",
        "kind": "what",
        "question": f"what runs in scene {number}?",
        "answer": answer,
        "prediction": prediction,
        "score": None if prediction is None else -0.5 - number,
        "protocol": "generate",
    }
    return {**row, **changes}


CAPTION_METRICS = {"bleu4": 39.5, "rouge_l": 60.0, "cider": 133.0, "cider_in-domain": 140.0, "cider_out-domain": 110.0}


def a_caption_run(**changes: Any) -> Run:
    """Returns a record of captions, two measures of which could not be computed."""
    values: dict[str, Any] = {
        "benchmark": {
            "name": "described",
            "task": "caption",
            "dataset": {"annotations": "captions.json"},
            "frames": {"count": 1, "size": 384, "resize": "bicubic"},
        },
        "metrics": CAPTION_METRICS,
        "intervals": {"cider": (128.0, 138.0)},
        "coverage": Coverage(clips_used=50, clips=50, items=50),
        "details": {
            "protocols": {"caption": "beam"},
            "counts": {"in-domain": 30, "out-domain": 20, "all": 50},
            "not_computed": {"meteor": "needs Java", "spice": "needs Java"},
        },
        "published": (
            Comparison(
                label="a paper",
                metrics={"bleu4": 39.7, "cider": 133.3, "spice": 23.7},
                differences={"bleu4": -0.2, "cider": -0.3},
                source="Table 7",
                protocol="beam",
            ),
        ),
    }
    return a_run(**{**values, **changes})
