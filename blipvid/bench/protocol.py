"""Says in words how a number came about, and which published numbers may stand beside it."""

from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING

from blipvid.bench.record import Comparison
from blipvid.core.settings import (
    AnsweringSettings,
    CaptionSettings,
    ChoiceSettings,
    DialogSettings,
    FrameSettings,
    PairSettings,
    QuestionReading,
    RetrievalSettings,
    TaskSettings,
)
from blipvid.data.schema import BenchmarkSpec, Published

if TYPE_CHECKING:
    from blipvid.models.zoo import LoadedModel


WHAT_IS_RIGHT = (
    "with one annotated answer right is what equals it letter by letter; VQA-normalised match, where both sides are "
    "normalised as by the VQA v2 evaluation first, stands apart; with those of several annotators it is the accuracy "
    "of that evaluation"
)
MEASURED = "captions and references split into words as by the Penn Treebank tokenizer of the field, CIDEr is CIDEr-D"
RECONSTRUCTION = "a reconstruction, for BLIP's question answering on video was never released"


def protocol_sentence(spec: BenchmarkSpec) -> str:
    """Returns everything that can change a number, in one sentence."""
    parts = [spec.about.rstrip("."), _frames_words(spec.frames)]
    if words := _TASK_WORDS.get(type(spec.settings)):
        parts += words(spec)
    if spec.settings.on_error == "skip":
        parts.append("clips that cannot be decoded count as misses")
    return "; ".join(part for part in parts if part) + "."


def _frames_words(frames: FrameSettings) -> str:
    if frames.of_pictures:
        return f"still pictures, {frames.size} px, resize 'bicubic'"
    rate = f" at {frames.rate_fps:g} fps" if frames.rate_fps else ""
    seed = f", seed {frames.seed}" if frames.sampler == "random" else ""
    return (
        f"{frames.count} frames a clip by '{frames.sampler}'{rate}{seed}, {frames.size} px, "
        f"resize '{frames.resize}', reader '{frames.backend}'"
    )


def _retrieval_words(spec: BenchmarkSpec) -> list[str]:
    settings = spec.settings
    assert isinstance(settings, RetrievalSettings)
    ranked = (
        f"each query's {settings.rerank_top_k} best by cosine re-ranked by ITM logit + cosine"
        if settings.rerank_top_k
        else "ranked by cosine alone (ITC), no re-ranking"
    )
    ties = "ties share their mean rank" if settings.ties == "expected" else "ties in the order of the released script"
    texts = f"captions cut to {settings.caption_words} words and {settings.text_tokens} tokens"
    seen = "image" if spec.frames.of_pictures else "video"
    return [texts, ranked, ties, f"{seen}-to-text '{settings.v2t_protocol}'"]


def _answering_words(spec: BenchmarkSpec) -> list[str]:
    settings = spec.settings
    assert isinstance(settings, AnsweringSettings)
    parts = [] if spec.frames.of_pictures else [RECONSTRUCTION]
    parts.append(_question_words(settings))
    if "generate" in settings.answer_by:
        parts += [_generation_words(settings), _mask_words(settings)]
    if "rank" in settings.answer_by:
        parts.append(_ranking_words(settings))
    return [*parts, WHAT_IS_RIGHT, "every question counts"]


def _question_words(settings: QuestionReading) -> str:
    return f"questions cut to {settings.question_words} words and {settings.question_tokens} tokens"


def _generation_words(settings: AnsweringSettings) -> str:
    search = f"beam search, {settings.beams} beams" if settings.beams > 1 else "greedy search"
    lengths = f"{settings.answer_min_tokens} to {settings.answer_max_tokens} tokens with the opening one"
    return f"'generate': answers in the model's own words by {search}, {lengths}"


def _mask_words(settings: AnsweringSettings) -> str:
    if settings.question_mask == "padding":
        return "the decoder sees no padding of the question, so no answer depends on which others were asked with it"
    return (
        "the decoder sees the padding of the question too, as in the released code, each question padded to the "
        f"longest of its {settings.question_batch}"
    )


def _ranking_words(settings: AnsweringSettings) -> str:
    answers = {None: "the benchmark's own list", "train": "the answers of the training split"}.get(
        settings.answers, f"'{settings.answers}'"
    )
    if settings.answers_top_n:
        answers = f"the {settings.answers_top_n:,} most frequent answers of the training split"
    scored = (
        f"the {settings.answer_top_k} answers whose first token is most probable are scored in full"
        if settings.answer_top_k
        else "all answers are scored in full"
    )
    return f"'rank': the best of {answers} by label-smoothed loss; {scored}"


def _choice_words(spec: BenchmarkSpec) -> list[str]:
    settings = spec.settings
    assert isinstance(settings, ChoiceSettings)
    if settings.choose_by == "rank":
        chosen = "'rank': the option with the lowest label-smoothed loss after the question is chosen"
        return [RECONSTRUCTION, _question_words(settings), chosen, "every question counts"]
    return [
        f"question and option as one text, cut to {settings.caption_words} words and {settings.text_tokens} tokens",
        "'match': the option with the highest ITM logit + cosine is chosen, all options scored",
        "every question counts",
    ]


def _caption_words(spec: BenchmarkSpec) -> list[str]:
    settings = spec.settings
    assert isinstance(settings, CaptionSettings)
    prompt = f"captions after '{settings.prompt}', which is cut off again" if settings.prompt else "captions"
    lengths = f"{settings.min_tokens} to {settings.max_tokens} tokens with the opening one and the prompt"
    return [f"{prompt}, {_search_words(settings)}, {lengths}", MEASURED, "every clip counts"]


def _search_words(settings: CaptionSettings) -> str:
    if settings.search == "nucleus":
        return (
            f"by nucleus sampling, top_p {settings.top_p:g}, top_k 50 and repetition penalty 1.1 as in the released "
            f"code, seed {settings.seed}"
        )
    search = f"by beam search, {settings.beams} beams" if settings.beams > 1 else "by greedy search"
    penalty = settings.repetition_penalty
    return f"{search}, repetition penalty {penalty:g}" if penalty != 1 else search


def _pair_words(spec: BenchmarkSpec) -> list[str]:
    settings = spec.settings
    assert isinstance(settings, PairSettings)
    order = (
        "every second pair, by chance, shown the other way round with left and right exchanged in the sentence, as in "
        f"the released code, seed {settings.order_seed}"
        if settings.order == "random"
        else "the pictures in the annotated order"
    )
    sentences = f"sentences cut to {settings.sentence_words} words and {settings.sentence_tokens} tokens"
    return [sentences, order, "'judge': the likelier of true and false by the two-way classifier", "every pair counts"]


def _dialog_words(spec: BenchmarkSpec) -> list[str]:
    settings = spec.settings
    assert isinstance(settings, DialogSettings)
    return [
        "a reconstruction, for BLIP's code for dialogs was never released",
        f"captions cut to {settings.caption_words} words, dialogs to their last {settings.dialog_tokens} tokens",
        "'rank': every candidate at the end of the true dialog so far, by the matching logits, right minus wrong",
        "ties share their mean rank",
        "every round counts",
    ]


_TASK_WORDS: Mapping[type, Callable[[BenchmarkSpec], list[str]]] = {
    RetrievalSettings: _retrieval_words,
    AnsweringSettings: _answering_words,
    ChoiceSettings: _choice_words,
    CaptionSettings: _caption_words,
    PairSettings: _pair_words,
    DialogSettings: _dialog_words,
}


def why_not_comparable(spec: BenchmarkSpec, limit: int | None, n_clips: int) -> tuple[str, ...]:
    """Says why published figures must not be subtracted from ours: what is asked, or asked about, is something else.

    Args:
        spec: The benchmark as resolved.
        limit: What `--limit` asked for.
        n_clips: Clips of the set that was evaluated.
    """
    reasons = []
    if limit is not None and n_clips >= limit and spec.dataset.expect.clips != n_clips:
        reasons.append(f"--limit {limit} {_what_a_limit_does(spec.settings)}")
    if other := [change for change in spec.overrides if _changes_the_set(change)]:
        reasons.append(f"the annotations are not the benchmark's own ({', '.join(other)})")
    return tuple(reasons)


def _what_a_limit_does(settings: TaskSettings) -> str:
    if isinstance(settings, RetrievalSettings):
        return "makes the gallery smaller than the published one"
    if isinstance(settings, CaptionSettings):
        return "captions only a part of the clips behind the published figures"
    if isinstance(settings, PairSettings):
        return "judges only a part of the pairs behind the published figures"
    if isinstance(settings, DialogSettings):
        return "asks only a part of the rounds behind the published figures"
    return "asks only a part of the questions behind the published figures"


_WHERE_MEDIA_LIE = ("dataset.media", "dataset.join", "dataset.obtain", "dataset.relevance")
_WHERE_ANSWERS_LIE = ("dataset.answers", "dataset.train")  # of the list that is ranked, which is no part of the set


def _changes_the_set(override: str) -> bool:
    key = override.partition("=")[0]
    return key.startswith("dataset.") and not key.startswith((*_WHERE_MEDIA_LIE, *_WHERE_ANSWERS_LIE))


def caveats(spec: BenchmarkSpec, loaded: "LoadedModel", metrics: Collection[str], precision: str) -> tuple[str, ...]:
    """Says what differs from the published protocol without making the figures incomparable.

    Args:
        spec: The benchmark as resolved.
        loaded: The model.
        metrics: Names of our figures; a published row that has none of them stands beside nothing.
        precision: Arithmetic of the encoders.
    """
    found = []
    if changed := [
        change for change in spec.overrides if change.startswith(("frames.", "settings.", *_WHERE_ANSWERS_LIE))
    ]:
        found.append(f"changed by --set: {', '.join(changed)}")
    known = [row for row in spec.published if row.model is not None and not row.metrics.keys().isdisjoint(metrics)]
    if known and loaded.spec.name not in {row.model for row in known}:
        found.append(f"the published row is of another checkpoint ({known[0].checkpoint or known[0].model})")
    if loaded.image_size != loaded.spec.image_size:
        found.append(
            f"the pictures have {loaded.image_size} px, the model was trained on {loaded.spec.image_size} px; "
            "its position table was resized"
        )
    most = loaded.spec.text.max_positions
    for what, asked in _longest(spec.settings).items():
        if asked > most:
            found.append(f"{what} are cut to {most} tokens and not to {asked}: the model has no more positions")
    if precision != "fp32":
        found.append(f"the encoders ran in {precision}")
    return tuple(found)


def _longest(settings: TaskSettings) -> dict[str, int]:
    """Returns what is read or written -> the most tokens that the settings ask for."""
    if isinstance(settings, ChoiceSettings) and settings.choose_by == "match":
        return {"texts": settings.text_tokens}
    limits = {
        "texts": "text_tokens",
        "questions": "question_tokens",
        "answers": "answer_max_tokens",
        "captions": "max_tokens",
        "sentences": "sentence_tokens",
        "dialogs": "dialog_tokens",
    }
    return {what: getattr(settings, key) for what, key in limits.items() if hasattr(settings, key)}


def published_beside(
    spec: BenchmarkSpec, metrics: Mapping[str, float], model: str, *, comparable: bool
) -> tuple[tuple[Comparison, ...], tuple[Comparison, ...]]:
    """Puts published rows beside our figures.

    Args:
        spec: Gives the rows.
        metrics: Ours.
        model: Name of the model that gave them.
        comparable: Whether differences may be shown.

    Returns:
        The rows that the run reproduces, which are those of its checkpoint, or all published ones where none is; and
        the rows of other checkpoints and methods.
    """
    own = [row for row in spec.published if row.model == model] or spec.published
    others = [row for row in (*spec.published, *spec.compare) if row not in own]
    beside = metrics if comparable else {}
    return tuple(_beside(row, beside) for row in own), tuple(_beside(row, {}) for row in others)


def _beside(row: Published, metrics: Mapping[str, float]) -> Comparison:
    return Comparison(
        label=row.label,
        metrics=row.metrics,
        differences={name: metrics[name] - value for name, value in row.metrics.items() if name in metrics},
        source=row.source,
        checkpoint=row.checkpoint,
        protocol=row.protocol,
        note=row.note,
    )
