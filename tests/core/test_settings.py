import pytest
from pydantic import ValidationError

from blipvid.core.settings import AnsweringSettings


def test_one_protocol_or_both() -> None:
    assert AnsweringSettings().answer_by == ("generate",)
    assert AnsweringSettings.model_validate({"answer_by": "rank"}).answer_by == ("rank",)
    assert AnsweringSettings.model_validate({"answer_by": ["rank", "generate"]}).answer_by == ("rank", "generate")


@pytest.mark.parametrize(
    ("said", "wrong"),
    [
        ({"answer_by": []}, "names no protocol"),
        ({"answer_by": ["rank", "rank"]}, "names a protocol twice"),
        ({"answer_by": "guess"}, "answer_by"),
        ({"answers_top_n": 5}, "goes with 'answers: train'"),
        ({"answers": "list.txt", "answers_top_n": 5}, "goes with 'answers: train'"),
        ({"answer_min_tokens": 20}, "'answer_min_tokens' 20 is more than 'answer_max_tokens' 10"),
    ],
)
def test_settings_that_do_not_fit_together(said: dict[str, object], wrong: str) -> None:
    with pytest.raises(ValidationError, match=wrong):
        AnsweringSettings.model_validate(said)
