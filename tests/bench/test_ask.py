from pathlib import Path

import pytest

from blipvid.core.features import Answer
from tests.bench.call import Called, call
from tests.bench.world import World


def ask(world: World, *arguments: str) -> Called:
    return call("ask", str(world.folder / "clips" / "c0.mp4"), "--model", str(world.model), "--frames", "2", *arguments)


def lines_of_table(text: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.split("│")[1:-1]] for line in text.splitlines() if line.startswith("│")]


def test_each_question_is_answered_with_the_next_best_answers(question_world: World):
    found = ask(question_world, "what runs?", "who sits on the [red] grass?")
    assert found.code == 0
    rows = lines_of_table(found.out)
    assert [row[0] for row in rows] == ["what runs?", "", "", "who sits on the [red] grass?", "", ""]
    assert all(row[2].endswith("%") for row in rows)
    assert "c0.mp4: frames 0, 4 (0.0 to " in found.out
    assert "Answered by tiny, in its own words (generate)." in found.out


def test_answers_are_chosen_from_a_list(question_world: World):
    found = ask(question_world, "what runs?", "--answers", str(question_world.folder / "answers.txt"), "--top", "4")
    assert sorted(row[1] for row in lines_of_table(found.out)) == ["a dog on the grass", "cat", "dog", "red dog"]
    assert "the best of 4 answers (rank:answers.txt)" in found.out


def test_a_window_and_a_long_question_are_obeyed_and_noted(question_world: World):
    found = ask(question_world, "what " * 36, "--start", "0.16", "--top", "1")
    assert found.code == 0
    assert "frames 0, " not in found.out
    assert "only the begin of the question 'what what" in found.out
    assert found.out.count("%") == 1


def test_a_window_is_sampled_by_itself_unless_a_sampler_is_named(question_world: World):
    begin = ("what runs?", "--start", "0.08", "--end", "0.24")
    assert "frames 2, 4 (" in ask(question_world, *begin).out
    found = ask(question_world, *begin, "--sampler", "blip-compat", "--frames", "4")
    assert "frames 2, 4 (" in found.out
    assert "Different frames shown: 2, not the 4 asked for" in found.out


def test_a_short_clip_that_repeats_its_first_frame_is_noted(question_world: World):
    assert "Different frames shown: 1, not the 9 asked for" in ask(question_world, "what runs?", "--frames", "9").out
    assert "Different frames" not in ask(question_world, "what runs?").out


def test_an_order_that_is_not_that_of_probability_is_explained(question_world: World, monkeypatch: pytest.MonkeyPatch):
    for first, explained in ((-2.0, True), (-0.5, False)):
        beams = [Answer("dog", -0.1, first), Answer("cat", -0.2, -1.0)]
        monkeypatch.setattr("blipvid.models.answerer.BlipAnswerer.generate_answers", lambda *_, own=beams: [own])
        found = ask(question_world, "what runs?")
        assert [row[1] for row in lines_of_table(found.out)] == ["dog", "cat"]
        assert ("the highest log-probability a token" in found.out) == explained


@pytest.mark.parametrize("question", ["", "  ", "!!"])
def test_an_empty_question_ends_with_one_sentence(question_world: World, question: str):
    found = ask(question_world, "what runs?", question)
    assert found.code == 2
    assert found.out == ""
    assert found.err == f"error: question 2 is empty ('{question}'); ask something in words.\n"


def test_every_other_mistake_ends_with_one_sentence(world: World, question_world: World, tmp_path: Path):
    (tmp_path / "empty.txt").write_text("\n")
    (tmp_path / "twice.txt").write_text("dog\ncat\ndog\n")
    (tmp_path / "no.mp4").write_bytes(b"no video")
    mistakes = {
        "nothing.txt": ask(question_world, "what?", "--answers", str(tmp_path / "nothing.txt")),
        "no answers": ask(question_world, "what?", "--answers", str(tmp_path / "empty.txt")),
        "'dog'": ask(question_world, "what?", "--answers", str(tmp_path / "twice.txt")),
        "answers no questions": ask(question_world, "what?", "--model", str(world.model)),
        "no such file": call("ask", str(tmp_path / "nothing.mp4"), "what?", "--model", str(question_world.model)),
        "is a folder, not a file": call("ask", str(tmp_path), "what?", "--model", str(question_world.model)),
        "the window from 5 s to 2 s": ask(question_world, "what?", "--start", "5", "--end", "2"),
        "Did you mean 'uniform'": ask(question_world, "what?", "--sampler", "unifrom"),
        "device 'banana'": ask(question_world, "what?", "--device", "banana"),
        "Did you mean": ask(question_world, "what?", "--model", "blip-vqa-capfilt-larg"),
    }
    for said, found in mistakes.items():
        assert found.code == 2, said
        assert said in found.err
        assert found.err.count("\n") == 1
    undecodable = call("ask", str(tmp_path / "no.mp4"), "what?", "--model", str(question_world.model))
    assert undecodable.code == 1
    assert undecodable.err.count("\n") == 1
    assert undecodable.err.endswith("; give another file.\n")
    late = ask(question_world, "what?", "--start", "90")
    assert late.code == 1
    assert late.err.endswith("0.32 s; give another start or end, or another file.\n")
