import math
from typing import Any

import pytest

from blipvid.core.config import Settings, validate
from blipvid.core.errors import ConfigError
from blipvid.train.pictures.settings import Augment, Pictures
from tests.train.files import PLAIN

CAPTIONS = {"kind": "captions", "annotations": "a.json", "images": "pictures"}
SHARDS = {"kind": "shards", "tars": "{00000..00003}.tar"}


class OneSection(Settings):
    pictures: Pictures


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({}, "drawn by a 'source' or read from 'sets'"),
        ({"source": "demo", "sets": [CAPTIONS]}, "drawn by a 'source' or read from 'sets'"),
        ({"sets": [CAPTIONS], "options": {"twins": 1}}, "'options' goes with 'source' only"),
        ({"source": "demo", "augment": {"flip": False}}, "'augment' goes with 'sets' only"),
        ({"sets": [CAPTIONS | {"weight": 1}, SHARDS]}, "all sets have a 'weight' or none"),
        ({"sets": [CAPTIONS | {"weight": 0}]}, r"pictures\.sets\.0\.weight.*greater than 0"),
        ({"sets": [CAPTIONS | {"weight": math.inf}]}, r"pictures\.sets\.0\.weight.*finite number \(found inf\)"),
        ({"sets": [CAPTIONS | {"weight": math.nan}]}, r"pictures\.sets\.0\.weight.*finite number \(found nan\)"),
        ({"source": "demo", "batch_size": 0}, r"pictures\.batch_size.*greater than or equal to 1"),
        (
            {"sets": [CAPTIONS, SHARDS | {"images": "x"}]},
            r"unknown key 'pictures\.sets\.1\.images'.*kind, tars, weight",
        ),
        ({"sets": [{"kind": "captions", "annotations": "a.json"}]}, r"key 'pictures\.sets\.0\.images' is missing"),
        ({"sets": [CAPTIONS | {"annotations": []}]}, r"pictures\.sets\.0\.annotations"),
        (
            {"sets": [{"kind": "captoins"}]},
            r"pictures\.sets\.0.*'captions', 'karpathy', 'questions', 'pairs', 'dialogs'",
        ),
    ],
)
def test_mistakes_are_named(said: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        validate(OneSection, {"pictures": {"batch_size": 2, **said}}, "recipe")


def test_a_recipe_reads_back_as_it_was_written() -> None:
    for said in ({"sets": [CAPTIONS, SHARDS], "augment": PLAIN}, {"source": "demo", "options": {"twin_share": 0.5}}):
        pictures = validate(Pictures, {"batch_size": 2, **said}, "recipe")
        assert Pictures.model_validate_json(pictures.model_dump_json()) == pictures


def test_the_official_augmentation_is_the_default() -> None:
    assert Augment() == Augment(min_scale=0.5, flip=True, randaugment=True)
