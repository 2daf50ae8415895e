import os
import pickle
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import webdataset
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st
from PIL import Image
from torch.utils.data import Dataset

from blipvid.core.errors import ConfigError, DataError
from blipvid.train.pictures.batches import ASKED, CAPTIONED, PAIRED, CaptionBatch, PairBatch
from blipvid.train.pictures.images import DrawnBatches, Loaded, ReadBatches, load_batches
from blipvid.train.recipe import Pictures
from tests.train.files import (
    batches,
    encoded,
    number_of,
    picture,
    sample,
    settings,
    steps_per_epoch,
    write_captions,
    write_json,
    write_pictures,
    write_shards,
)

SETTINGS = Pictures(source="demo", batch_size=6, workers=0)


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BLIPVID_CACHE", str(tmp_path / "cache"))


def of(loaded: Iterator[Loaded[CaptionBatch]]) -> list[CaptionBatch]:
    return [one.batch for one in loaded]


def same(first: CaptionBatch, second: CaptionBatch) -> bool:
    return (
        first.captions == second.captions
        and torch.equal(first.pixels, second.pixels)
        and torch.equal(first.ids, second.ids)
    )


def test_drawn_batches_depend_on_seed_rank_and_step_alone() -> None:
    straight = of(batches(CAPTIONED, SETTINGS, 32, seed=3, steps=range(4)))
    later = of(batches(CAPTIONED, SETTINGS, 32, seed=3, steps=range(2, 4)))
    ahead = of(batches(CAPTIONED, SETTINGS.model_copy(update={"workers": 1}), 32, seed=3, steps=range(4)))
    for wanted, *found in zip(straight[2:], later, ahead[2:], strict=True):
        assert all(same(batch, wanted) for batch in found)
    (other_rank,) = of(batches(CAPTIONED, SETTINGS, 32, seed=3, steps=range(1), rank=1, world=2))
    (other_seed,) = of(batches(CAPTIONED, SETTINGS, 32, seed=4, steps=range(1)))
    assert len({tuple(batch.captions) for batch in (straight[0], straight[1], other_rank, other_seed)}) == 4


def test_drawn_pictures_are_channels_first_bytes_and_never_end() -> None:
    loaded = DrawnBatches(CAPTIONED, SETTINGS, 32, seed=0)[0]
    assert loaded.batch.pixels.shape == (6, 3, 32, 32)
    assert loaded.batch.pixels.dtype == torch.uint8
    assert loaded.broken == ()
    assert steps_per_epoch(CAPTIONED, SETTINGS, 1) is None


def test_unknown_sources_and_options_are_named() -> None:
    with pytest.raises(ConfigError, match=r"source of pictures with captions 'demos'.*Did you mean 'demo'"):
        batches(CAPTIONED, SETTINGS.model_copy(update={"source": "demos"}), 32, 0, range(1))
    with pytest.raises(ConfigError, match=r"with questions 'demo'.*twins.*pictures\.options"):
        batches(ASKED, SETTINGS.model_copy(update={"options": {"twins": 1}}), 32, 0, range(1))


@pytest.fixture(scope="module")
def captions(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return write_captions(tmp_path_factory.mktemp("captions"), 11, per_picture=2)


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return write_shards(tmp_path_factory.mktemp("shards"), (5, 9, 4))


def seen(own: list[CaptionBatch]) -> list[tuple[int, str]]:
    """Returns the number that is in the pixels, and the caption."""
    return [
        (number_of(pixels), text) for batch in own for pixels, text in zip(batch.pixels, batch.captions, strict=True)
    ]


CHANGED = {"min_scale": 0.2}


def test_pixels_captions_and_ids_belong_together(captions: dict[str, Any], shards: dict[str, Any]) -> None:
    (batch,) = of(batches(CAPTIONED, settings(captions, shards, batch_size=40), 8, 0, range(1)))
    assert batch.pixels.shape == (40, 3, 8, 8)
    assert batch.pixels.dtype == torch.uint8
    assert all(text.split()[1] == str(number) for number, text in seen([batch]))
    ids = {id_: {seen([batch])[place] for place in torch.where(batch.ids == id_)[0]} for id_ in batch.ids.tolist()}
    assert sorted(len(own) for own in ids.values()) == [1] * 18 + [2] * 11  # a shard's pictures have one caption each
    for own in ids.values():
        assert len({number for number, _ in own}) == 1


@examples(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(2, 9), st.integers(0, 3), st.integers(0, 2), st.booleans())
def test_an_epoch_shows_each_sample_once(
    captions: dict[str, Any], shards: dict[str, Any], size: int, seed: int, epoch: int, both: bool
) -> None:
    own = settings(captions, *[shards] * both, batch_size=size)
    count = 22 + 18 * both
    steps = steps_per_epoch(CAPTIONED, own, 1)
    assert steps == count // size
    found = seen(of(batches(CAPTIONED, own, 4, seed, range(epoch * steps, (epoch + 1) * steps))))
    assert len(found) == steps * size
    assert Counter(found).most_common(1)[0][1] == 1
    assert set(found) <= {(n, f"picture {n} said {k}") for n in range(11) for k in (0, 1)} | {
        (n, f"picture {n}") for n in range(18)
    }


@examples(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(2, 4), st.integers(1, 3), st.integers(0, 9), st.booleans())
def test_one_process_sees_what_several_see_together(
    captions: dict[str, Any], shards: dict[str, Any], size: int, world: int, step: int, weighted: bool
) -> None:
    weights = ({"weight": 2}, {"weight": 1}) if weighted else ({}, {})
    sets = captions | weights[0], shards | weights[1]
    alone = settings(*sets, batch_size=size * world, augment=CHANGED)
    apart = settings(*sets, batch_size=size, augment=CHANGED)
    (whole,) = of(batches(CAPTIONED, alone, 6, 1, range(step, step + 1)))
    parts = [
        of(batches(CAPTIONED, apart, 6, 1, range(step, step + 1), rank=rank, world=world))[0] for rank in range(world)
    ]
    assert torch.equal(whole.pixels, torch.cat([part.pixels for part in parts]))
    assert whole.captions == [text for part in parts for text in part.captions]
    assert torch.equal(whole.ids, torch.cat([part.ids for part in parts]))
    assert steps_per_epoch(CAPTIONED, alone, 1) == steps_per_epoch(CAPTIONED, apart, world)


@examples(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(1, 9), st.booleans())
def test_a_run_that_goes_on_sees_the_same_batches(
    captions: dict[str, Any], shards: dict[str, Any], killed_at: int, weighted: bool
) -> None:
    weights = ({"weight": 2}, {"weight": 1}) if weighted else ({}, {})
    own = settings(captions | weights[0], shards | weights[1], batch_size=7, augment=CHANGED)
    straight = of(batches(CAPTIONED, own, 6, 1, range(10)))
    later = of(batches(CAPTIONED, own, 6, 1, range(killed_at, 10)))
    assert all(same(*pair) for pair in zip(straight[killed_at:], later, strict=True))


@pytest.mark.parametrize("workers", [1, 2])
def test_workers_change_nothing(captions: dict[str, Any], shards: dict[str, Any], workers: int) -> None:
    own = settings(captions, shards, batch_size=7, augment=CHANGED)
    wanted = of(batches(CAPTIONED, own, 6, 1, range(12)))
    found = of(batches(CAPTIONED, own.model_copy(update={"workers": workers}), 6, 1, range(12)))
    assert all(same(*pair) for pair in zip(wanted, found, strict=True))


def test_what_makes_batches_can_be_sent_to_another_process(captions: dict[str, Any], shards: dict[str, Any]) -> None:
    own = ReadBatches(CAPTIONED, settings(captions, shards, augment=CHANGED), 6, 1)
    sent, here = (one[3] for one in (pickle.loads(pickle.dumps(own)), own))
    assert isinstance(sent, Loaded)
    assert isinstance(here, Loaded)
    assert same(sent.batch, here.batch)


def test_a_picture_is_changed_otherwise_in_each_epoch(tmp_path: Path) -> None:
    said = write_captions(tmp_path, 2)
    for name in ("0.png", "1.png"):
        Image.fromarray(torch.arange(64, dtype=torch.uint8).repeat(64, 1).numpy()).save(tmp_path / name)
    found = of(batches(CAPTIONED, settings(said, augment=CHANGED), 16, 0, range(3)))
    shown = {batch.pixels[batch.captions.index("picture 0 said 0")].numpy().tobytes() for batch in found}
    assert len(shown) == 3


def test_the_state_of_torch_is_left_alone(captions: dict[str, Any]) -> None:
    torch.manual_seed(7)
    wanted = torch.rand(3)
    torch.manual_seed(7)
    of(batches(CAPTIONED, settings(captions, augment={}), 6, 1, range(2)))
    assert torch.equal(torch.rand(3), wanted)


def test_sets_are_mixed_by_their_weights(captions: dict[str, Any], shards: dict[str, Any]) -> None:
    own = settings(captions | {"weight": 3}, shards | {"weight": 1}, batch_size=20)
    found = seen(of(batches(CAPTIONED, own, 4, 1, range(50))))
    counted = Counter("said" in text for _, text in found)
    assert counted == {True: 750, False: 250}
    walked = [one for one in found if "said" in one[1]]  # its own epochs, one after the other
    assert all(len(set(walked[begin : begin + 22])) == 22 for begin in range(0, 748, 22))
    assert steps_per_epoch(CAPTIONED, own, 1) == 2


def test_what_is_broken_in_shards_is_named_and_replaced(tmp_path: Path) -> None:
    said = write_shards(tmp_path, (3, 0))
    with webdataset.TarWriter(str(tmp_path / "00001.tar")) as tar:
        tar.write({"__key__": "bad", "png": b"no picture", "txt": "a"})
        tar.write({"__key__": "mute", "png": encoded(picture(9))})
        for number in range(3, 8):
            tar.write(sample(number))
    own = settings(said, batch_size=2)
    loaded = list(batches(CAPTIONED, own, 4, 0, range(5)))
    (named_bad,) = {name for one in loaded for name in one.broken if ": bad: the picture" in name}
    (named_mute,) = {name for one in loaded for name in one.broken if ": mute: no caption" in name}
    assert named_bad.startswith(str(tmp_path / "00001.tar"))
    assert named_mute.startswith(str(tmp_path / "00001.tar"))
    assert sum(len(one.broken) for one in loaded) >= 2
    assert {number for number, _ in seen([one.batch for one in loaded])} == set(range(8))
    for one in loaded:
        assert len(one.batch.captions) == len(set(one.batch.captions)) == 2  # none stands twice in a batch
    again = list(batches(CAPTIONED, own, 4, 0, range(2, 5)))
    assert [one.broken for one in again] == [one.broken for one in loaded[2:]]


def test_sets_with_nothing_whole_stop_the_training(tmp_path: Path) -> None:
    with webdataset.TarWriter(str(tmp_path / "a.tar")) as tar:
        for number in range(4):
            tar.write({"__key__": str(number), "png": b"no picture", "txt": "a"})
    own = settings({"kind": "shards", "tars": str(tmp_path / "a.tar")})
    with pytest.raises(DataError, match=r"100 samples in a row cannot be used, the last one: \S+a\.tar: \d: "):
        next(batches(CAPTIONED, own, 4, 0, range(1)))


@pytest.mark.parametrize("workers", [0, 1])
def test_a_damaged_picture_of_an_annotated_set_stops_the_training_in_one_sentence(tmp_path: Path, workers: int) -> None:
    said = write_captions(tmp_path, 2)
    (tmp_path / "1.png").write_bytes((tmp_path / "1.png").read_bytes()[:-30])
    with pytest.raises(DataError, match=r"1\.png: the picture cannot be read") as caught:
        of(batches(CAPTIONED, settings(said, workers=workers), 4, 0, range(1)))
    assert "\n" not in str(caught.value)


def test_a_set_must_suit_the_objective(captions: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"kind 'captions' .* does not suit the objective, which takes: questions\."):
        batches(ASKED, settings(captions), 4, 0, range(1))


def test_too_few_samples_for_a_step_are_named(captions: dict[str, Any]) -> None:
    with pytest.raises(DataError, match=r"hold 22 samples, and one step takes 24 over all processes"):
        steps_per_epoch(CAPTIONED, settings(captions, batch_size=12), world=2)


def test_mistakes_show_before_the_first_batch_is_asked_for(tmp_path: Path) -> None:
    said = write_captions(tmp_path, 2)
    (tmp_path / "0.png").unlink()
    with pytest.raises(DataError, match="1 of 2 pictures are missing"):
        batches(CAPTIONED, settings(said), 4, 0, range(1))


def test_pairs_and_questions_make_their_batches(tmp_path: Path) -> None:
    names = write_pictures(tmp_path, 4)
    pairs = [
        {"images": names[:2], "sentence": "left 0.", "label": "True"},
        {"images": names[2:], "sentence": "left 2", "label": "False"},
    ]
    said = {"kind": "pairs", "annotations": write_json(tmp_path / "pairs.json", pairs), "images": str(tmp_path)}
    exchanged = set()
    for loaded in batches(PAIRED, settings(said), 4, 0, range(20)):
        batch = loaded.batch
        assert isinstance(batch, PairBatch)
        assert batch.pixels.shape == (4, 3, 4, 4)
        for place, (sentence, true) in enumerate(zip(batch.sentences, batch.labels.tolist(), strict=True)):
            side, first = sentence.split()
            shown = [number_of(batch.pixels[place]), number_of(batch.pixels[2 + place])]
            assert sorted(shown) == [int(first), int(first) + 1]
            assert true == int(first == "0")
            assert (side == "left") is (shown[0] == int(first))
            exchanged.add(side)
    assert exchanged == {"left", "right"}

    asked = [{"image": name, "question": f"Which {name}?", "answer": ["a", "b"]} for name in names]
    said = {"kind": "questions", "annotations": write_json(tmp_path / "q.json", asked), "images": str(tmp_path)}
    (loaded,) = batches(ASKED, settings(said, batch_size=4), 4, 0, range(1))
    for pixels, question in zip(loaded.batch.pixels, loaded.batch.questions, strict=True):
        assert question == f"which {number_of(pixels)}png?"  # the full stop of the name goes


def test_positions_of_an_epoch_leave_out_its_end(captions: dict[str, Any]) -> None:
    own = ReadBatches(CAPTIONED, settings(captions, batch_size=5), 4, 0, rank=1, world=2)
    assert own.steps_per_epoch == 2
    assert [own.positions(step) for step in (0, 1, 2)] == [range(5, 10), range(15, 20), range(27, 32)]


class Dies(Dataset[Any]):
    """Stands for pictures whose loading takes the process down."""

    workers = 1

    def __getitem__(self, step: int) -> Any:
        os.kill(os.getpid(), signal.SIGKILL)


def test_a_loading_process_that_dies_is_one_sentence() -> None:
    with pytest.raises(DataError, match=r"a process that loads pictures died, .*'pictures\.workers'") as caught:
        next(load_batches(Dies(), range(3)))  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)
