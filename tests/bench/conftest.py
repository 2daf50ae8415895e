"""Fixtures of the bench tests."""

from pathlib import Path

import pytest

from tests.bench.call import call
from tests.bench.world import World, make_caption_world, make_question_world, make_world


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """A small world, written once; tests write their own files elsewhere or under names of their own."""
    return make_world(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="session")
def run_folder(world: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of one finished run of the world, with scores."""
    folder = tmp_path_factory.mktemp("runs") / "six"
    assert call(*world.arguments(folder, "--save-scores")).code == 0
    return folder


@pytest.fixture(scope="session")
def question_world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """A small world with questions; the same manners."""
    return make_question_world(tmp_path_factory.mktemp("questions"))


@pytest.fixture(scope="session")
def caption_world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """A small world to be captioned; the same manners."""
    return make_caption_world(tmp_path_factory.mktemp("captions"))
