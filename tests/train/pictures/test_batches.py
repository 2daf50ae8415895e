import subprocess
import sys

import pytest
import torch

from blipvid.core.errors import DataError
from blipvid.train.pictures.batches import CaptionBatch, QuestionBatch

PIXELS = torch.zeros(2, 3, 8, 8, dtype=torch.uint8)


def test_pictures_of_which_the_same_is_said_share_an_id() -> None:
    said = ["a ring", "a star", "a ring", "a cross", "a star", "a heart"]
    batch = CaptionBatch.gather(torch.zeros(6, 3, 8, 8, dtype=torch.uint8), said)
    assert batch.captions == said
    numbers = list(dict.fromkeys(batch.ids.tolist()))
    assert [numbers.index(own) for own in batch.ids.tolist()] == [0, 1, 0, 2, 1, 3]


def test_every_answer_knows_its_question_and_its_weight() -> None:
    asked = [[("a?", {"red": 0.75, "blue": 0.25}), ("b?", {"two": 1.0})], [("c?", {"one": 1.0}), ("a?", {"red": 0.5})]]
    batch = QuestionBatch.gather(PIXELS, asked)
    assert batch.questions == ["a?", "b?", "c?", "a?"]
    assert batch.answers == ["red", "blue", "two", "one", "red"]
    assert batch.answer_question.tolist() == [0, 0, 1, 2, 3]
    assert batch.weights.tolist() == [0.75, 0.25, 1.0, 1.0, 0.5]


@pytest.mark.parametrize(
    "asked",
    [
        [[("a?", {"red": 1.0})], []],
        [[("a?", {"red": 1.0})], [("a?", {"red": 1.0}), ("b?", {"two": 1.0})]],
        [[("a?", {"red": 1.0})], [("b?", {})]],
        [[], []],
    ],
)
def test_uneven_questions_are_refused(asked: list[list[tuple[str, dict[str, float]]]]) -> None:
    with pytest.raises(DataError, match="equally many questions"):
        QuestionBatch.gather(PIXELS, asked)


def test_ids_of_captions_tell_steps_and_processes_apart() -> None:
    first, second = (CaptionBatch.gather(torch.zeros(2, 3, 4, 4), said).ids for said in (["a", "b"], ["b", "c"]))
    assert first[1] == second[0]
    assert len({*first.tolist(), *second.tolist()}) == 3
    again = "from blipvid.train.pictures.batches import number_of; print(number_of('b'))"
    said = subprocess.run([sys.executable, "-c", again], check=True, capture_output=True, text=True).stdout
    assert int(said) == first[1]
