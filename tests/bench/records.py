"""A run record as it would be written, with whatever a test wants changed."""

from datetime import UTC, datetime
from typing import Any

from blipvid.bench.record import Coverage, DataRecord, Environment, ModelRecord, Run

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
