"""The Java programs as they should not be: absent, dead, silent, talking nonsense. Python stands in for Java."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from blipvid.evaluate.captions import java
from blipvid.evaluate.captions.scores import score_captions

SAID, MEANT = ["a dog", "a cat"], [["a dog runs"], ["a cat", "the cat"]]

ANSWERS = """
import sys
for line in sys.stdin:
    kind, *parts = line.rstrip("\\n").split(" ||| ")
    if kind == "SCORE":
        print(len(parts), flush=True)
    else:
        print(*([0.5] * len(parts)), 0.25 + float(parts[-1]) / 100, sep="\\n", flush=True)
"""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("meteor", "spice/lib"):
        (tmp_path / name).mkdir(parents=True)
    monkeypatch.setattr(java, "package_folder", lambda: tmp_path)
    monkeypatch.setenv("BLIPVID_CACHE", str(tmp_path / "cache"))
    return tmp_path


def stand_in(folder: Path, program: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes a Python program what is found as Java."""
    path = folder / "java"
    path.write_text(f"#!{sys.executable}\n{program}")
    path.chmod(0o755)
    monkeypatch.setattr(java, "find_java", lambda: str(path))


def add_models(package: Path) -> None:
    for path in java.spice_models(package):
        path.touch()


def test_meteor_is_the_last_answer(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(package, ANSWERS, monkeypatch)
    told = []
    assert java.meteor(SAID, MEANT, progress=lambda *report: told.append(report)) == [pytest.approx(0.28)]
    assert told == [("METEOR", 1, 2), ("METEOR", 2, 2)]
    found = score_captions(SAID, MEANT)
    assert found.metrics["meteor"] == pytest.approx(28)
    assert "meteor" not in found.per_item  # it is no mean of captions
    assert found.not_computed == {"spice": "needs `blipvid fetch-metrics`"}


@pytest.mark.parametrize(
    ("program", "reason"),
    [
        ("import sys; sys.exit('Exception: no memory')", "METEOR ended with code 1: Exception: no memory"),
        ("import sys; sys.stdin.readline(); print(1)", "METEOR ended with code 0: it said nothing"),
        ("import time; time.sleep(60)", "METEOR gave no answer for 0 minutes"),
        ("print('Error: specify hypothesis')\nimport time; time.sleep(60)", "METEOR: Error: specify hypothesis"),
        (ANSWERS.replace("0.25 +", "'x',"), "METEOR ended with|METEOR answered"),
    ],
)
def test_a_meteor_that_fails_costs_only_itself(
    package: Path, monkeypatch: pytest.MonkeyPatch, program: str, reason: str
) -> None:
    monkeypatch.setattr(java, "SILENCE_S", 2.0)
    stand_in(package, program, monkeypatch)
    found = score_captions(SAID, MEANT)
    assert pytest.approx(found.metrics["bleu1"]) == score_captions(SAID, MEANT).metrics["bleu1"]
    assert "meteor" not in found.metrics
    with pytest.raises(java.NotComputedError, match=reason):
        java.meteor(SAID, MEANT)


def test_what_is_missing_is_said(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert score_captions(SAID, MEANT).not_computed == {"meteor": "needs Java", "spice": "needs Java"}
    monkeypatch.setattr(java, "package_folder", lambda: None)
    needed = "needs `pip install blipvid[caption]` and Java"
    assert score_captions(SAID, MEANT).not_computed == {"meteor": needed, "spice": needed}
    monkeypatch.setattr(java, "find_java", lambda: "java")
    assert score_captions(SAID, MEANT).not_computed["spice"] == "needs `pip install blipvid[caption]`"


WRITES = """
import json, sys
given, wanted = sys.argv[sys.argv.index("-jar") + 2], sys.argv[sys.argv.index("-out") + 1]
rows = json.load(open(given))
json.dump([{"image_id": row["image_id"], "scores": {"All": {"f": VALUE}}} for row in rows[::-1]], open(wanted, "w"))
"""


def test_spice_is_read_by_caption(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    add_models(package)
    stand_in(package, WRITES.replace("VALUE", "len(row['refs']) / 4"), monkeypatch)
    assert java.spice(SAID, MEANT).tolist() == [0.25, 0.5]


@pytest.mark.parametrize(
    ("program", "reason"),
    [
        ("import sys; sys.exit('Exception in thread main')", "SPICE ended with code 1: Exception in thread main"),
        ("pass", "SPICE ended with code 0: it said nothing"),
        ("import time; time.sleep(60)", "SPICE did not end in 0 hours"),
        (WRITES.replace("VALUE", "float('nan')"), "SPICE has no number for 2 captions"),
        (WRITES.replace("VALUE", "None"), "SPICE wrote something else than scores"),
    ],
)
def test_a_spice_that_fails_costs_only_itself(
    package: Path, monkeypatch: pytest.MonkeyPatch, program: str, reason: str
) -> None:
    monkeypatch.setattr(java, "SPICE_S", 2.0 if "sleep" in program else 60.0)
    monkeypatch.setattr(java, "SILENCE_S", 0.1)
    add_models(package)
    stand_in(package, program, monkeypatch)
    found = score_captions(SAID, MEANT)
    assert reason in found.not_computed["spice"]
    assert "cider" in found.metrics


def log_starts(program: str, log: Path) -> str:
    """Lets a program note every start and every caption that it is asked to compare."""
    noting = program.replace('if kind == "SCORE":', 'if kind == "SCORE":\n        note("caption")')
    return f"def note(what): print(what, file=open({str(log)!r}, 'a'))\nnote('start'){noting}"


def test_parts_of_a_set_start_no_program_again(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said, meant = [*SAID, "a cow"], [*MEANT, ["a", "b", "c"]]
    log = package / "log"
    add_models(package)
    stand_in(package, log_starts(ANSWERS, log), monkeypatch)
    monkeypatch.setattr(java, "spice", lambda *given: np.array([0.25, 0.5, 0.75]))
    found = score_captions(said, meant, [[0, 2], [1]])
    assert log.read_text().split() == ["start", "caption", "caption", "caption"]
    # the program answers with what the last caption of the set counted: its references and itself
    assert [one.metrics["meteor"] for one in (found, *found.subsets)] == pytest.approx([29, 29, 28])
    assert [one.metrics["spice"] for one in (found, *found.subsets)] == pytest.approx([50, 50, 50])
    assert found.subsets[0].per_item["spice"].tolist() == [25, 75]


@pytest.mark.parametrize("program", ["\nimport time; time.sleep(60)", "\nimport sys; sys.exit(1)"])
def test_a_program_that_fails_is_not_tried_again_for_parts(
    package: Path, monkeypatch: pytest.MonkeyPatch, program: str
) -> None:
    monkeypatch.setattr(java, "SPICE_S", 2.0)
    monkeypatch.setattr(java, "SILENCE_S", 2.0)
    add_models(package)
    stand_in(package, log_starts(program, package / "log"), monkeypatch)
    found = score_captions(SAID, MEANT, [[0], [1]])
    assert (package / "log").read_text().split() == ["start", "start"]  # METEOR and SPICE
    assert set(found.not_computed) == {"meteor", "spice"}
    for part in found.subsets:
        assert part.not_computed == found.not_computed
        assert not {"meteor", "spice"} & set(part.metrics)


def test_the_folder_of_the_package_is_found_without_importing_it() -> None:
    pytest.importorskip("pycocoevalcap.eval")
    folder = java.package_folder()
    assert folder is not None
    assert (folder / "meteor" / "meteor-1.5.jar").is_file()
    assert (folder / "spice" / "spice-1.0.jar").is_file()
    assert json.dumps([path.name for path in java.spice_models(folder)]) == (
        '["stanford-corenlp-3.6.0.jar", "stanford-corenlp-3.6.0-models.jar"]'
    )


def test_a_metric_that_is_not_asked_for_starts_no_program(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(java, "find_java", lambda: pytest.fail("Java was looked for"))
    asked = score_captions(SAID, MEANT, by_java=())
    assert asked.not_computed == {name: "not asked for (`java_metrics`)" for name in ("meteor", "spice")}
    assert "cider" in asked.metrics
