from pathlib import Path

import pytest
from typer.testing import CliRunner

from blipvid.train.cli import app
from tests.train.tiny import write_recipe


def test_training_says_how_it_goes_and_where_the_model_is(tmp_path: Path) -> None:
    path = write_recipe(tmp_path)
    said = CliRunner().invoke(app, [str(path), "--out", str(tmp_path / "out"), "--device", "cpu", "--every", "3"])
    assert said.exit_code == 0, said.output
    assert "step 3/6  itc " in said.output
    assert "pictures/s" in said.output
    assert (tmp_path / "out" / "model" / "tiny.yaml").is_file()


@pytest.mark.parametrize(
    ("changes", "named"), [({"steps": -1}, "steps"), ({"model": "no-such-model"}, "no-such-model")]
)
def test_a_bad_recipe_is_one_line_and_exit_code_2(tmp_path: Path, changes: dict[str, object], named: str) -> None:
    path = write_recipe(tmp_path, **changes)
    said = CliRunner().invoke(app, [str(path), "--out", str(tmp_path / "out")])
    assert said.exit_code == 2
    assert named in said.output
    assert len(said.output.strip().splitlines()) == 1
