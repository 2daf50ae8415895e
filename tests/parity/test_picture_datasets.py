"""Pictures, captions and questions as the official dataset classes give them, from the same files."""

import pytest
import torch
from torch.testing import assert_close

from blipvid.core.errors import DecodeError
from blipvid.core.settings import AnsweringSettings, RetrievalSettings
from blipvid.core.text import clean_caption, clean_question
from blipvid.core.types import QuestionSet, RetrievalSet
from blipvid.data.schema import BenchmarkSpec
from blipvid.data.sets import EvaluationSet, load_set
from blipvid.data.spec import load_benchmark
from blipvid.evaluate.features import scale_pixels
from blipvid.media.loader import load_clips
from blipvid.models.vision import normalise_pixels
from tests.load_goldens import Case, Goldens


@pytest.fixture
def case(goldens: Goldens) -> Case:
    return goldens["datasets"]


def load(case: Case, name: str, file: str, *overrides: str) -> tuple[BenchmarkSpec, EvaluationSet]:
    """Loads a recorded annotation file by a shipped benchmark."""
    size = f"frames.size={case.config['image_size']}"
    spec = load_benchmark(name, [size, *overrides], case.folder / "annotation" / file, f"{case.folder}/root/{{clip}}")
    return spec, load_set(spec, case.folder).items


def pictures_of(spec: BenchmarkSpec, items: EvaluationSet) -> list[torch.Tensor]:
    """What models see of each clip, (3, S, S) normalised."""
    seen = []
    for _, frames in load_clips(items.clips, spec.frames):
        assert not isinstance(frames, DecodeError)
        seen += list(normalise_pixels(scale_pixels(frames, spec.settings.black_clips, "cpu")))
    return seen


@pytest.mark.parametrize(
    ("name", "file", "recorded"),
    [
        ("coco-retrieval", "coco_karpathy_val.json", "retrieval_val"),
        ("coco-retrieval", "coco_karpathy_test.json", "retrieval_test_text"),
        ("flickr30k-retrieval", "flickr30k_val.json", "flickr_val_text"),
    ],
)
def test_captions(case: Case, name: str, file: str, recorded: str) -> None:
    spec, items = load(case, name, file)
    assert isinstance(items, RetrievalSet)
    assert isinstance(spec.settings, RetrievalSettings)
    wanted = case.meta["values"][recorded]
    texts = [clean_caption(text, spec.settings.caption_words) for text in items.texts]
    assert texts == (wanted["text"] if isinstance(wanted, dict) else wanted)


def test_which_caption_belongs_to_which_picture(case: Case) -> None:
    _, items = load(case, "coco-retrieval", "coco_karpathy_val.json")
    assert isinstance(items, RetrievalSet)
    wanted = case.meta["values"]["retrieval_val"]
    assert [clip.id for clip in items.clips] == wanted["image"]
    assert {str(text): clip for text, clip in enumerate(items.text_clip.tolist())} == wanted["txt2img"]


def test_pictures(case: Case) -> None:
    outputs = case.tensors("outputs")
    seen = torch.stack(pictures_of(*load(case, "coco-retrieval", "coco_karpathy_val.json")))
    assert_close(seen, torch.stack([outputs[f"image_{k}"] for k in range(4)]), atol=case.atol, rtol=1e-4)


def test_a_question_and_its_picture(case: Case) -> None:
    spec, items = load(case, "vqa2-test", "vqa_test.json", "dataset.records=null", "answer_by=generate")
    assert isinstance(items, QuestionSet)
    assert isinstance(spec.settings, AnsweringSettings)
    asked = [clean_question(question, spec.settings.question_words) for question in items.questions]
    assert [asked[0], int(items.question_ids[0])] == case.meta["values"]["vqa_test"]
    (picture,) = pictures_of(spec, items)
    assert_close(picture, case.tensors("outputs")["vqa_test_0"], atol=case.atol, rtol=1e-4)


def test_the_list_of_answers(case: Case) -> None:
    own = f"dataset.answers={case.folder}/annotation/answer_list.json"
    _, items = load(case, "vqa2-test", "vqa_test.json", "dataset.records=null", own)
    assert isinstance(items, QuestionSet)
    assert items.answer_list is not None
    assert (len(items.answer_list.answers), items.answer_list.answers[6]) == (24, "a red umbrella")
