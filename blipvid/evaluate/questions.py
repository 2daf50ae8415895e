"""Questions about clips: which clip has which, each distinct one read once, clip after clip; nothing of a clip is kept.

Both tasks with questions go through here; they differ in what they do with a question that has been read.
"""

from collections.abc import Callable, Hashable, Iterator, Sequence
from itertools import groupby
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.nn.functional import pad

from blipvid.core.features import Features, QuestionStates
from blipvid.core.protocols import Answerer, ClipEncoder, ImageEncoder, LoadClips, Progress, no_progress
from blipvid.core.settings import QuestionReading
from blipvid.core.text import clean_question, loses_words
from blipvid.core.types import Questions, Runtime
from blipvid.evaluate.features import ClipStream
from blipvid.evaluate.refusals import not_finite
from blipvid.evaluate.seconds import Seconds
from blipvid.evaluate.share import Share

Ints = npt.NDArray[np.int64]

TOKENS_AT_ONCE = 2**13
"""Question tokens read at once, so that a clip with thousands of questions needs no more memory than others."""


def visit_clips(
    items: Questions,
    load: LoadClips,
    model: ImageEncoder | ClipEncoder,
    settings: QuestionReading,
    runtime: Runtime,
    progress: Progress,
    seconds: Seconds,
    answer: Callable[[int, Features], None],
    share: Share,
) -> ClipStream:
    """Decodes and encodes the clips of a set one after the other and has the questions about each answered.

    Args:
        items: V clips and Q questions.
        load: Decodes clips.
        model: Encodes pictures, or whole clips if it is a ClipEncoder.
        settings: What an undecodable clip and an almost black clip mean.
        runtime: Where and how fast.
        progress: Told how many questions are through, those of skipped clips included.
        seconds: Told of the time that decoding and encoding take, as `clips`.
        answer: Answers all questions about the clip at a position, from its features.
        share: Which clips this process does.

    Returns:
        The stream, which knows what the decoding was like.

    Raises:
        DecodeError: See `features.ClipStream.__iter__`.
        BlipvidError: See there.
    """
    own, total = asked_about(share.own(len(items.clips)), items.question_clip), len(items.questions)
    through = np.cumsum(np.bincount(items.question_clip[own], minlength=len(items.clips))).tolist()
    progress("answering", 0, total)
    with ClipStream(items.clips, load, model, settings, runtime, no_progress, share) as clips:
        for position, features in clips:
            seconds.end("clips")
            answer(position, features)
            progress("answering", through[position], total)
    progress("answering", len(own), total)
    return clips


def asked_about(clips: Sequence[int], question_clip: Ints) -> Ints:
    """Returns the positions of the questions about some clips, ascending."""
    return np.flatnonzero(np.isin(question_clip, clips))


def of_clips(question_clip: Ints, n_clips: int) -> list[Ints]:
    """Returns for each clip the positions of its questions, ascending."""
    order = np.argsort(question_clip, kind="stable")
    return np.split(order, np.searchsorted(question_clip[order], np.arange(1, n_clips)))


class QuestionReader:
    """Reads the questions about a clip, equal ones once.

    Args:
        items: V clips and Q questions.
        model: Reads them.
        settings: Words and word pieces to keep.
        asked_with: For each question what else must be equal for it to be the same question, such as its options.
        batch: Questions that follow each other in the set and are padded to the longest of them; 0 pads none.

    Attributes:
        first: (Q,) position of the first question that is the same; the only one that is read.
        columns: (Q,) each, what is known of the questions that were read.
    """

    def __init__(
        self,
        items: Questions,
        model: Answerer,
        settings: QuestionReading,
        asked_with: Sequence[Hashable] | None = None,
        batch: int = 0,
    ) -> None:
        self._model, self._tokens, self._words = model, settings.question_tokens, settings.question_words
        self._clip_ids = [clip.id for clip in items.clips]
        self._questions = [clean_question(question, self._words) for question in items.questions]
        n = len(self._questions)
        self._padded_to: Sequence[int | None] = [None] * n
        if batch:
            self._padded_to = longest_of_batch(model.count_tokens(self._questions, self._tokens), batch).tolist()
        keys = zip(
            items.question_clip.tolist(), self._questions, self._padded_to, asked_with or [None] * n, strict=True
        )
        met: dict[Hashable, int] = {}
        self.first = np.array([met.setdefault(key, place) for place, key in enumerate(keys)], np.int64)
        self._distinct = [own[self.first[own] == own] for own in of_clips(items.question_clip, len(items.clips))]
        self._lost_words = np.array([loses_words(question, self._words) for question in items.questions], np.bool_)
        self._lost_pieces, self._length = np.zeros(n, np.bool_), np.zeros(n, np.int64)
        self.columns = [self._lost_pieces, self._length]

    def distinct(self, clip: int) -> Ints:
        """Returns the positions of the distinct questions about a clip."""
        return self._distinct[clip]

    def read(self, clip: int, tokens: torch.Tensor) -> Iterator[tuple[Ints, QuestionStates]]:
        """Reads all distinct questions about a clip, some at a time.

        Args:
            clip: Its position.
            tokens: (N*T, D) of its frames.

        Yields:
            Positions (P,) of questions and their states. Under padding the questions of a portion share one length.

        Raises:
            BlipvidError: States are not finite.
        """
        own = self._distinct[clip].tolist()
        if not own:
            return
        memory = self._model.remember(tokens)
        at_once = max(1, TOKENS_AT_ONCE // self._tokens)
        own.sort(key=lambda question: self._padded_to[question] or 0)
        for padded_to, group in groupby(own, key=self._padded_to.__getitem__):
            alike = list(group)
            for start in range(0, len(alike), at_once):
                portion = alike[start : start + at_once]
                texts = [self._questions[question] for question in portion]
                states = self._model.read_questions(memory, texts, self._tokens, padded_to)
                if not states.states[states.mask.bool()].isfinite().all():
                    raise not_finite(f"clip '{self._clip_ids[clip]}'", "states of questions")
                self._lost_pieces[portion] = states.cut.cpu().numpy()
                self._length[portion] = states.mask.sum(dim=1).cpu().numpy()
                yield np.array(portion), states

    def details(self) -> dict[str, Any]:
        """Says for the record how many questions were cut, equal ones counted each: `questions_cut` and `notes`."""
        lost_pieces = self._lost_pieces[self.first]
        n = int((self._lost_words | lost_pieces).sum())
        kept = [f"{self._words} words"] if self._lost_words.any() else []
        # a question that lost word pieces has as many left as the model reads
        kept += [f"{self._length.max()} word pieces"] if lost_pieces.any() else []
        note = f"{n_questions(n)} {'were' if n > 1 else 'was'} cut to {' or '.join(kept)}"
        return {"questions_cut": n, "notes": [note] if n else []}


def longest_of_batch(lengths: torch.Tensor, batch: int) -> Ints:
    """Returns for each of Q lengths the largest in its batch of `batch` that follow each other."""
    starts = np.arange(0, len(lengths), batch)
    return np.repeat(np.maximum.reduceat(lengths.cpu().numpy(), starts), batch)[: len(lengths)]


def joined(read: Sequence[QuestionStates]) -> QuestionStates:
    """Puts questions that were read apart one below the other, the shorter ones padded with zeros."""
    if len(read) == 1:
        return read[0]
    length = max(own.states.shape[1] for own in read)
    longer = [length - own.states.shape[1] for own in read]
    states = [pad(own.states, (0, 0, 0, more)) for own, more in zip(read, longer, strict=True)]
    masks = [pad(own.mask, (0, more)) for own, more in zip(read, longer, strict=True)]
    return QuestionStates(torch.cat(states), torch.cat(masks), torch.cat([own.cut for own in read]))


def clip_of(items: Questions, question: int) -> str:
    """Returns the id of the clip that a question is about."""
    return items.clips[items.question_clip[question]].id


def n_questions(n: int) -> str:
    """Returns a number of questions in words for a note."""
    return f"{n:,} question{'' if n == 1 else 's'}"
