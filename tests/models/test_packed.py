"""Matching against the plain order of work, and what it keeps in memory."""

import os
import subprocess
import sys
from collections.abc import Callable
from unittest.mock import patch

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from blipvid.core.features import Texts
from blipvid.models import packed
from blipvid.models.packed import PreparedTexts, pack
from blipvid.models.retriever import MATCH, BlipRetriever
from tests.models.tiny import tiny_retriever


@pytest.fixture(scope="module", params=[1, 2, 3])
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> BlipRetriever:
    text = {"width": 16, "depth": request.param, "heads": 2, "mlp": 32, "max_positions": 40}
    return tiny_retriever(tmp_path_factory.mktemp("tiny"), text=text)


def draw_texts(lengths: list[int]) -> Texts:
    generator = torch.Generator().manual_seed(len(lengths))
    ids = torch.randint(5, 17, (len(lengths), max(lengths)), generator=generator)
    mask = (torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]).long()
    return Texts(ids * mask, mask, torch.zeros(len(lengths), 8))


def plainly(model: BlipRetriever, tokens: torch.Tensor, texts: Texts, row: int) -> torch.Tensor:
    """Scores one pair in the released order: the padded text alone with the clip, every layer in full."""
    ids = texts.ids[row : row + 1].clone()
    ids[:, 0] = model.tokenizer.enc
    states = model.text_encoder(ids, texts.mask[row : row + 1], model.text_encoder.remember(tokens[None]))
    return model.itm_head(states[:, 0])[0, MATCH]


@settings(max_examples=40, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 12), min_size=1, max_size=12),
    rows=st.lists(st.integers(0, 11), min_size=1, max_size=20),
    room=st.sampled_from([0, 3000, 20000, 2**28]),
    attend=st.sampled_from([packed._attend_in_runs, packed._attend_padded]),
)
def test_matching_equals_one_padded_pair_at_a_time(
    model: BlipRetriever, lengths: list[int], rows: list[int], room: int, attend: Callable[..., torch.Tensor]
) -> None:
    """However small the pieces are and whether or not the texts' beginnings are kept, on CPUs and as on GPUs."""
    texts, chosen = draw_texts(lengths), [row % len(lengths) for row in rows]
    with patch.object(packed, "_attend_in_runs", attend):
        prepared = model.prepare_texts(texts, room)
    for seed in (1, 2):
        tokens = torch.randn(30, 24, generator=torch.Generator().manual_seed(seed))
        with patch.object(packed, "_attend_in_runs", attend):
            found = model.match(model.remember(tokens), prepared, torch.tensor(chosen))
        plain = torch.stack([plainly(model, tokens, texts, row) for row in chosen])
        torch.testing.assert_close(found, plain, atol=1e-5, rtol=1e-5)


def test_what_no_clip_changes_is_done_once(model: BlipRetriever) -> None:
    embedded: list[int] = []
    hook = model.text_encoder.embeddings.register_forward_hook(lambda *_: embedded.append(1))
    texts, memory = draw_texts([3, 7, 5, 3]), model.remember(torch.randn(30, 24))
    for room, calls in ((2**28, [1, 1, 1]), (1000, [0, 4, 8])):  # in little memory each text is a piece of its own
        prepared, found = model.prepare_texts(texts, room), []
        for _ in range(3):
            found.append(len(embedded))
            model.match(memory, prepared, torch.arange(4))
        assert found == calls
        embedded.clear()
    hook.remove()


def test_beginnings_are_kept_in_half_of_the_memory_at_most(model: BlipRetriever) -> None:
    texts = draw_texts([4, 6])
    needed = 10 * 16 * 4
    kept = model.prepare_texts(texts, 2 * needed)
    assert kept.room == needed
    assert model.prepare_texts(texts, 2 * needed - 1).room == 2 * needed - 1
    assert PreparedTexts(model.text_encoder, texts.ids, texts.mask, 2 * needed, keep=False).room == 2 * needed


@given(st.lists(st.integers(1, 9), min_size=1, max_size=30))
def test_packing_is_sorted_by_length_and_loses_nothing(lengths: list[int]) -> None:
    packing = pack(torch.tensor(lengths), torch.device("cpu"))
    tokens = list(zip(packing.texts.tolist(), packing.positions.tolist(), strict=True))
    ordered = sorted(range(len(lengths)), key=lambda text: lengths[text])
    assert tokens == [(text, place) for text in ordered for place in range(lengths[text])]
    assert packing.order.tolist() == ordered
    assert [tokens[first] for first in packing.firsts.tolist()] == [(text, 0) for text in ordered]
    assert [length for length, count in packing.runs for _ in range(count)] == sorted(lengths)


PEAK = """
import ctypes, sys
from pathlib import Path
import torch
from blipvid.models.med import MedEncoder
from blipvid.models.packed import PreparedTexts
from blipvid.models.spec import TextSize

room = int(sys.argv[1])
torch.set_num_threads(1)
with torch.inference_mode():
    tower = MedEncoder(TextSize(width=768, depth=2, heads=12, mlp=3072), 100, memory_width=768).eval()
    ids = torch.full((700, 12), 7)
    texts = PreparedTexts(tower, ids, torch.ones_like(ids), room)
    memory = tower.remember(torch.randn(1, 577, 768))
    texts.first_states(torch.arange(9), memory)  # whatever the libraries keep for themselves
    ctypes.CDLL("libc.so.6").malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")  # from here on the peak is counted anew
    status = lambda: dict(line.split(":") for line in Path("/proc/self/status").read_text().splitlines())
    before = status()["VmRSS"]
    texts.first_states(torch.arange(700), memory)
    print(1024 * (int(status()["VmHWM"].split()[0]) - int(before.split()[0])))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the peak is counted by Linux")
def test_peak_memory_stays_within_the_budget() -> None:
    """8,400 tokens at base width, of which a layer holds 260 MB at once, in 96 MiB and what the allocator keeps."""

    def peak(room: int) -> int:
        done = subprocess.run(
            [sys.executable, "-c", PEAK, str(room)],
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            check=True,
        )
        return int(done.stdout)

    budget = 96 * 2**20
    assert peak(budget) < 1.3 * budget
    assert peak(2**32) > 2 * budget  # nothing else bounds it
