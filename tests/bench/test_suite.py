"""Every row of BLIP's paper has a benchmark, and a released checkpoint or a recipe."""

import csv
import functools
import io
import json
import shlex
import subprocess
import sys

import pytest

from blipvid.bench import suite
from blipvid.bench.suite import TABLES, SuiteRow
from blipvid.data.spec import list_benchmarks
from blipvid.models.zoo import list_models
from blipvid.train.recipe import list_recipes, load_recipe
from tests.bench.call import call

OF_14M, OF_129M, CAPFILT_L, VIT_L = "14M", "129M", "CapFilt-L", "ViT-L"
RECALL = ("v2t_r1", "v2t_r5", "v2t_r10", "t2v_r1", "t2v_r5", "t2v_r10")

# arXiv:2201.12086v2, the rows about BLIP: text retrieval R@1/5/10, then image retrieval R@1/5/10
RETRIEVAL = {
    (5, "coco-retrieval"): {
        OF_14M: (80.6, 95.2, 97.6, 63.1, 85.3, 91.1),
        OF_129M: (81.9, 95.4, 97.8, 64.3, 85.7, 91.5),
        CAPFILT_L: (81.2, 95.7, 97.9, 64.1, 85.8, 91.6),
        VIT_L: (82.4, 95.4, 97.9, 65.1, 86.3, 91.8),
    },
    (5, "flickr30k-retrieval"): {
        OF_14M: (96.6, 99.8, 100.0, 87.2, 97.5, 98.8),
        OF_129M: (97.3, 99.9, 100.0, 87.3, 97.6, 98.9),
        CAPFILT_L: (97.2, 99.9, 100.0, 87.5, 97.7, 98.9),
        VIT_L: (97.4, 99.8, 99.9, 87.6, 97.7, 99.0),
    },
    (6, "flickr30k-retrieval-zeroshot"): {
        OF_14M: (94.8, 99.7, 100.0, 84.9, 96.7, 98.3),
        OF_129M: (96.0, 99.9, 100.0, 85.0, 96.8, 98.6),
        CAPFILT_L: (96.0, 99.9, 100.0, 85.5, 96.8, 98.7),
        VIT_L: (96.7, 100.0, 100.0, 86.7, 97.3, 98.7),
    },
}
# COCO B@4/CIDEr; NoCaps CIDEr/SPICE in, near, out, overall
COCO_CAPTIONS = {
    OF_14M: (38.6, 129.7),
    OF_129M: (39.4, 131.4),
    CAPFILT_L: (39.7, 133.3),
    VIT_L: (40.4, 136.7),
}
NOCAPS = {
    OF_14M: (111.3, 15.1, 104.5, 14.4, 102.4, 13.7, 105.1, 14.4),
    OF_129M: (109.1, 14.8, 105.8, 14.4, 105.7, 13.7, 106.3, 14.3),
    CAPFILT_L: (111.8, 14.9, 108.6, 14.8, 111.5, 14.2, 109.6, 14.7),
    VIT_L: (114.9, 15.2, 112.1, 14.9, 115.3, 14.4, 113.2, 14.8),
}
VQA = {OF_14M: (77.54, 77.62), OF_129M: (78.24, 78.17), CAPFILT_L: (78.25, 78.32)}  # test-dev, test-std
NLVR2 = {OF_14M: (82.67, 82.30), OF_129M: (82.48, 83.08), CAPFILT_L: (82.15, 82.24)}  # dev, test-P
VISDIAL = {"mrr": 69.41, "r1": 56.44, "r5": 85.90, "r10": 93.30, "mean_rank": 3.20}

STARTS = {OF_14M: "blip-base-14m", OF_129M: "blip-base", CAPFILT_L: "blip-base-capfilt-large", VIT_L: "blip-large"}
# salesforce/BLIP README: the fine-tuned checkpoints that were released, under their names here
RELEASED = {
    "coco-retrieval": {OF_129M: "blip-base-retrieval-coco", VIT_L: "blip-large-retrieval-coco"},
    "flickr30k-retrieval": {OF_129M: "blip-base-retrieval-flickr", VIT_L: "blip-large-retrieval-flickr"},
    "flickr30k-retrieval-zeroshot": {OF_129M: "blip-base-retrieval-coco", VIT_L: "blip-large-retrieval-coco"},
    "coco-caption": {CAPFILT_L: "blip-base-caption-capfilt-large", VIT_L: "blip-large-caption"},
    "nocaps-caption": {CAPFILT_L: "blip-base-caption-capfilt-large", VIT_L: "blip-large-caption"},
    "vqa2-test": {OF_129M: "blip-vqa", CAPFILT_L: "blip-vqa-capfilt-large"},
    "nlvr2-dev": {OF_129M: "blip-base-nlvr"},
    "nlvr2-test": {OF_129M: "blip-base-nlvr"},
}
RECIPES = {
    "coco-retrieval": "retrieval-coco-base",
    "flickr30k-retrieval": "retrieval-flickr-base",
    "flickr30k-retrieval-zeroshot": "retrieval-coco-base",
    "coco-caption": "caption-coco-base",
    "nocaps-caption": "caption-coco-base",
    "vqa2-test": "vqa-base",
    "nlvr2-dev": "nlvr-base",
    "nlvr2-test": "nlvr-base",
}

Figures = frozenset[tuple[str, float]]


def wanted() -> list[tuple[int, str, str, Figures]]:
    """Table, benchmark, pre-training, figures; a row of two splits is two."""
    found = []

    def add(table: int, benchmark: str, kind: str, **figures: float) -> None:
        found.append((table, benchmark, kind, frozenset(figures.items())))

    for (table, benchmark), rows in RETRIEVAL.items():
        for kind, values in rows.items():
            add(table, benchmark, kind, **dict(zip(RECALL, values, strict=True)))
    for kind, (bleu4, cider) in COCO_CAPTIONS.items():
        add(7, "coco-caption", kind, bleu4=bleu4, cider=cider)
    domains = ("_in-domain", "_near-domain", "_out-domain", "")
    names = [f"{measure}{domain}" for domain in domains for measure in ("cider", "spice")]
    for kind, values in NOCAPS.items():
        add(7, "nocaps-caption", kind, **dict(zip(names, values, strict=True)))
    for kind, values in VQA.items():
        for value in values:
            add(8, "vqa2-test", kind, rank_accuracy=value)
    for kind, values in NLVR2.items():
        for split, value in zip(("nlvr2-dev", "nlvr2-test"), values, strict=True):
            add(8, split, kind, accuracy=value)
    return found


paper_rows = functools.cache(suite.paper_rows)


def figures(row: SuiteRow) -> Figures:
    return frozenset(row.row.metrics.items())


@pytest.mark.parametrize(("table", "benchmark", "kind", "said"), wanted())
def test_a_row_of_the_paper_is_there_with_its_checkpoint(table: int, benchmark: str, kind: str, said: Figures):
    rows = [one for one in paper_rows() if (one.table, one.spec.name) == (table, benchmark) and figures(one) == said]
    (row,) = (one.row for one in rows)
    released = RELEASED[benchmark].get(kind)
    assert row.model == released
    if released:
        assert row.recipe is None
    else:
        assert row.recipe == RECIPES[benchmark]
        assert (row.start_from or load_recipe(row.recipe).start_from) == STARTS[kind]


def test_the_other_tables_have_one_row_each_set():
    rows = {(one.table, one.spec.name): one for one in paper_rows() if one.table >= 9}
    assert set(rows) == {(9, "visdial"), (10, "msrvtt-retrieval"), (11, "msvd-qa"), (11, "msrvtt-qa")}
    assert rows[9, "visdial"].row.metrics == VISDIAL
    assert (rows[9, "visdial"].row.model, rows[9, "visdial"].row.recipe) == (None, "visdial-base")
    assert figures(rows[10, "msrvtt-retrieval"]) == {
        ("t2v_r1", 43.3),
        ("t2v_r5", 65.6),
        ("t2v_r10", 74.7),
        ("t2v_mdr", 2),
    }
    assert rows[10, "msrvtt-retrieval"].row.model == "blip-base-retrieval-coco"
    for name, value in (("msvd-qa", 35.2), ("msrvtt-qa", 19.2)):
        assert set(rows[11, name].row.metrics.values()) == {value}
        assert "not on record" in rows[11, name].checkpoint
        assert f"{name} --model blip-vqa-capfilt-large" in rows[11, name].command(None)


def test_there_are_no_other_rows():
    rows = paper_rows()
    assert {one.table for one in rows} == set(TABLES)
    assert len(rows) == len(wanted()) + 4
    assert len({(one.spec.name, one.row.label) for one in rows}) == len(rows)


def test_all_that_is_named_exists():
    for one in paper_rows():
        assert one.spec.name in list_benchmarks()
        assert one.row.model is None or one.row.recipe is None
        for model in (one.row.model, one.row.start_from):
            assert model is None or model in list_models()
        assert one.row.recipe is None or one.row.recipe in list_recipes()


def test_the_model_of_a_command_is_what_the_recipe_leaves():
    for one in paper_rows():
        words = shlex.split(one.command(None))
        model = words[words.index("--model") + 1]
        if one.row.recipe is None:
            assert model in list_models()
        else:
            assert (
                load_recipe(one.row.recipe)
                .model.removesuffix(".yaml")
                .endswith(model.split("/")[-1].removesuffix(".yaml"))
            )
            assert model.startswith(f"runs/{one.row.recipe}/model/")


def test_formats_hold_the_same_rows():
    rows = paper_rows()
    listed = json.loads(call("bench", "--suite", "paper", "--format", "json").out)
    told = list(csv.DictReader(io.StringIO(call("bench", "--suite", "paper", "--format", "csv").out)))
    assert len(told) == len(listed) == sum(len(one.row.metrics) for one in rows)
    assert {(line["benchmark"], line["row"], line["metric"], str(line["published"])) for line in listed} == {
        (line["benchmark"], line["row"], line["metric"], line["published"]) for line in told
    }
    markdown = call("bench", "--suite", "paper", "--format", "markdown").out.splitlines()
    assert len(markdown) == len(rows) + 2
    assert all(line.startswith("|") for line in markdown)
    assert call("bench", "--suite", "paper", "--format", "latex").out.count("\\\\") == len(rows) + 1


def test_a_terminal_shows_a_table_for_each_of_the_paper():
    found = call("bench", "--suite", "paper", "--data-root", "/my data")
    assert found.code == 0
    for table, about in TABLES.items():
        assert f"Table {table}. {about}" in found.out
    assert "blipvid train vqa-base --data-root '/my data'" in found.out
    commands = json.loads(call("bench", "--suite", "paper", "--data-root", "/my data", "--format", "json").out)
    assert all(line["command"].endswith("--data-root '/my data'") for line in commands)


def test_the_listing_needs_nothing_heavy():
    code = (
        "import sys\n"
        "from blipvid.bench.cli import main\n"
        "try: main(['bench', '--suite', 'paper', '--format', 'csv'])\n"
        "except SystemExit as end: assert not end.code, end.code\n"
        "print('HEAVY', *[name for name in ('torch', 'transformers', 'pandas', 'scipy', 'av') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "HEAVY"


def test_each_row_stands_before_its_own_commands():
    lines = call("bench", "--suite", "paper").out.splitlines()
    labels = [f"# {row.spec.name}, {row.row.label}" for row in paper_rows()]
    assert [line for line in lines if line.startswith("# ")] == labels
    for place, line in enumerate(lines):
        if line == "# coco-retrieval, BLIP 14M":
            train, bench = lines[place + 1 : place + 3]
            assert train.startswith("blipvid train retrieval-coco-base --data-root DIR  # ")
            assert train.endswith("start_from: blip-base-14m")
            assert bench.startswith("python run_bench.py coco-retrieval --model runs/retrieval-coco-base/")
