import io
import zipfile
from pathlib import Path
from urllib.error import URLError

import pytest

from blipvid.bench import fetch_metrics
from blipvid.evaluate.captions import java
from tests.bench.call import call

NAMES = ["stanford-corenlp-3.6.0.jar", "stanford-corenlp-3.6.0-models.jar"]


class Answer(io.BytesIO):
    """What urlopen gives."""

    headers: dict[str, str] = {}  # noqa: RUF012


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(java, "package_folder", lambda: tmp_path)
    return tmp_path


def offer(names: list[str], monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Makes the archive what the network holds; returns the addresses that are asked for."""
    packed, asked = io.BytesIO(), []
    with zipfile.ZipFile(packed, "w") as archive:
        for name in names:
            archive.writestr(f"stanford-corenlp-full-2015-12-09/{name}", name.encode())

    def urlopen(address: str, timeout: float) -> Answer:
        asked.append(address)
        return Answer(packed.getvalue())

    monkeypatch.setattr(fetch_metrics, "urlopen", urlopen)
    return asked


def test_models_are_put_where_spice_looks_for_them_once(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = offer([*NAMES, "README.txt"], monkeypatch)
    found = call("fetch-metrics")
    assert found.code == 0
    assert f"the models of SPICE are in {package / 'spice' / 'lib'}; METEOR and SPICE need Java as well" in found.err
    assert sorted(path.name for path in (package / "spice" / "lib").iterdir()) == sorted(NAMES)
    assert [path.read_text() for path in java.spice_models(package)] == NAMES
    assert "are there" in call("fetch-metrics").err
    assert len(asked) == 1


def test_without_network_the_error_says_what_to_do(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def urlopen(address: str, timeout: float) -> Answer:
        raise URLError("no route")

    monkeypatch.setattr(fetch_metrics, "urlopen", urlopen)
    found = call("fetch-metrics")
    assert found.code == 1
    assert found.err.count("\n") == 1
    assert f"connect and try again, or put {NAMES[0]} and {NAMES[1]} out of it into {package}" in found.err


def test_a_wrong_archive_leaves_no_half_of_the_models(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    offer(NAMES[:1], monkeypatch)
    assert call("fetch-metrics").code == 1
    assert "are there" not in call("fetch-metrics").err


def test_without_pycocoevalcap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(java, "package_folder", lambda: None)
    found = call("fetch-metrics")
    assert found.code == 1
    assert "pip install blipvid[caption]" in found.err
