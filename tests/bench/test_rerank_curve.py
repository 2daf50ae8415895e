import csv
from pathlib import Path

import pytest

from blipvid.bench.record import read_run
from blipvid.bench.runner import Request, plan
from blipvid.core.errors import ConfigError
from tests.bench.call import call
from tests.bench.test_runner import NOW, a_request
from tests.bench.world import World


def test_the_curve_ends_with_the_figures_of_the_table(world: World, tmp_path: Path):
    assert call(*world.arguments(tmp_path, "--curve")).code == 0
    lines = list(csv.DictReader((tmp_path / "curve.csv").read_text().splitlines()))
    record = read_run(tmp_path)
    assert [line["k"] for line in lines] == [str(k) for k in range(record.benchmark["settings"]["rerank_top_k"] + 1)]
    for name in ("t2v_r1", "t2v_r5", "t2v_r10", "v2t_r1", "v2t_r5", "v2t_r10"):
        assert float(lines[0][name]) == pytest.approx(record.metrics[f"itc_{name}"], abs=1e-4)
        assert float(lines[-1][name]) == pytest.approx(record.metrics[name], abs=1e-4)
    assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG")

    assert call(*world.arguments(tmp_path)).code == 0
    assert not list(tmp_path.glob("curve.*"))  # of another run


def test_where_nothing_is_reranked_a_curve_is_refused(world: World):
    with pytest.raises(ConfigError, match="--curve"):
        plan(a_request(world, curve=True, overrides=["rerank_top_k=0"]), NOW)
    with pytest.raises(ConfigError, match="--curve"):
        plan(Request(benchmarks=["msvd-qa"], curve=True), NOW)
