from pathlib import Path

import pytest

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
        "Did you mean": ask(question_world, "what?", "--model", "blip-vqa-capfilt-larg"),
    }
    for said, found in mistakes.items():
        assert found.code == 2, said
        assert said in found.err
        assert found.err.count("\n") == 1
    undecodable = call("ask", str(tmp_path / "no.mp4"), "what?", "--model", str(question_world.model))
    assert undecodable.code == 1
    assert undecodable.err.count("\n") == 1
