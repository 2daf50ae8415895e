from importlib.metadata import EntryPoint, version

import pytest

from blipvid.core.registry import Registry


class Package:
    """Whoever announces something."""

    name, version = "films", "1.2"


def test_who_gives_an_entry(monkeypatch: pytest.MonkeyPatch):
    points = [EntryPoint(name, "films:read", "blipvid.readers") for name in ("films", "own", "loose")]
    for point in points[:2]:
        vars(point)["dist"] = Package()
    monkeypatch.setattr("blipvid.core.registry.entry_points", lambda group: points)
    registry = Registry("blipvid.readers", "reader", {"own": print})
    assert registry.giver("own") == "blipvid"
    assert registry.giver("films") == "films 1.2"
    assert registry.giver("loose") == "films:read"


def test_who_gives_what_really_is_announced():
    assert Registry("blipvid.builders", "builder").giver("demo") == f"blipvid {version('blipvid')}"
