from io import StringIO

from rich.console import Console

from blipvid.bench.progress import BarProgress, LineProgress, format_seconds, progress_on


class Clock:
    """Goes on only when told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def lines_of(text: StringIO) -> list[str]:
    return text.getvalue().splitlines()


def test_lines_come_at_every_tenth_with_rate_and_remaining_time():
    text, clock = StringIO(), Clock()
    progress = LineProgress(Console(file=text), clock)
    progress("encoding clips", 0, 100)
    for done in range(1, 101):
        clock.now += 2.0
        progress("encoding clips", done, 100)
    found = lines_of(text)
    assert found[0] == "encoding clips: 10 of 100 (10%), 0.5/s, 3 min 00 s left"
    assert found[-1] == "encoding clips: 100 of 100 (100%), 0.5/s"
    assert len(found) == 10


def test_a_slow_stage_says_something_every_half_minute():
    text, clock = StringIO(), Clock()
    progress = LineProgress(Console(file=text), clock)
    progress("re-ranking", 0, 1000)
    for done in range(1, 10):
        clock.now += 10.0
        progress("re-ranking", done, 1000)
    assert [line.split(" of ")[0] for line in lines_of(text)] == ["re-ranking: 3", "re-ranking: 6", "re-ranking: 9"]


def test_a_stage_of_an_instant_prints_one_line():
    text, clock = StringIO(), Clock()
    progress = LineProgress(Console(file=text), clock)
    for done in range(51):
        clock.now += 0.001
        progress("encoding texts", done, 50)
    assert len(lines_of(text)) == 1
    assert lines_of(text)[0].startswith("encoding texts: 50 of 50 (100%)")


def test_seconds_of_a_stage_that_first_reports_after_work_begin_where_the_last_stage_ended():
    clock = Clock()
    progress = LineProgress(Console(file=StringIO()), clock)
    progress("one", 0, 2)
    clock.now = 4.0
    progress("one", 2, 2)
    clock.now = 7.0
    progress("two", 1, 1)
    assert progress.seconds == {"one": 4.0, "two": 3.0}


def test_an_empty_stage_does_not_divide_by_zero():
    text = StringIO()
    LineProgress(Console(file=text), Clock())("encoding texts", 0, 0)
    assert lines_of(text) == ["encoding texts: 0 of 0 (100%)"]


def test_a_terminal_gets_bars_and_a_pipe_gets_lines():
    assert isinstance(progress_on(Console(file=StringIO(), force_terminal=True)), BarProgress)
    assert isinstance(progress_on(Console(file=StringIO())), LineProgress)


def test_bars_show_stage_rate_and_counts():
    text = StringIO()
    with BarProgress(Console(file=text, force_terminal=True, width=120)) as progress:
        progress("encoding clips", 0, 4)
        progress("encoding clips", 4, 4)
    assert "encoding clips" in text.getvalue()
    assert "4/4" in text.getvalue()


def test_durations_read_as_a_person_says_them():
    assert [format_seconds(s) for s in (0.4, 59.4, 200, 7500)] == ["0 s", "59 s", "3 min 20 s", "2 h 05 min"]
