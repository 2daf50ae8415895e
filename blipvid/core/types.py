"""The types that travel between the floors: frozen dataclasses, no behaviour beyond checks.

One alphabet of axes, here and in every docstring:

    V clips    Q texts     B batch    N frames    T tokens a frame    L text length
    D width    E embedding P pairs    S pixels

An image is a clip with one frame.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, slots=True)
class Clip:
    """One media file, or a window of it.

    Attributes:
        id: The id used by the annotations; unique inside a set.
        path: The media file.
        start_s: Begin of the window in seconds, or None for the begin of the file.
        end_s: End of the window in seconds (exclusive), or None for the end of the file.
    """

    id: str
    path: Path
    start_s: float | None = None
    end_s: float | None = None


@dataclass(frozen=True, slots=True)
class Frames:
    """The frames sampled from one clip.

    Attributes:
        pixels: (N, H, W, 3) uint8 RGB.
        indices: (N,) int64 frame numbers in the file, in sampling order; may repeat.
        times_s: (N,) float64 presentation times in seconds from the first frame of the file.
        backend: The reader that gave the pixels, for instance `decord`.
        notes: What was unusual, one sentence each, for the run record.
    """

    pixels: npt.NDArray[np.uint8]
    indices: npt.NDArray[np.int64]
    times_s: npt.NDArray[np.float64]
    backend: str
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        n = len(self.indices)
        if self.pixels.ndim != 4 or self.pixels.shape[0] != n or self.pixels.shape[3] != 3 or len(self.times_s) != n:
            raise ValueError(
                f"frames do not fit together: pixels {self.pixels.shape}, indices {self.indices.shape}, "
                f"times {self.times_s.shape}; expected (N,H,W,3), (N,), (N,)"
            )

    def __repr__(self) -> str:
        return f"Frames(pixels={self.pixels.shape}, indices={self.indices.tolist()}, backend={self.backend!r})"


@dataclass(frozen=True, slots=True)
class RetrievalSet:
    """Clips and texts to be ranked against each other; each text belongs to one clip.

    Attributes:
        clips: V clips, ids unique.
        texts: Q texts as annotated, not yet cleaned.
        text_ids: Q ids, unique.
        text_clip: (Q,) int64, for each text the position of its clip in `clips`.
    """

    clips: tuple[Clip, ...]
    texts: tuple[str, ...]
    text_ids: tuple[str, ...]
    text_clip: npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class AnswerList:
    """The answers that ranking chooses from.

    Attributes:
        name: What it is called in tables, for instance `answer_set.txt` or `train-top-1000`.
        answers: A answers, no two alike, in the order of their source.
        sha256: Of the answers, one a line.
    """

    name: str
    answers: tuple[str, ...]
    sha256: str


@dataclass(frozen=True, slots=True)
class Questions:
    """Questions about clips; what counts as an answer stands in the two kinds of set below.

    Attributes:
        clips: V clips, ids unique.
        questions: Q questions as annotated, not yet cleaned; empty where the options alone are the question.
        question_ids: Q ids, unique.
        question_clip: (Q,) int64, for each question the position of its clip in `clips`.
        kinds: Q kinds, by which accuracy is also given: the question word, or what the annotations say.
    """

    clips: tuple[Clip, ...]
    questions: tuple[str, ...]
    question_ids: tuple[str, ...]
    question_clip: npt.NDArray[np.int64]
    kinds: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class QuestionSet(Questions):
    """Open questions.

    Attributes:
        answers: For each of the Q questions what its annotators answered, as annotated: one of them, or several as in
            VQA v2, but the same in the whole set; nothing where the answers are kept by somebody else.
        answer_list: What ranking chooses from, or None where answers are generated only.
    """

    answers: tuple[tuple[str, ...], ...]
    answer_list: AnswerList | None


@dataclass(frozen=True, slots=True)
class ChoiceSet(Questions):
    """Multiple choice: each question has options of its own.

    Attributes:
        options: For each of the Q questions its options as annotated, at least two; their number may differ.
        right: (Q,) int64, the position of the right one among them.
    """

    options: tuple[tuple[str, ...], ...]
    right: npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class CaptionSet:
    """Clips to be captioned.

    Attributes:
        clips: V clips, ids unique.
        ids: V ids under which a caption is handed in where others score it, unique.
        references: For each clip its captions as annotated, not yet tokenised; none where the annotations hold none.
        kinds: V kinds, by which figures are also given, for instance `in-domain`; empty where clips have none.
    """

    clips: tuple[Clip, ...]
    ids: tuple[str, ...]
    references: tuple[tuple[str, ...], ...]
    kinds: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PairSet:
    """Sentences about two pictures each, true or false.

    Attributes:
        clips: V pictures, ids unique; one may stand in many pairs.
        pairs: (P, 2) int64, for each pair the positions of its first and its second picture in `clips`.
        sentences: P sentences as annotated, not yet cleaned.
        pair_ids: P ids, unique.
        right: (P,) bool, whether the sentence is true of its pair.
        group: (P,) int64; pairs of one number share pictures or sentences and are no independent samples.
    """

    clips: tuple[Clip, ...]
    pairs: npt.NDArray[np.int64]
    sentences: tuple[str, ...]
    pair_ids: tuple[str, ...]
    right: npt.NDArray[np.bool_]
    group: npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class DialogSet:
    """Dialogs about captioned pictures, asked round by round: which of many answers comes next?

    Attributes:
        clips: V pictures, ids unique.
        captions: V captions, not yet cleaned.
        round_clip: (R,) int64, for each of R rounds the position of its picture in `clips`.
        round_number: (R,) int64, the place of each round in its dialog, from 1.
        histories: R dialogs up to the round, question and answer of each earlier round.
        questions: R questions.
        listed_answers: All texts that are a candidate in any round, each once.
        candidates: For each round the positions of its candidates among them, (C,) int64, at least two; C may differ.
        right: (R,) int64, the place of the right answer among the candidates, or -1 where it is not annotated.
        relevance: For each round the share of people who found each candidate right, (C,) float64, or None.
    """

    clips: tuple[Clip, ...]
    captions: tuple[str, ...]
    round_clip: npt.NDArray[np.int64]
    round_number: npt.NDArray[np.int64]
    histories: tuple[tuple[tuple[str, str], ...], ...]
    questions: tuple[str, ...]
    listed_answers: tuple[str, ...]
    candidates: tuple[npt.NDArray[np.int64], ...]
    right: npt.NDArray[np.int64]
    relevance: tuple[npt.NDArray[np.float64] | None, ...]


EvaluationSet: TypeAlias = RetrievalSet | Questions | CaptionSet | PairSet | DialogSet
"""What a model can be evaluated on; the type names the task."""


@dataclass(frozen=True, slots=True)
class Skipped:
    """A clip that gave no frames, and why."""

    clip_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class Runtime:
    """Where and how fast the work is done; nothing here changes a number beyond rounding.

    Attributes:
        device: A torch device string.
        precision: `fp32`, `bf16` or `fp16` for the encoders.
        batch_size: Frames that go through the vision tower at once.
        workers: Decoding processes; 0 decodes in the main process.
        memory_bytes: Features and scores above this many bytes go to memory-mapped files; matching works in a small
            part of it.
        processes: How many share the work; each has device, batches, workers and memory of its own.
    """

    device: str = "cpu"
    precision: str = "fp32"
    batch_size: int = 32
    workers: int = 0
    memory_bytes: int = 4 * 2**30
    processes: int = 1


@dataclass(frozen=True, slots=True)
class Result:
    """What an evaluation found; `bench` turns it into a record and a table.

    Attributes:
        metrics: Flat names with spelled-out direction, for instance `t2v_r1` (percent) or `t2v_mdr` (rank, 1 is best).
        intervals: For metrics that have one, the 95% interval.
        predictions: One mapping a query, ready for predictions.jsonl.
        skipped: Clips without frames.
        n_clips: Clips asked for, the skipped ones included.
        n_items: Queries, questions or captions asked for.
        details: What the record keeps besides: ties, pairs scored, backends, paired tests.
        scores: Dense matrices by name for `--save-scores`, or None where they were not asked for.
        submission: What an evaluation server takes: file name, which begins with `submission`, -> JSON value.
        curve: Figures for each number of re-ranked candidates: `k` from 0 and, for each of them, metrics by name; empty
            where nothing was re-ranked.
    """

    metrics: Mapping[str, float]
    intervals: Mapping[str, tuple[float, float]]
    predictions: Sequence[Mapping[str, Any]]
    skipped: tuple[Skipped, ...]
    n_clips: int
    n_items: int
    details: Mapping[str, Any] = field(default_factory=dict)
    scores: Mapping[str, npt.NDArray[np.generic]] | None = None
    submission: Mapping[str, Any] | None = None
    curve: Mapping[str, Sequence[float]] = field(default_factory=dict)
