from pathlib import Path

import pytest

from blipvid.train import loop
from blipvid.train.states import write_metrics
from tests.bench.call import call
from tests.train.tiny import write_recipe


def test_training_says_how_it_goes_and_where_the_model_is(tmp_path: Path) -> None:
    path = write_recipe(tmp_path)
    found = call("train", str(path), "--out", str(tmp_path / "out"), "--device", "cpu", "--every", "3")
    assert found.code == 0, found.err
    assert "step 3/6  itc " in found.out
    assert "pictures/s" in found.out
    assert (tmp_path / "out" / "model" / "tiny.yaml").is_file()


@pytest.mark.parametrize(
    ("changes", "named"), [({"steps": -1}, "steps"), ({"model": "no-such-model"}, "no-such-model")]
)
def test_a_bad_recipe_is_one_line_and_exit_code_2(tmp_path: Path, changes: dict[str, object], named: str) -> None:
    path = write_recipe(tmp_path, **changes)
    found = call("train", str(path), "--out", str(tmp_path / "out"))
    assert found.code == 2
    assert named in found.err
    assert len(found.err.strip().splitlines()) == 1


def test_a_tracker_that_is_not_there_is_named(tmp_path: Path) -> None:
    path = write_recipe(tmp_path)
    found = call("train", str(path), "--out", str(tmp_path / "out"), "--device", "cpu", "--track", "tensorbored")
    assert found.code == 2
    assert "tensorbored" in found.err
    assert len(found.err.strip().splitlines()) == 1


def test_a_stopped_run_says_what_is_left_and_the_next_one_that_it_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ("train", str(write_recipe(tmp_path)), "--out", str(tmp_path / "out"), "--device", "cpu")

    def stopping(file: object, step: int, values: object) -> None:
        if step == 5:
            raise KeyboardInterrupt
        write_metrics(file, step, values)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(loop, "write_metrics", stopping)
        stopped = call(*arguments)
    assert stopped.code == 130
    assert "stopped: the state of step 3" in stopped.err
    gone_on = call(*arguments)
    assert gone_on.code == 0
    assert "going on: the state of step 3" in gone_on.out
