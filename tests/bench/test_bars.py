import re

import pytest

from blipvid.bench.bars import accuracy_picture
from tests.bench.records import a_choice_run, a_qa_run


def words(picture: str) -> list[str]:
    return re.findall(r"<text[^>]*>([^<]*)</text>", picture)


def test_the_picture_names_kinds_counts_protocols_and_the_commonest_answer():
    found = words(accuracy_picture(a_qa_run()))
    for word in ("all", "what", "who", "how", "60", "generate", "rank:train-top-1000", "commonest answer"):
        assert word in found
    assert "chance" not in found


def test_multiple_choice_is_drawn_against_chance():
    found = words(accuracy_picture(a_choice_run()))
    assert {"causal", "temporal", "chance", "rank"} <= set(found)
    assert "commonest answer" not in found


def heights(picture: str, colour: str) -> list[float]:
    """Heights of the bars of one colour, in the units of the picture."""
    bars = re.findall(rf'<path d="M ([^"]*)z\n?" [^>]*style="fill: {colour}"', picture)
    ys = [[float(y) for y in re.findall(r"[\d.]+ ([\d.]+)", bar)] for bar in bars]
    return [max(own) - min(own) for own in ys]


@pytest.mark.parametrize(("colour", "figures"), [("#1f6feb", [35, 30, 40, 50]), ("#d9730d", [33, 31, 36, 36])])
def test_bars_are_as_high_as_the_figures(colour: str, figures: list[float]):
    found = heights(accuracy_picture(a_qa_run()), colour)[: len(figures)]
    assert [height / found[0] for height in found] == pytest.approx(
        [figure / figures[0] for figure in figures], rel=1e-3
    )


def test_a_picture_is_the_same_each_time():
    assert accuracy_picture(a_qa_run()) == accuracy_picture(a_qa_run())
    assert accuracy_picture(a_qa_run()).startswith("<svg")
