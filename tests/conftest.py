"""Fixtures for all tests: where the recorded data and the real media are, and a generator that leaks no state."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from tests.load_goldens import Goldens

SHIPPED_GOLDENS = Path(__file__).parent / "goldens"


@pytest.fixture(scope="session")
def test_data() -> Path:
    """The folder that holds data/ and goldens/; tests that need it are skipped, visibly, where it is not given."""
    folder = os.environ.get("BLIPVID_TEST_DATA")
    if not folder:
        pytest.skip("BLIPVID_TEST_DATA is not set (the folder that holds data/ and goldens/)")
    return Path(folder)


@pytest.fixture(scope="session")
def goldens() -> Goldens:
    """The recorded cases of the official code: the full set where BLIPVID_TEST_DATA is given, else those shipped."""
    folder = os.environ.get("BLIPVID_TEST_DATA")
    return Goldens(Path(folder) / "goldens" if folder else SHIPPED_GOLDENS)


@pytest.fixture(autouse=True)
def _keep_torch_rng() -> Iterator[None]:
    state = torch.random.get_rng_state()
    yield
    torch.random.set_rng_state(state)


@pytest.fixture(autouse=True)
def _without_java(request: pytest.FixtureRequest) -> Iterator[None]:
    """METEOR takes seconds to start, so captions are scored without it but where a test asks for it."""
    with pytest.MonkeyPatch.context() as patch:
        if "java" not in request.keywords:
            patch.setattr("blipvid.evaluate.captions.java.find_java", lambda: None)
        yield
