"""What stands around a table: the title, and below it what a reader must know, one sentence each."""

from collections.abc import Iterator, Mapping
from typing import Any

from blipvid.bench.labels import EXACT, metric_label, rounded_down, task_of, terms_of, words_of
from blipvid.bench.record import Run

RECONSTRUCTION = (
    "BLIP's authors never released a question-answering protocol for video: what is done here is a reconstruction."
)
DIALOG_RECONSTRUCTION = (
    "BLIP's authors released neither code nor weights for dialogs: what is done here is a reconstruction."
)
HASH_DIGITS = 12
NAMED_CLIPS = 10


def title(run: Run) -> str:
    """Returns benchmark, model and what the figures stand on."""
    coverage = run.coverage
    clips = f"{coverage.clips_used:,} of {coverage.clips:,} {looked_at(run)}"
    asked = run.details.get("references", coverage.items)  # a clip may have several captions
    return f"{run.name} · {clips}, {asked:,} {words_of(run).asked}"


def looked_at(run: Run) -> str:
    """Returns the word for what a run is about: clips or pictures."""
    return "clips" if terms_of(run).seen == "video" else "pictures"


def notes(run: Run) -> list[str]:
    """Returns what must stand below the table, one sentence each."""
    found = [f"Protocol: {run.protocol}", *_answering(run)]
    for row in run.published:
        about = "; ".join(part for part in (row.source, row.checkpoint, row.protocol, row.note) if part)
        found.append(f"Published: {row.label} ({about}).")
    found += [f"No difference is shown: {reason}." for reason in run.not_comparable if run.published]
    found += [f"Beware: {caveat}." for caveat in run.caveats]
    found += [_sentence(note) for note in (*run.data.notes, *run.details.get("notes", ()))]
    if readers := run.details.get("backends"):
        found.append(f"Read by: {', '.join(f'{name} ({clips:,} clips)' for name, clips in readers.items())}.")
    if cache := run.details.get("cache"):
        found.append(
            f"Features of {cache['found']:,} of {run.coverage.clips_used:,} {looked_at(run)} came from the cache."
        )
        if cache["stopped"]:
            found.append(_sentence(cache["stopped"]))
    for note in run.details.get("frame_notes", ()):
        found.append(f"{note['clips']:,} clips: {_sentence(note['note'])} First: {', '.join(note['first'])}.")
    if tied := sum(counts["tied"] for counts in run.details.get("ties", {}).values() if isinstance(counts, dict)):
        found.append(f"Queries with a tied rank: {tied:,}.")
    if certificate := run.details.get("certificate"):
        found.append(_sentence(certificate["note"]))
    if paired := run.details.get("paired"):
        found.append(_paired(run, paired))
    found += [f"Skipped: {_sentence(clip.reason)}" for clip in run.coverage.skipped[:NAMED_CLIPS]]
    if (more := len(run.coverage.skipped) - NAMED_CLIPS) > 0:
        found.append(f"Skipped besides: {more:,} clips, all named in run.json.")
    return found


def _answering(run: Run) -> Iterator[str]:
    # the answer decoder reads video in both; matching is what BLIP's released script for retrieval does
    reads = task_of(run) == "qa" or run.details.get("protocols", {}).get("choice") == "rank"
    if reads and terms_of(run).seen == "video":
        yield RECONSTRUCTION
    if task_of(run) == "dialog":
        yield DIALOG_RECONSTRUCTION
    if answers := run.details.get("answer_list"):
        covers = f", coverage {rounded_down(answers['coverage'])}" if "coverage" in answers else ""
        digits = answers["sha256"][:HASH_DIGITS]
        yield f"Answer list: {answers['name']}, {answers['size']:,} answers, sha256 {digits}{covers}."


def _paired(run: Run, paired: Mapping[str, Any]) -> str:
    ours, theirs, gained, lost = (paired[key] for key in ("ours", "theirs", "gained", "lost"))
    note = f"; {paired['note']}" if "note" in paired else ""
    sure = f"p = {paired['p']:.2g} ({paired['test']}{note})"
    if task_of(run) == "retrieval":
        what = metric_label(paired["metric"], terms=terms_of(run))
        return f"{what}, {ours} against {theirs}: queries won {gained:,}, lost {lost:,}, {sure}."
    what = terms_of(run).measure
    better = f"{ours} right and {theirs} wrong" if what == EXACT else f"{ours} better than {theirs}"
    return f"{_capital(what)}, {better}: {gained:,} questions, the other way round: {lost:,}; {sure}."


def _sentence(note: str) -> str:
    first = note.partition(" ")[0]
    begin = _capital(note) if first.isalpha() else note  # a key such as rerank_top_k stays as it is
    return f"{begin.rstrip('.')}."


def _capital(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}"
