"""A loader of clips that has the features of some already and keeps those of the others.

It takes the place of the loader that it is given, so every task that goes through `features.ClipStream` can use it. A
clip whose features are there is neither decoded nor encoded.
"""

import errno
import json
import shutil
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from blipvid.core.errors import BlipvidError, DecodeError
from blipvid.core.features import Features, KnownClip
from blipvid.core.files import replacing
from blipvid.core.protocols import LoadClips
from blipvid.core.types import Clip, Frames
from blipvid.evaluate.cache.entries import entry_path, fingerprint, has_entry, read_entry, write_entry
from blipvid.evaluate.cache.hashes import media_hashes

RECIPE = "recipe.json"
KINDS = {"fp32": torch.float32, "fp16": torch.float16}


@dataclass(frozen=True, slots=True)
class Recipe:
    """What features depend on besides the clip.

    Attributes:
        made_by: JSON values: frames, pixels, weights, arithmetic, versions.
        kept_as: `fp32` (exact) or `fp16` (half the room, tokens rounded).
        by_id: Whether the id of a clip has a say in which frames are taken.
        used_for: For people: kind of thing (`model`, `benchmark`) -> its name in this run.
    """

    made_by: Mapping[str, Any]
    kept_as: str
    by_id: bool
    used_for: Mapping[str, str]

    @property
    def words(self) -> dict[str, Any]:
        """All that features depend on."""
        return {**self.made_by, "kept_as": self.kept_as}


class FeatureCache:
    """A `LoadClips` and a `FeatureKeeper`: finds features in a folder and puts new ones there.

    Features are the same in the run that makes them and in those that find them: where tokens are kept in 16 bits,
    both go on with the rounded ones. A folder that cannot be written, or has too little room, ends the keeping and not
    the run.

    Args:
        folder: Of all cached features.
        load: Decodes the clips whose features are not there.
        recipe: What features depend on besides the clip.

    Attributes:
        found: Clips whose features were there.
        added: Clips whose features are there now.
        rounding: Largest relative error (L2) that 16 bits made in the tokens of a clip.
        stopped: Why no more features are kept, or None.
    """

    def __init__(self, folder: Path, load: LoadClips, recipe: Recipe) -> None:
        self._folder, self._load, self._recipe = folder, load, recipe
        self._shelf = folder / fingerprint(recipe.words)
        self._words: dict[Clip, dict[str, Any]] = {}
        self._coming = 0
        self.found, self.added, self.rounding = 0, 0, 0.0
        self.stopped: str | None = None

    @property
    def told(self) -> dict[str, Any]:
        """What a run record says of the cache."""
        return {
            "kept_as": self._recipe.kept_as,
            "found": self.found,
            "added": self.added,
            "rounding": self.rounding,
            "stopped": self.stopped,
        }

    def __call__(self, clips: Sequence[Clip]) -> Iterator[tuple[Clip, Frames | KnownClip | DecodeError]]:
        """Yields each clip with its features where they are there, else as the loader gives it."""
        hashes = media_hashes(self._folder, [clip.path for clip in clips])
        self._words = {clip: self._words_of(clip, hashes[clip.path]) for clip in clips if clip.path in hashes}
        self._coming = len(clips)
        self._note_use()
        new = [clip for clip in clips if clip not in self._words or not has_entry(self._place(clip))]
        awaited, decoded = set(new), self._load(new) if new else iter(())
        try:
            for clip in clips:
                self._coming -= 1
                yield next(decoded) if clip in awaited else (clip, self._take(clip))
        finally:
            if isinstance(decoded, Generator):
                decoded.close()

    def keep(self, clip: Clip, features: Features, frames: Frames) -> Features:
        """Keeps the features of a clip, unless keeping has stopped.

        Args:
            clip: The clip.
            features: Tokens (1, N*T, D) and embedding (1, E).
            frames: What they were made from.

        Returns:
            The features as a later run will find them, float32 on their device.

        Raises:
            BlipvidError: Tokens do not fit into 16 bits.
        """
        exact = Features(features.tokens.float(), features.embeds.float())
        kept = Features(exact.tokens.to(KINDS[self._recipe.kept_as]), exact.embeds)
        rounding = self._measure(clip, exact, kept)
        if self.stopped is None and clip in self._words:
            told = {
                "clip": self._words[clip],
                "shelf": self._shelf.name,
                "backend": frames.backend,
                "notes": list(frames.notes),
                "indices": frames.indices.tolist(),
                "rounding": rounding,
            }
            try:
                self._ask_for_room(kept)
                write_entry(self._place(clip), kept, told)
                self.added += 1
            except OSError as error:
                self._stop(error)
        return Features(kept.tokens.float(), kept.embeds)

    def join(self, parts: Sequence[dict[str, Any]]) -> None:
        """Takes what the caches of all processes of one job have to tell, its own included, as its own."""
        self.found, self.added = (sum(part[what] for part in parts) for what in ("found", "added"))
        self.rounding = max(part["rounding"] for part in parts)
        self.stopped = next((part["stopped"] for part in parts if part["stopped"]), None)

    def _words_of(self, clip: Clip, sha256: str) -> dict[str, Any]:
        """Returns what makes a clip the one that it is; the ending of a file decides how it is read."""
        return {
            "sha256": sha256,
            "ending": clip.path.suffix.lower(),
            "start_s": clip.start_s,
            "end_s": clip.end_s,
            "id": clip.id if self._recipe.by_id else None,
        }

    def _place(self, clip: Clip) -> Path:
        return entry_path(self._shelf, self._words[clip])

    def _take(self, clip: Clip) -> Frames | KnownClip | DecodeError:
        """Reads the features of a clip, or decodes it after all where they were removed meanwhile or are damaged."""
        entry = read_entry(self._place(clip))
        if entry is None:
            ((_, decoded),) = self._load([clip])
            return decoded
        known, told = entry
        self.found += 1
        self.rounding = max(self.rounding, told["rounding"])
        return KnownClip(Features(known.features.tokens.float(), known.features.embeds), known.backend, known.notes)

    def _measure(self, clip: Clip, exact: Features, kept: Features) -> float:
        if kept.tokens.dtype == torch.float32:
            return 0.0
        error = (kept.tokens.float() - exact.tokens).norm() / exact.tokens.norm().clamp_min(1e-30)
        if exact.tokens.isfinite().all() and not error.isfinite():
            raise BlipvidError(f"clip '{clip.id}': its tokens are too large for 16 bits; keep them by --cache fp32.")
        self.rounding = max(self.rounding, float(error))
        return float(error)

    def _ask_for_room(self, features: Features) -> None:
        """Stops keeping, by an error, before the room is gone that the run itself needs for the clips to come.

        Raises:
            OSError: There is too little room, or no folder can be made.
        """
        needed = features.tokens.nbytes + 4 * features.tokens.numel() * self._coming
        self._shelf.mkdir(parents=True, exist_ok=True)  # an absent folder lies on no disk that could be asked
        free = shutil.disk_usage(self._shelf).free
        if free < needed:
            raise OSError(errno.ENOSPC, f"{free:,} bytes free, {needed:,} needed until the end of the run")

    def _stop(self, error: OSError) -> None:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        room = "'blipvid cache gc' with --max-gb makes room, and BLIPVID_CACHE names another disk"
        mend = room if full else "mend the folder, or let BLIPVID_CACHE name another"
        self.stopped = f"the cache {self._folder} took no more features ({error.strerror or error}); {mend}"

    def _note_use(self) -> None:
        """Writes down, for people, what the features were made by and used for."""
        path = self._shelf / RECIPE
        with suppress(OSError):
            used = read_recipe(path).get("used_for", {})
            together = {kind: sorted({*used.get(kind, ()), name}) for kind, name in self._recipe.used_for.items()}
            with replacing(path) as temporary:
                temporary.write_text(json.dumps({"made_by": self._recipe.words, "used_for": together}, indent=1))


def read_recipe(path: Path) -> dict[str, Any]:
    """Reads what features were made by and used for; nothing where there is no such file."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
