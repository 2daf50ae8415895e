"""blipvid from Python: load a model, read the frames of a file, ask about them, caption them, take their features.

```python
import blipvid

model = blipvid.load_model("blip-vqa-capfilt-large")
model.answer("clip.mp4", ["what is he doing?"])
frames = model.read_frames("clip.mp4", start_s=2, end_s=5)
model.best_answers(frames, ["what is he doing?"], answers=["running", "cooking"])

blipvid.load_model("blip-base-caption-capfilt-large").caption("picture.jpg")

model = blipvid.load_model("blip-base-retrieval-coco")
clips, texts = model.features(["clip.mp4", "picture.jpg"]), model.text_features(["a man runs"])
clips.embeds @ texts.T  # cosines
```
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast

import torch

from blipvid.clip_frames import PUBLISHED_FRAMES, read_frames
from blipvid.core.config import validate
from blipvid.core.errors import CapabilityError, ConfigError
from blipvid.core.features import Features
from blipvid.core.protocols import Answerer, Captioner, ImageEncoder, Retriever, no_progress
from blipvid.core.settings import PROMPT, RetrievalSettings, Writing
from blipvid.core.types import Clip, Frames, Runtime
from blipvid.evaluate.captioning import CaptioningModel
from blipvid.evaluate.features import ClipStream, lift_frames, scale_pixels
from blipvid.evaluate.refusals import not_finite
from blipvid.evaluate.texts import encode_texts
from blipvid.inputs import (
    Pictures,
    checked_answers,
    checked_clips,
    checked_frames,
    checked_questions,
    checked_texts,
)
from blipvid.models import zoo
from blipvid.models.checkpoints import KeyReport
from blipvid.models.devices import choose_device
from blipvid.models.spec import ModelSpec
from blipvid.question_answers import SETTINGS, PossibleAnswer, answer_questions

RETRIEVAL_FRAMES = 8  # Source: arXiv:2201.12086, section 5.6: frames of a clip for retrieval; for captions as well

FRAMES_AT_ONCE = 32
"""Frames that go through the vision tower together; bounds memory, changes nothing else."""

EMBEDDING = RetrievalSettings()
"""How clips and texts are embedded here: as a benchmark does that says nothing else."""


@dataclass(frozen=True, slots=True)
class ClipFeatures:
    """What a model makes of V clips.

    Attributes:
        embeds: (V, E) float32 on the CPU, the L2-normalised mean over the frames of each clip; with the embedding of a
            text the product is the cosine by which retrieval ranks first.
        tokens: For each clip its tokens (N*T, D) float32, frame after frame; None where they were not asked for.
    """

    embeds: torch.Tensor
    tokens: tuple[torch.Tensor, ...] | None


class Model:
    """A loaded model, with what it can be asked.

    Attributes:
        name: Name of the model file.
        spec: The model file.
        image_size: Side in pixels of the pictures it takes.
        sha256: Of the checkpoint file.
        report: What became of each key of the checkpoint.
        model: The torch module, in evaluation mode.
    """

    def __init__(self, loaded: zoo.LoadedModel) -> None:
        self.spec: ModelSpec = loaded.spec
        self.name: str = loaded.spec.name
        self.image_size: int = loaded.image_size
        self.sha256: str = loaded.sha256
        self.report: KeyReport = loaded.report
        self.model: torch.nn.Module = loaded.model

    def __repr__(self) -> str:
        return f"Model({self.name!r}, image_size={self.image_size})"

    def read_frames(
        self,
        path: str | Path,
        count: int = PUBLISHED_FRAMES,
        *,
        sampler: str | None = None,
        start_s: float | None = None,
        end_s: float | None = None,
        workers: int = 0,
    ) -> Frames:
        """Reads the frames of one video or picture at the size of this model; for the rest see `read_frames`."""
        return read_frames(path, count, self.image_size, sampler=sampler, start_s=start_s, end_s=end_s, workers=workers)

    def answer(self, frames: Pictures, questions: Iterable[str]) -> list[str]:
        """Answers questions about one clip in the model's own words.

        Args:
            frames: One clip; a path is decoded to 16 frames of the model's size.
            questions: Q questions.

        Returns:
            Q answers, found by beam search with the published settings.

        Raises:
            CapabilityError: The model answers no questions.
            ConfigError: An empty question or none, or frames that do not fit the model.
            DecodeError: The file gives no trustworthy frames.
        """
        return [own[0].text for own in self._best_answers(frames, questions, None)]

    def best_answers(
        self, frames: Pictures, questions: Iterable[str], answers: Iterable[str] | None = None
    ) -> list[list[PossibleAnswer]]:
        """Gives several answers to each question about one clip.

        Args:
            frames: One clip; a path is decoded to 16 frames of the model's size.
            questions: Q questions.
            answers: What to choose from, no two alike; None lets the model find words of its own.

        Returns:
            For each question its answers. Of the model's own words the first is the one that `answer` gives, which has
            the highest log-probability a token; the others follow by probability, no text twice and none empty. Those
            of a list come in the order of their loss, a sum over tokens that prefers short answers. At most 128 of a
            list, chosen by their first token, are scored.

        Raises:
            CapabilityError: The model answers no questions.
            ConfigError: An empty question or none, or frames that do not fit the model.
            DataError: An empty list of answers, or one with two alike.
            DecodeError: The file gives no trustworthy frames.
        """
        return self._best_answers(frames, questions, answers)

    def _best_answers(
        self, frames: Pictures, questions: Iterable[str], answers: Iterable[str] | None
    ) -> list[list[PossibleAnswer]]:
        asked = checked_questions(questions, SETTINGS)
        listed = None if answers is None else checked_answers(answers)
        model = self.ask_for_answerer()
        with torch.inference_mode():
            return answer_questions(model, self._see(frames), asked, listed, self.spec)

    def caption(
        self,
        frames: Pictures,
        *,
        prompt: str = PROMPT,
        search: Literal["beam", "nucleus"] = "beam",
        beams: int = 3,
        repetition_penalty: float = 1.0,
        top_p: float = 0.9,
        seed: int = 42,
        max_tokens: int = 20,
        min_tokens: int = 5,
    ) -> str:
        """Says in a sentence what can be seen. For whole folders there is `blipvid caption`.

        Args:
            frames: One clip; a path is decoded to 8 frames of the model's size, a picture to one.
            prompt: What the sentence begins with; it is cut off again.
            search: `beam`: the most probable sentence that is found; `nucleus`: one drawn by chance.
            beams: Of beam search.
            repetition_penalty: Of beam search; see `core.settings.Writing`, also for what follows.
            top_p: Of nucleus sampling.
            seed: Of nucleus sampling.
            max_tokens: Longest sentence in word pieces, the opening one and those of the prompt counted.
            min_tokens: Shortest sentence, counted likewise.

        Raises:
            CapabilityError: The model writes no captions.
            ConfigError: A number that cannot be, or frames that do not fit the model.
            DecodeError: The file gives no trustworthy frames.
            BlipvidError: The model's numbers are not finite.
        """
        asked = {"prompt": prompt, "search": search, "beams": beams, "repetition_penalty": repetition_penalty}
        asked |= {"top_p": top_p, "seed": seed, "max_tokens": max_tokens, "min_tokens": min_tokens}
        writing, model = validate(Writing, asked, "caption"), self.ask_for_captioner()
        if isinstance(frames, str | Path):
            frames = self.read_frames(frames, RETRIEVAL_FRAMES)
        with torch.inference_mode():
            ((best, *_),) = model.caption(self._see(frames)[None], writing, [writing.seed])
        if not math.isfinite(best.score):
            raise not_finite(f"model '{self.name}'", "scores of captions")
        return best.text.strip()

    def features(
        self,
        clips: Iterable[Pictures],
        count: int = RETRIEVAL_FRAMES,
        *,
        sampler: str | None = None,
        tokens: bool = False,
    ) -> ClipFeatures:
        """Embeds clips and pictures as the retrieval benchmarks do. For whole folders there is `blipvid features`.

        Args:
            clips: V clips; a path is decoded to frames of the model's size, a picture to one.
            count: Frames asked for of each path.
            sampler: Which frames, see `read_frames`.
            tokens: Whether the tokens of every frame are kept, 1.8 MB a frame of ViT-B at 384 px.

        Raises:
            CapabilityError: The model embeds no clips and texts in one space.
            ConfigError: No clip, or frames that do not fit the model.
            DecodeError: A file gives no trustworthy frames.
        """
        embedder, given = self.ask_for_embedder(), checked_clips(clips)

        def load(asked: Sequence[Clip]) -> Iterator[tuple[Clip, Frames]]:
            for clip, one in zip(asked, given, strict=True):
                frames = self.read_frames(one, count, sampler=sampler) if isinstance(one, str | Path) else one
                yield clip, self._fitting(checked_frames(frames))

        numbered = [Clip(str(number), Path()) for number in range(len(given))]
        runtime = Runtime(device=self._device, batch_size=FRAMES_AT_ONCE)
        embeds: list[torch.Tensor] = []
        kept: list[torch.Tensor] = []
        with torch.inference_mode(), ClipStream(numbered, load, embedder, EMBEDDING, runtime, no_progress) as stream:
            for _, features in stream:
                embeds.append(features.embeds.cpu())
                if tokens:
                    kept.append(features.tokens[0].float().cpu())
        return ClipFeatures(torch.cat(embeds), tuple(kept) if tokens else None)

    def text_features(self, texts: Iterable[str]) -> torch.Tensor:
        """Embeds texts as the retrieval benchmarks do: cleaned, cut to 40 words and 35 word pieces.

        Returns:
            (Q, E) float32 on the CPU, L2-normalised.

        Raises:
            CapabilityError: The model embeds no clips and texts in one space.
            ConfigError: No text, or something that is none.
        """
        embedder = self.ask_for_embedder()
        asked = checked_texts(texts)
        with torch.inference_mode():
            found, row = encode_texts(asked, embedder, EMBEDDING.caption_words, EMBEDDING.text_tokens, no_progress)
        return found.embeds.cpu()[torch.from_numpy(row)]

    def ask_for_embedder(self) -> Retriever:
        """Returns the torch module as one that embeds clips and texts in one space.

        Raises:
            CapabilityError: It does not.
        """
        if isinstance(self.model, Retriever):
            return self.model
        raise self._unable("has no common space of clips and texts", "retrieval or pretrain")

    def ask_for_captioner(self) -> CaptioningModel:
        """Returns the torch module as one that writes captions.

        Raises:
            CapabilityError: It writes none.
        """
        if isinstance(self.model, Captioner):
            return cast(CaptioningModel, self.model)
        raise self._unable("writes no captions", "caption")

    def ask_for_answerer(self) -> Answerer:
        """Returns the torch module as one that answers questions.

        Raises:
            CapabilityError: It answers none.
        """
        if isinstance(self.model, Answerer):
            return self.model
        raise self._unable("answers no questions", "vqa")

    def _unable(self, lacks: str, other: str) -> CapabilityError:
        return CapabilityError(
            f"model '{self.name}' is a {self.spec.task} model and {lacks}; choose a {other} model "
            "('blipvid models list')."
        )

    @property
    def _device(self) -> str:
        return str(next(self.model.parameters()).device)

    def _see(self, frames: Pictures) -> torch.Tensor:
        """Returns the tokens of one clip (N*T, D)."""
        assert isinstance(self.model, ImageEncoder)
        if isinstance(frames, str | Path):
            frames = self.read_frames(frames)
        pixels = scale_pixels(self._fitting(checked_frames(frames)), SETTINGS.black_clips, self._device)
        parts = [self.model.encode_images(part) for part in pixels.split(FRAMES_AT_ONCE)]
        whole = Features(torch.cat([part.tokens for part in parts]), torch.cat([part.embeds for part in parts]))
        return lift_frames(whole).tokens[0]

    def _fitting(self, frames: Frames) -> Frames:
        height, width = frames.pixels.shape[1:3]
        if (height, width) == (self.image_size, self.image_size):
            return frames
        if height == width:
            advice = f"load it with load_model('{self.name}', image_size={height}), or read them with its read_frames"
        else:
            advice = "make them square, as its read_frames(path) does"
        raise ConfigError(
            f"the frames have {width} x {height} px, but model '{self.name}' takes {self.image_size} x "
            f"{self.image_size} px; {advice}."
        )


def load_model(name: str, device: str = "cpu", precision: str = "fp32", image_size: int | None = None) -> Model:
    """Loads a model with its weights; released ones are downloaded once.

    Args:
        name: A shipped name ('blipvid models list'), or the path of a model file.
        device: A torch device, for instance `cuda`, or `auto` for the best there is.
        precision: `fp32`, `bf16` or `fp16` for the encoders.
        image_size: Side in pixels of the pictures it shall take; None takes the size it was trained on.

    Raises:
        ConfigError: No such model, device or precision, a wrong model file, or a size that the model cannot take.
        CheckpointError: The weights cannot be fetched, are damaged, are not the ones named, or do not fit.
        CapabilityError: The task needs towers of one width, and these are not.
    """
    device = choose_device(device)
    patch = zoo.load_spec(name).vision.patch
    if image_size is not None and (image_size < 1 or image_size % patch):
        raise ConfigError(f"image_size is {image_size}, but pictures are cut into patches; give a multiple of {patch}.")
    return Model(zoo.load_model(name, device=device, precision=precision, image_size=image_size))
