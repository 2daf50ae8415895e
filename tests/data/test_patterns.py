"""Patterns of file names: what may stand in braces."""

import pytest

from blipvid.data.patterns import filled, names_in


@pytest.mark.parametrize(
    ("pattern", "value", "name"),
    [
        ("val/COCO_{clip:012}.jpg", "42", "val/COCO_000000000042.jpg"),
        ("{clip:03}{clip}", "1234", "12341234"),  # longer than asked for: as it is
        ("{clip:stem}.mp4", "a.b.mov", "a.b.mp4"),
        ("{clip:stem}.mp4", ".mov", ".mov.mp4"),
        ("{{{clip}}}", "x", "{x}"),
    ],
)
def test_a_pattern_is_filled_in(pattern: str, value: str, name: str) -> None:
    assert filled(pattern, {"clip": value}) == name
    assert set(names_in(pattern)) == {"clip"}


@pytest.mark.parametrize("pattern", ["{clip:12}", "{clip:0}", "{clip:00}", "{clip:>5}", "{clip!r}", "{clip.x}", "{}"])
def test_nothing_else_stands_in_braces(pattern: str) -> None:
    with pytest.raises(ValueError, match="can stand in braces"):
        list(names_in(pattern))
