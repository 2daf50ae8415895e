import math

import pytest
from pydantic import ValidationError

from blipvid.core.config import Settings
from blipvid.core.settings import AnsweringSettings, FrameSettings, PairSettings, TaskSettings, Writing


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


@pytest.mark.parametrize(
    ("schema", "key"), [(TaskSettings, "bootstrap_seed"), (PairSettings, "order_seed"), (Writing, "seed")]
)
def test_seeds_are_those_that_numpy_and_torch_take(schema: type[Settings], key: str) -> None:
    assert getattr(schema.model_validate({key: 2**31 - 1}), key) == 2**31 - 1
    for seed in (-1, 2**31, 2**70):
        with pytest.raises(ValidationError, match=key):
            schema.model_validate({key: seed})


@pytest.mark.parametrize("number", [math.inf, -math.inf, math.nan, "inf", "nan"])
def test_numbers_are_finite(number: object) -> None:
    for schema, key in ((FrameSettings, "timeout_s"), (Writing, "repetition_penalty")):
        with pytest.raises(ValidationError, match=rf"{key}\n.*finite"):
            schema.model_validate({key: number})
