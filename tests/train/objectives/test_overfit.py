"""Each objective learns eight real pictures by heart, from files, through the whole of a training."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from blipvid.core.settings import Writing
from blipvid.core.text import clean_caption
from blipvid.models.answerer import LABEL_SMOOTHING
from blipvid.models.captioner import BlipCaptioner
from blipvid.models.zoo import load_model
from blipvid.train.pictures.batches import CAPTIONED
from blipvid.train.run import run
from blipvid.train.states import METRICS, read_metrics
from tests.train.files import PLAIN, batches, write_json
from tests.train.tiny import tiny_recipe

PICTURES = 8
SIZES: dict[str, Any] = {
    "name": "small",
    "checkpoint": "none.safetensors",
    "image_size": 64,
    "vision": {"width": 64, "depth": 2, "heads": 4, "patch": 16, "mlp_ratio": 2},
    "text": {"width": 64, "depth": 2, "heads": 4, "mlp": 128, "max_positions": 64},
    "embed_dim": 32,
}


def floor_of_lm(words: int) -> float:
    """Returns the least label-smoothed loss of a token: where the model says exactly what the smoothed label says."""
    other = LABEL_SMOOTHING / words
    right = 1 - LABEL_SMOOTHING + other
    return -right * math.log(right) - (words - 1) * other * math.log(other)


class World:
    """Eight real pictures as sets of every kind, and the vocabulary of all that is said about them."""

    def __init__(self, data: Path, folder: Path) -> None:
        self.folder, self.images = folder, str(folder / "images")
        rows = json.loads((data / "images" / "coco" / "captions.json").read_text())[:PICTURES]
        self.rows = [(f"{n:012d}.png", clean_caption(row["caption"][0], 30)) for n, row in enumerate(rows)]
        (folder / "images").mkdir()
        for (name, _), row in zip(self.rows, rows, strict=True):  # small ones are read quickly
            with Image.open(data / "images" / "coco" / row["image"]) as picture:
                picture.convert("RGB").resize((64, 64)).save(folder / "images" / name)
        words = sorted({word for _, caption in self.rows for word in caption.replace(",", " ,").split()})
        pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *words, "what", "is", "there", "?"]
        self.pieces = list(dict.fromkeys(pieces))
        (folder / "vocab.txt").write_text("".join(f"{piece}\n" for piece in self.pieces))
        self.sizes = SIZES | {"vocab": str(folder / "vocab.txt")}

    @property
    def words(self) -> int:
        return len(self.pieces) + 2

    def set_of(self, kind: str) -> dict[str, Any]:
        return getattr(self, kind)() | {"kind": kind}

    def _rows(self, name: str, said: Any, **more: Any) -> dict[str, Any]:
        return {"annotations": write_json(self.folder / f"{name}.json", said), "images": self.images} | more

    def captions(self) -> dict[str, Any]:
        return self._rows("captions", [{"image": image, "caption": said} for image, said in self.rows])

    def questions(self) -> dict[str, Any]:
        ask = {"dataset": "vqa", "question": "what is there?"}
        said = [ask | {"question_id": n, "image": i, "answer": [c]} for n, (i, c) in enumerate(self.rows)]
        return self._rows("questions", said)

    def pairs(self) -> dict[str, Any]:
        """Every second sentence is the caption of one of the two pictures, the others of neither."""
        images, captions = zip(*self.rows, strict=True)
        said = [
            {
                "images": [images[n], images[(n + 1) % PICTURES]],
                "sentence": captions[n] if n % 2 else captions[(n + 3) % PICTURES],
                "label": "True" if n % 2 else "False",
            }
            for n in range(PICTURES)
        ]
        return self._rows("pairs", said)

    def dialogs(self) -> dict[str, Any]:
        answers = [caption for _, caption in self.rows]
        dialogs = [
            {
                "image_id": n,
                "caption": "there",
                "dialog": [{"question": 0, "answer": n, "answer_options": list(range(PICTURES)), "gt_index": n}],
            }
            for n in range(PICTURES)
        ]
        said = {"data": {"questions": ["what is there"], "answers": answers, "dialogs": dialogs}}
        return self._rows("dialogs", said) | {"images": f"{self.images}/{{image_id}}.png"}


@pytest.fixture(scope="module")
def world(test_data: Path, tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(test_data / "data", tmp_path_factory.mktemp("world"))


CASES: dict[str, tuple[str, str, dict[str, Any]]] = {  # objective -> task, kind of set, further settings
    "pretrain": ("pretrain", "captions", {"momentum": None}),
    "retrieval": ("retrieval", "captions", {"momentum": None}),
    "caption": ("caption", "captions", {"prompt": "there is "}),
    "vqa": ("vqa", "questions", {"drop_path": 0}),
    "nlvr": ("nlvr", "pairs", {"drop_path": 0}),
    "visdial": ("visdial", "dialogs", {}),
}


@pytest.mark.parametrize("kind", CASES)
def test_the_loss_comes_near_its_floor(world: World, tmp_path: Path, kind: str) -> None:
    task, of_set, more = CASES[kind]
    recipe = tiny_recipe(
        tmp_path,
        world.sizes | {"task": task},
        pictures={"sets": [world.set_of(of_set)], "batch_size": PICTURES, "workers": 0, "augment": PLAIN},
        objective={"kind": kind, "text_dropout": False, **more},
        optimiser={"lr": 0.003, "weight_decay": 0.0, "clip_norm": 1.0},
        schedule={"warmup_steps": 20},
        start_std=0.08,
        steps=150,
        checkpoint_steps=150,
    )
    written = run(recipe, tmp_path / "out", "cpu")
    lines = list(read_metrics(tmp_path / "out" / METRICS))
    floors = dict.fromkeys(("itc", "itm", "nlvr"), 0.0) | {"lm": floor_of_lm(world.words)}
    if kind == "vqa":  # a sum over the tokens of an answer, [SEP] among them
        lengths = [len(load_model(str(written)).model.tokenizer([said])[0][0]) - 1 for _, said in world.rows]
        floors["lm"] *= sum(lengths) / PICTURES
    learnt = floors.keys() & lines[0].keys()
    assert learnt
    for name in learnt:
        first, last = lines[0][name], sum(line[name] for line in lines[-5:]) / 5
        assert last - floors[name] < 0.05 * (first - floors[name]), (name, first, last, floors[name])
    if kind == "caption":
        model = load_model(str(written)).model
        assert isinstance(model, BlipCaptioner)
        (loaded,) = batches(CAPTIONED, recipe.pictures, 64, recipe.seed, range(1))
        writing = Writing(max_tokens=60, prompt="there is ")
        found = [own[0].text for own in model.caption(model.encode_images(loaded.batch.pixels / 255).tokens, writing)]
        assert found == loaded.batch.captions
