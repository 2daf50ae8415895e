"""Shares of the work in real processes: what comes together, what is told, and how failures reach everybody."""

import signal
from pathlib import Path

import numpy as np
import pytest

from blipvid.core.processes import Process, this_process
from blipvid.core.types import Clip, PairSet
from blipvid.evaluate.judging import own_pictures
from blipvid.evaluate.share import ALONE, ProcessShare, joined
from tests.evaluate import on_share
from tests.started import start

THREE = [ProcessShare(Process(rank, 3, rank, 3), None) for rank in range(3)]  # type: ignore[arg-type]


def test_alone_one_has_all_the_work() -> None:
    with joined() as share:
        assert share is ALONE
        assert list(share.own(3)) == [0, 1, 2]
        array = np.arange(3)
        share.fill([0, 2], [array])
        assert array.tolist() == [0, 1, 2]
        assert share.gather("mine") == ["mine"]
        share.leave_rest_to_first()


@pytest.mark.parametrize("n", [0, 1, 2, 3, 10])
def test_each_thing_is_done_by_one(n: int) -> None:
    assert sorted(thing for share in THREE for thing in share.own(n)) == list(range(n))


def test_neighbours_go_to_different_processes() -> None:
    assert [list(share.own(7)) for share in THREE] == [[0, 3, 6], [1, 4], [2, 5]]


def test_pictures_that_meet_stay_together() -> None:
    pairs = [(0, 9), (9, 4), (1, 2), (3, 3), (6, 5), (5, 7)]  # 8 stands in none
    n = len(pairs)
    pictures = tuple(Clip(str(number), Path()) for number in range(10))
    items = PairSet(pictures, np.array(pairs), ("",) * n, ("",) * n, np.ones(n, np.bool_), np.arange(n))
    own = [set(own_pictures(items, share)) for share in THREE]
    assert sorted(picture for mine in own for picture in mine) == list(range(10))
    assert all(any({first, second} <= mine for mine in own) for first, second in pairs)
    assert all(own)  # five groups of pictures
    assert list(own_pictures(items, ALONE)) == list(range(10))


def test_who_one_is_is_said_whole_or_not_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "4")  # schedulers set some of the names for everything that they start
    monkeypatch.setenv("RANK", "2")
    assert this_process() == Process()
    monkeypatch.setenv("LOCAL_RANK", "0")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    assert this_process() == Process(rank=2, count=4, local_rank=0, local_count=2)


def test_what_each_did_comes_together(tmp_path: Path) -> None:
    ended = start(3, tmp_path, on_share.bring_together)
    assert ended.codes == [0, 0, 0], ended.err
    assert ended.out == ["the sum is 91.0\n", "done 0\n", "done 0\n"]


def test_a_failure_reaches_all_at_once_and_the_next_work_begins_together(tmp_path: Path) -> None:
    ended = start(3, tmp_path, on_share.fail)
    assert ended.codes == [0, 0, 0], ended.err
    said = "DecodeError: clip 'c1': no frames. In process {} of 3:"
    assert [out.splitlines() for out in ended.out] == [
        [said.format(1), "ranks [0, 1, 2]", said.format(0)],
        ["done elsewhere with 1", "ranks [0, 1, 2]", "done elsewhere with 1"],
        ["done elsewhere with 1", "ranks [0, 1, 2]", "done elsewhere with 1"],
    ]


def test_a_process_that_is_killed_is_missed_at_once(tmp_path: Path) -> None:
    ended = start(3, tmp_path, on_share.die)
    assert ended.codes == [1, -signal.SIGKILL, 1]
    assert all("another process of this job ended" in ended.out[rank] for rank in (0, 2))


def test_a_process_that_is_stopped_says_so(tmp_path: Path) -> None:
    ended = start(2, tmp_path, on_share.be_stopped)
    assert ended.codes == [1, 1]
    assert [out.count("its launcher stopped it") for out in ended.out] == [1, 1]
    assert "went on" not in "".join(ended.out)


def test_a_process_that_is_stopped_while_it_waits_says_so_when_the_others_end(tmp_path: Path) -> None:
    ended = start(2, tmp_path, on_share.be_stopped_while_waiting)
    assert ended.codes == [1, -signal.SIGKILL], ended.err
    assert ended.out[0].count("its launcher stopped it") == 1


def test_after_the_work_sigterm_is_what_it_was(tmp_path: Path) -> None:
    ended = start(2, tmp_path, on_share.end_well)
    assert ended.codes == [-signal.SIGTERM] * 2
    assert ended.out == ["done\n"] * 2
