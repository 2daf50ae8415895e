"""The whole retrieval evaluation against the official evaluation's recorded matrices and metrics."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from blipvid.core.errors import DecodeError
from blipvid.core.features import Features, Texts
from blipvid.core.settings import RetrievalSettings
from blipvid.core.types import Clip, Frames, Result, RetrievalSet, Runtime
from blipvid.evaluate.run import evaluate
from blipvid.models.med import Memory
from blipvid.models.packed import PreparedTexts
from blipvid.models.retriever import BlipRetriever
from tests.load_goldens import Goldens
from tests.parity.official import retriever_of, unit_range


class OnRecordedPixels:
    """A retriever for recorded pictures, which are floats: each frame's pixels spell the number of its picture."""

    def __init__(self, model: BlipRetriever, pictures: torch.Tensor) -> None:
        self.model, self.pictures = model, unit_range(pictures)

    def encode_images(self, pixels: torch.Tensor) -> Features:
        return self.model.encode_images(self.pictures[(pixels[:, 0, 0, 0] * 255).round().long()])

    def encode_texts(self, texts: Sequence[str], max_tokens: int) -> Texts:
        return self.model.encode_texts(texts, max_tokens)

    def remember(self, tokens: torch.Tensor) -> Memory:
        return self.model.remember(tokens)

    def prepare_texts(self, texts: Texts, memory_bytes: int) -> PreparedTexts:
        return self.model.prepare_texts(texts, memory_bytes)

    def match(self, memory: Memory, texts: PreparedTexts, rows: torch.Tensor) -> torch.Tensor:
        return self.model.match(memory, texts, rows)


def run(goldens: Goldens, name: str, captions: list[list[str]], top_k: int, **settings: object) -> Result:
    """Evaluates a recorded case; captions are grouped by clip."""
    model, pictures = retriever_of(goldens, name), goldens[name].tensors("inputs")
    pictures = pictures["video"] if "video" in pictures else pictures["image"][:, None]
    n_frames = pictures.shape[1]

    def load(clips: Sequence[Clip]) -> Iterator[tuple[Clip, Frames | DecodeError]]:
        for clip in clips:
            numbers = int(clip.id) * n_frames + np.arange(n_frames)
            pixels = np.broadcast_to(numbers[:, None, None, None].astype(np.uint8), (n_frames, 2, 2, 3)).copy()
            yield clip, Frames(pixels, numbers, numbers / 25.0, "recorded")

    items = RetrievalSet(
        clips=tuple(Clip(str(v), Path("recorded")) for v in range(len(captions))),
        texts=tuple(text for own in captions for text in own),
        text_ids=tuple(f"{v}#{n}" for v, own in enumerate(captions) for n in range(len(own))),
        text_clip=np.repeat(np.arange(len(captions)), [len(own) for own in captions]),
    )
    chosen = RetrievalSettings.model_validate(
        {"rerank_top_k": top_k, "bootstrap": 0, "black_clips": "scale", "ties": "blip", **settings}
    )
    model_on_pixels = OnRecordedPixels(model, pictures.flatten(0, 1))
    return evaluate(items, model_on_pixels, load, chosen, Runtime(batch_size=7), save_scores=True)


def agree(result: Result, wanted: dict[str, torch.Tensor], atol: float) -> None:
    """Holds score matrices against recorded ones: same cells re-ranked, each cell within the tolerance."""
    assert result.scores is not None
    for name, matrix in wanted.items():
        ours = torch.from_numpy(np.asarray(result.scores[name]))
        assert torch.equal(ours > -99, matrix > -99), name
        torch.testing.assert_close(ours, matrix, atol=atol, rtol=1e-4)


@pytest.mark.parametrize(("prefix", "metrics", "top_k"), [("", "metrics", 5), ("full_", "full_metrics", 12)])
def test_video_retrieval(goldens: Goldens, prefix: str, metrics: str, top_k: int) -> None:
    case = goldens["video_retrieval"]
    outputs, official = case.tensors("outputs"), case.meta["values"][metrics]
    result = run(goldens, "video_retrieval", [[text] for text in case.meta["texts"]["captions"]], top_k)
    wanted = {
        "itc": outputs["sims_v2t"],
        "t2v": outputs[f"{prefix}score_t2v"],
        "v2t": outputs[f"{prefix}score_v2t"],
    }
    agree(result, wanted, case.atol)
    for ours, theirs in (("t2v_r1", "vid_r1"), ("t2v_r5", "vid_r5"), ("v2t_r1", "txt_r1"), ("v2t_r5", "txt_r5")):
        assert result.metrics[ours] == pytest.approx(official[theirs]), ours
    if prefix:  # with every pair re-ranked nothing ties, so that the figures beyond the k of the other run are defined
        for ours, theirs in (("t2v_r10", "vid_r10"), ("v2t_r10", "txt_r10"), ("t2v_mdr", "vid_mdR")):
            assert result.metrics[ours] == pytest.approx(official[theirs]), ours


@pytest.mark.parametrize(("prefix", "metrics", "top_k"), [("", "metrics", 4), ("kmax_", "kmax_metrics", 7)])
def test_image_retrieval(goldens: Goldens, prefix: str, metrics: str, top_k: int) -> None:
    case = goldens["image_retrieval"]
    outputs, official = case.tensors("outputs"), case.meta["values"][metrics]
    captions = case.meta["texts"]["captions_per_image"]
    result = run(goldens, "image_retrieval", captions, top_k, caption_words=30, v2t_protocol="any-text")
    wanted = {
        "itc": outputs["sims_i2t"],
        "t2v": outputs[f"{prefix}score_t2i"],
        "v2t": outputs[f"{prefix}score_i2t"],
    }
    agree(result, wanted, case.atol)
    pairs = [("v2t_r1", "txt_r1"), ("t2v_r1", "img_r1")]
    if prefix:
        pairs += [("v2t_r5", "txt_r5"), ("t2v_r5", "img_r5"), ("t2v_r10", "img_r10")]
    for ours, theirs in pairs:
        assert result.metrics[ours] == pytest.approx(official[theirs]), ours


def test_what_the_encoders_give(goldens: Goldens) -> None:
    case = goldens["video_retrieval"]
    outputs, model = case.tensors("outputs"), retriever_of(goldens, "video_retrieval")
    texts = model.encode_texts(case.meta["texts"]["captions"], 35)
    length = texts.ids.shape[1]
    assert torch.equal(texts.ids, outputs["text_ids_cls"][:, :length])
    assert torch.equal(texts.mask, outputs["text_mask"][:, :length])
    assert not outputs["text_mask"][:, length:].any()
    recorded = torch.nn.functional.normalize(outputs["text_proj"], dim=-1)  # recorded before normalisation
    torch.testing.assert_close(texts.embeds, recorded, atol=case.atol, rtol=1e-4)
    features = model.encode_images(unit_range(case.tensors("inputs")["video"].flatten(0, 1)))
    torch.testing.assert_close(features.embeds, outputs["frame_proj"], atol=case.atol, rtol=1e-4)
    torch.testing.assert_close(features.tokens[:4], outputs["frame_tokens_first_video"], atol=case.atol, rtol=1e-4)
