"""What figures are called: from the flat names of a record to the words of a table."""

import math
from dataclasses import dataclass
from typing import Self

from blipvid.bench.record import Run
from blipvid.core.settings import FrameSettings

BESIDE = {"itc": "ITC only", "vqa": "VQA-normalised"}
"""Prefix of a figure that stands beside the one of the same name without it -> the head of its column."""

DIRECTIONS = ("t2v", "v2t")
RANKS = {"r1": "R@1", "r5": "R@5", "r10": "R@10", "mdr": "MdR", "mnr": "MnR"}

EXACT = "exact match"
OVERALL = {"generate": EXACT, "rank": EXACT, "choice": "accuracy"}
"""Who answered -> what its accuracy over all questions is called, unless the run says otherwise (`Terms`)."""

CAPTION_MEASURES = {
    **{f"bleu{n}": f"BLEU-{n}" for n in (1, 2, 3, 4)},
    "meteor": "METEOR",
    "rouge_l": "ROUGE-L",
    "cider": "CIDEr",
    "spice": "SPICE",
}
"""By what captions are measured -> what it is called."""

MEASURES = {**RANKS, "mrr": "MRR", "mean_rank": "mean rank", "ndcg": "NDCG"}
"""By what answers in dialogs are measured -> what it is called."""

AGAINST = " against "
"""Between two ways of answering that are compared with each other, as in `generate against rank_accuracy`."""

ALL = "all"
"""Stands for all kinds of question together, in the details of a record."""


@dataclass(frozen=True, slots=True)
class FigureName:
    """The flat name of a figure taken apart.

    Attributes:
        beside: A key of `BESIDE`, or nothing.
        owner: What was measured: a direction of retrieval, who answered the questions, or how captions were measured.
        measure: What of it: `r1`, `mdr`, `accuracy`, `accuracy_what`; of captions the kind of clip, or nothing.
    """

    beside: str
    owner: str
    measure: str

    @classmethod
    def of(cls, name: str) -> Self:
        """Takes a name apart; one of another make is all owner."""
        begin, _, rest = name.partition("_")
        beside, name = (begin, rest) if begin in BESIDE else ("", name)
        for owner in CAPTION_MEASURES:
            if name == owner or name.startswith(f"{owner}_"):
                return cls(beside, owner, name[len(owner) + 1 :])
        owner, _, measure = name.partition("_")
        known = measure in RANKS if owner in DIRECTIONS else _overall(owner) and measure.startswith("accuracy")
        return cls(beside, owner, measure) if known else cls(beside, name, "")

    @property
    def plain(self) -> str:
        """The name without its prefix."""
        return "_".join(part for part in (self.owner, self.measure) if part)

    @property
    def kind(self) -> str | None:
        """Which questions or clips it is about, `all` or one kind of them; None for a figure that knows no kinds."""
        if self.owner in CAPTION_MEASURES:
            return self.measure or ALL
        return (self.measure.partition("_")[2] or ALL) if self.overall else None

    @property
    def overall(self) -> str:
        """What the accuracy over all questions is called; nothing for a figure that is not about questions."""
        return _overall(self.owner)


def _overall(owner: str) -> str:
    return OVERALL.get(owner.partition(AGAINST)[0], "")


@dataclass(frozen=True, slots=True)
class Terms:
    """What figures are called in one run and otherwise in another.

    Attributes:
        seen: What is looked at: a `video`, or an `image` where clips are still pictures.
        measure: By what answers to open questions count as right.
    """

    seen: str = "video"
    measure: str = EXACT

    @property
    def directions(self) -> dict[str, str]:
        """The directions of retrieval in words: `text-to-video` of `t2v`."""
        return {"t2v": f"text-to-{self.seen}", "v2t": f"{self.seen}-to-text"}

    @property
    def short_directions(self) -> dict[str, str]:
        """The same in three letters: of images `t2i` of `t2v`."""
        return {"t2v": f"t2{self.seen[0]}", "v2t": f"{self.seen[0]}2t"}

    def overall(self, parts: FigureName) -> str:
        """What an accuracy over all questions is called."""
        return self.measure if parts.overall == EXACT else parts.overall


OF_VIDEOS = Terms()


def terms_of(run: Run) -> Terms:
    """Returns what figures are called in a run."""
    seen = "image" if FrameSettings.model_validate(run.benchmark.get("frames", {})).of_pictures else "video"
    return Terms(seen, run.details.get("measure", EXACT))


@dataclass(frozen=True, slots=True)
class TaskWords:
    """How a table speaks of a task.

    Attributes:
        asked: What is asked about the clips, in the plural.
        item: What a query is called in a sentence, in the plural.
        chosen: Head of the column that says how a method came to its answers.
    """

    asked: str
    item: str
    chosen: str


_TASKS = {
    "retrieval": TaskWords("texts", "queries", "ranked by"),
    "qa": TaskWords("questions", "questions", "answered by"),
    "choice": TaskWords("questions", "questions", "chosen by"),
    "caption": TaskWords("annotated captions", "clips", "captioned by"),
    "pairs": TaskWords("sentences", "sentences", "judged by"),
    "dialog": TaskWords("rounds", "rounds", "ranked by"),
}


def task_of(run: Run) -> str:
    """Returns the task of a run."""
    return str(run.benchmark.get("task", "retrieval"))


def words_of(run: Run) -> TaskWords:
    """Returns how a table speaks of a run's task."""
    return _TASKS[task_of(run)]


def protocol_of(run: Run, name: str) -> str:
    """Returns in a word how a figure of a run came about: `re-ranked`, `generate`, `rank:LIST`, `beam`, `judge`."""
    parts = FigureName.of(name)
    if (task := task_of(run)) in ("caption", "pairs", "dialog"):
        return str(run.details.get("protocols", {}).get(task, ""))
    if parts.overall:
        return str(run.details.get("protocols", {}).get(parts.owner, parts.owner))
    return "cosine" if parts.beside == "itc" or run.details.get("score") == "cosine" else "re-ranked"


def metric_label(name: str, protocol: str | None = None, terms: Terms = OF_VIDEOS) -> str:
    """Returns the words for a figure.

    Args:
        name: Its flat name.
        protocol: How questions were answered, from `protocol_of`; None names it as the metric does.
        terms: Of its run.

    Returns:
        `text-to-video R@1` for `t2v_r1`, `rank:train-top-1000 · what` for `rank_accuracy_what`; a name of another make
        stays.
    """
    parts = FigureName.of(name)
    prefix = f"{BESIDE[parts.beside]} " if parts.beside and parts.measure else ""
    if parts.owner in DIRECTIONS and parts.measure:
        return f"{prefix}{terms.directions[parts.owner]} {RANKS[parts.measure]}"
    if parts.overall:
        who = protocol or parts.owner
        who = f"choice by {who}" if parts.owner == "choice" and who != "choice" else who
        return f"{prefix}{who} · {terms.overall(parts) if parts.kind == ALL else parts.kind}"
    return _caption_label(parts) or MEASURES.get(name, name)


def measure_label(name: str, terms: Terms = OF_VIDEOS) -> str:
    """Returns short words for a figure where its protocol stands elsewhere: `t2v R@1`, `exact match`, `what`."""
    parts = FigureName.of(name)
    prefix = f"{BESIDE[parts.beside]} " if parts.beside and parts.measure else ""
    if parts.owner in DIRECTIONS and parts.measure:
        return f"{prefix}{terms.short_directions[parts.owner]} {RANKS[parts.measure]}"
    if parts.overall:
        return f"{prefix}{terms.overall(parts) if parts.kind == ALL else parts.kind}"
    return _caption_label(parts) or MEASURES.get(name, name)


def _caption_label(parts: FigureName) -> str:
    """Returns `CIDEr` or `CIDEr · in-domain`; nothing for a figure that is not about captions."""
    if parts.owner not in CAPTION_MEASURES:
        return ""
    return " · ".join(part for part in (CAPTION_MEASURES[parts.owner], parts.measure) if part)


def figure(name: str, value: float | None, sign: str = "") -> str:
    """Returns a figure as a table shows it: percentages and mean ranks with one digit, median ranks as they are."""
    if value is None:
        return ""
    if name.endswith("_mdr"):
        return f"{value:{sign}g}"
    return f"{value:{sign}.1f}"


def rounded_down(percent: float) -> str:
    """Returns a percentage with one digit that is never more than it is: what is not whole does not read 100.0%."""
    return f"{math.floor(10 * percent) / 10:.1f}%"
