"""Every shipped model file of a released checkpoint loads a file with the official names and shapes, in both layouts.

The tensors are one random number each, stretched over the shape, so that files of full-size models are small.
"""

import json
import random
from pathlib import Path

import pytest
import torch
import yaml

from blipvid.core.config import read_yaml
from blipvid.core.places import definitions
from blipvid.models.checkpoints import State
from blipvid.models.layouts import TIED, to_hugging_face
from blipvid.models.zoo import list_models, load_model

RELEASED = [name for name in list_models() if name.startswith("blip-")]
RECORDED = {"caption": "caption_base", "vqa": "vqa_base", "nlvr": "nlvr_base", "retrieval": "retrieval_base"}
LEFT_OUT = ("_m.", "_queue", "queue_ptr", "ptr_queue", "temp", "position_ids")
"""Parts of official names that no file of Hugging Face's has."""

Shapes = dict[str, list[int]]


def official_shapes(test_data: Path, task: str, width: int, image_size: int) -> Shapes:
    """The names and shapes that a released file of a task has."""
    recorded = json.loads((test_data / "goldens" / "official_state_dict_keys.json").read_text(encoding="utf-8"))
    large = width == 1024
    if task == "pretrain" or (large and task == "caption"):
        shapes = dict(recorded[f"{task}_{'large' if large else 'base'}"]["keys"])
    else:
        shapes = dict(recorded[RECORDED[task]]["keys"])
    if (
        large and task == "retrieval"
    ):  # not recorded: the towers of pre-training, with the heads and queues of retrieval
        towers = recorded["pretrain_large"]["keys"]
        shapes = {key: shape for key, shape in towers.items() if not key.startswith(("text_decoder", "queue_ptr"))} | {
            key: shapes[key] for key in ("idx_queue", "ptr_queue")
        }
    positions = 1 + (image_size // 16) ** 2
    return {key: [1, positions, width] if key.endswith("pos_embed") else shape for key, shape in shapes.items()}


def random_state(shapes: Shapes) -> State:
    """One number a tensor; the same for tensors that released files hold twice."""
    tails = {key: TIED.get(key, key).removeprefix("text_decoder.bert.").removeprefix("text_encoder.") for key in shapes}
    return {key: torch.tensor(random.Random(tails[key]).random()).expand(shape) for key, shape in shapes.items()}


def write_model_file(name: str, checkpoint: Path, test_data: Path, folder: Path) -> Path:
    raw = read_yaml(definitions("configs/models") / f"{name}.yaml")
    raw.pop("mirror", None)
    vocab = test_data / "data" / "tokenizer" / "bert-base-uncased-vocab.txt"
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump({**raw, "checkpoint": str(checkpoint), "vocab": str(vocab)}), encoding="utf-8")
    return path


def shapes_of(name: str, test_data: Path) -> Shapes:
    raw = read_yaml(definitions("configs/models") / f"{name}.yaml")
    width = {"vit-b16": 768, "vit-l16": 1024}[raw["vision"]]
    return official_shapes(test_data, raw["task"], width, raw["image_size"])


def assert_loaded(path: Path, state: State) -> set[str]:
    """Every parameter of the model is that of the file; returns the keys of the file that it has no use for."""
    loaded = load_model(str(path))
    for key, tensor in loaded.model.state_dict().items():
        assert tensor.flatten()[0] == state[key].flatten()[0], key
        assert list(tensor.shape) == list(state[key].shape), key
    assert loaded.report.resized == ()
    return set(loaded.report.dropped)


@pytest.mark.parametrize("name", RELEASED)
def test_an_official_file(name: str, test_data: Path, tmp_path: Path) -> None:
    state = random_state(shapes_of(name, test_data))
    torch.save({"model": state, "epoch": 5}, tmp_path / "released.pth")
    assert (tmp_path / "released.pth").stat().st_size < 2**20
    dropped = assert_loaded(write_model_file(name, tmp_path / "released.pth", test_data, tmp_path), state)
    assert dropped == {key for key in state if any(part in key for part in LEFT_OUT)}


@pytest.mark.parametrize(
    "name", [n for n in RELEASED if "mirror" in read_yaml(definitions("configs/models") / f"{n}.yaml")]
)
def test_a_file_of_hugging_face(name: str, test_data: Path, tmp_path: Path) -> None:
    state = {
        key: tensor
        for key, tensor in random_state(shapes_of(name, test_data)).items()
        if not any(part in key for part in LEFT_OUT)
    }
    torch.save({to_hugging_face(key): tensor for key, tensor in state.items()}, tmp_path / "pytorch_model.bin")
    assert assert_loaded(write_model_file(name, tmp_path, test_data, tmp_path), state) == set()


def test_what_hugging_face_has_a_class_for_has_a_mirror() -> None:
    raws = [read_yaml(definitions("configs/models") / f"{name}.yaml") for name in RELEASED]
    assert {raw["task"] for raw in raws if "mirror" in raw} == {"retrieval", "caption", "vqa"}
    assert {raw["task"] for raw in raws if "mirror" not in raw} == {"pretrain", "nlvr"}
    mirrors = [raw["mirror"] for raw in raws if "mirror" in raw]
    assert len(set(mirrors)) == len(mirrors) == 8


def test_a_file_of_another_size_is_refused(test_data: Path, tmp_path: Path) -> None:
    from blipvid.core.errors import CheckpointError

    state = random_state(shapes_of("blip-large-caption", test_data))
    torch.save({"model": state}, tmp_path / "large.pth")
    path = write_model_file("blip-base-caption-capfilt-large", tmp_path / "large.pth", test_data, tmp_path)
    with pytest.raises(CheckpointError, match=r"is \(1, 1, 1024\) in the file and \(1, 1, 768\) by the model file"):
        load_model(str(path))
