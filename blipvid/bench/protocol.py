"""Says in words how a number came about, and which published numbers may stand beside it."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from blipvid.bench.record import Comparison
from blipvid.core.settings import FrameSettings, RetrievalSettings
from blipvid.data.schema import BenchmarkSpec, Published

if TYPE_CHECKING:
    from blipvid.models.zoo import LoadedModel


def protocol_sentence(spec: BenchmarkSpec) -> str:
    """Returns everything that can change a number, in one sentence."""
    parts = [spec.about.rstrip("."), _frames_words(spec.frames)]
    if isinstance(spec.settings, RetrievalSettings):
        parts += _retrieval_words(spec.settings)
    if spec.settings.on_error == "skip":
        parts.append("clips that cannot be decoded count as misses")
    return "; ".join(part for part in parts if part) + "."


def _frames_words(frames: FrameSettings) -> str:
    rate = f" at {frames.rate_fps:g} fps" if frames.rate_fps else ""
    seed = f", seed {frames.seed}" if frames.sampler == "random" else ""
    return (
        f"{frames.count} frames a clip by '{frames.sampler}'{rate}{seed}, {frames.size} px, "
        f"resize '{frames.resize}', reader '{frames.backend}'"
    )


def _retrieval_words(settings: RetrievalSettings) -> list[str]:
    ranked = (
        f"each query's {settings.rerank_top_k} best by cosine re-ranked by ITM logit + cosine"
        if settings.rerank_top_k
        else "ranked by cosine alone (ITC), no re-ranking"
    )
    ties = "ties share their mean rank" if settings.ties == "expected" else "ties in the order of the released script"
    texts = f"captions cut to {settings.caption_words} words and {settings.text_tokens} tokens"
    return [texts, ranked, ties, f"video-to-text '{settings.v2t_protocol}'"]


def why_not_comparable(spec: BenchmarkSpec, limit: int | None, n_clips: int) -> tuple[str, ...]:
    """Says why published figures must not be subtracted from ours: the gallery or its texts are other ones.

    Args:
        spec: The benchmark as resolved.
        limit: What `--limit` asked for.
        n_clips: Clips of the set that was evaluated.
    """
    reasons = []
    if limit is not None and n_clips >= limit and spec.dataset.expect.clips != n_clips:
        reasons.append(f"--limit {limit} makes the gallery smaller than the published one")
    if other := [change for change in spec.overrides if _changes_the_set(change)]:
        reasons.append(f"the annotations are not the benchmark's own ({', '.join(other)})")
    return tuple(reasons)


def _changes_the_set(override: str) -> bool:
    key = override.partition("=")[0]
    return key.startswith("dataset.") and not key.startswith(("dataset.media", "dataset.obtain"))


def caveats(spec: BenchmarkSpec, loaded: "LoadedModel", precision: str) -> tuple[str, ...]:
    """Says what differs from the published protocol without making the figures incomparable."""
    found = []
    if changed := [change for change in spec.overrides if change.startswith(("frames.", "settings."))]:
        found.append(f"changed by --set: {', '.join(changed)}")
    known = [row for row in spec.published if row.model is not None]
    if known and loaded.spec.name not in {row.model for row in known}:
        found.append(f"the published row is of another checkpoint ({known[0].checkpoint or known[0].model})")
    if loaded.image_size != loaded.spec.image_size:
        found.append(
            f"the pictures have {loaded.image_size} px, the model was trained on {loaded.spec.image_size} px; "
            "its position table was resized"
        )
    if (asked := getattr(spec.settings, "text_tokens", 0)) > (most := loaded.spec.text.max_positions):
        found.append(f"texts are cut to {most} tokens and not to {asked}: the model has no more positions")
    if precision != "fp32":
        found.append(f"the encoders ran in {precision}")
    return tuple(found)


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
