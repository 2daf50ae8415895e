"""Sets of captioned pictures in tar files, in the layout of WebDataset that img2dataset writes, read by sample number.

webdataset says how patterns name shards and how members make up samples. Its reading is not used: it streams each shard
and shuffles in a buffer, so that what comes next depends on what was read before, and a run that was killed would go on
with other batches. The random access that earlier releases had (`wids`) is gone in 1.0. Instead the places of all
members are noted once for each shard, in an index in the cache folder, after which each sample is one short read.
"""

import glob
import hashlib
import io
import json
import tarfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby
from pathlib import Path

import numpy as np
import numpy.typing as npt
from webdataset.shardlists import expand_urls
from webdataset.tariterators import base_plus_ext

from blipvid.core.errors import ConfigError, DataError
from blipvid.core.files import replacing
from blipvid.core.places import cache_folder
from blipvid.data.files import some
from blipvid.train.pictures.batches import CAPTIONED
from blipvid.train.pictures.order import Order
from blipvid.train.pictures.rows import caption_of
from blipvid.train.pictures.samples import OPENED_AT_ONCE, BrokenSampleError, PictureSet, Sample, open_picture
from blipvid.train.pictures.sets import CAPTION_WORDS
from blipvid.train.pictures.settings import Paths, ShardSettings

WINDOW = 8
"""Shards among which samples are shuffled: wide enough to mix what was crawled together, narrow enough that reading
stays within a few files."""

PICTURES, TEXT, METADATA = ("jpg", "jpeg", "png", "webp"), "txt", "json"

ABSENT = (-1, 0)


@dataclass(frozen=True, slots=True)
class Index:
    """Where the samples of one shard lie.

    Attributes:
        keys: (N,) names of the samples.
        spans: (N, 3, 2) int64: of picture, text and metadata the begin and the length in bytes; begin -1 where absent.
    """

    keys: npt.NDArray[np.str_]
    spans: npt.NDArray[np.int64]


class ShardSet(PictureSet):
    """Captioned pictures in tar files.

    Args:
        settings: Its part of the recipe, with whole paths.

    Raises:
        ConfigError: The cache folder cannot be written.
        DataError: A pattern matches nothing, or a shard is missing, empty, compressed or damaged.
    """

    feed = CAPTIONED

    def __init__(self, settings: ShardSettings) -> None:
        self.shards = find_shards(settings.tars)
        with ThreadPoolExecutor(OPENED_AT_ONCE) as threads:
            self.indexes = list(threads.map(index_file, self.shards))
        counts = np.array([len(load_index(file).keys) for file in self.indexes])
        empty = [str(shard) for shard, count in zip(self.shards, counts, strict=True) if not count]
        if empty:
            raise DataError(f"{len(empty):,} shards hold no picture: {some(empty)}; remove them, or fetch them again.")
        self.ends = counts.cumsum()

    def __len__(self) -> int:
        return int(self.ends[-1])

    def shuffle(self, rng: np.random.Generator) -> Order:
        """Draws the order of one epoch: of the shards, and of all samples within a window of shards."""
        return WindowOrder(self.ends, rng)

    def read(self, number: int, rng: np.random.Generator) -> Sample:
        """Reads one sample; see the base class."""
        which = int(self.ends.searchsorted(number, side="right"))
        index = load_index(self.indexes[which])
        place = number - int(self.ends[which])  # counted from the end of the shard, below 0
        name = f"{self.shards[which]}: {index.keys[place]}"
        try:
            with self.shards[which].open("rb") as file:
                picture, text, metadata = (_cut(file, *map(int, span)) for span in index.spans[place])
        except OSError as error:
            raise DataError(f"{name}: cannot be read ({error.strerror}); the shard was there before.") from error
        caption = _caption(name, text, metadata)
        if picture is None:
            raise BrokenSampleError(f"{name}: no picture ({', '.join(PICTURES)}).")
        try:
            return Sample((open_picture(io.BytesIO(picture), name),), caption_of(caption, CAPTION_WORDS, name), number)
        except DataError as error:
            raise BrokenSampleError(str(error)) from error


class WindowOrder:
    """One epoch of shards: the shards shuffled, then the samples of so many shards at a time.

    Args:
        ends: Running count of samples up to the end of each shard.
        rng: Draws the order.
    """

    def __init__(self, ends: npt.NDArray[np.int64], rng: np.random.Generator) -> None:
        shards = rng.permutation(len(ends))
        self.begins, self.counts = np.roll(ends, 1)[shards], np.diff(ends, prepend=0)[shards]
        self.begins[shards == 0] = 0
        self.window_ends = np.append(self.counts.cumsum()[WINDOW - 1 :: WINDOW], ends[-1])
        self.seed = int(rng.integers(2**63))
        self._last: tuple[int, npt.NDArray[np.int64]] | None = None

    def __getitem__(self, place: int) -> int:
        """Returns the sample at a place of the epoch."""
        window = int(self.window_ends.searchsorted(place, side="right"))
        if self._last is None or self._last[0] != window:
            self._last = window, self._draw(window)
        return int(self._last[1][place - (self.window_ends[window - 1] if window else 0)])

    def _draw(self, window: int) -> npt.NDArray[np.int64]:
        own = slice(window * WINDOW, (window + 1) * WINDOW)
        runs = zip(self.begins[own], self.counts[own], strict=True)
        samples = np.concatenate([np.arange(begin, begin + count) for begin, count in runs])
        return np.random.default_rng((self.seed, window)).permutation(samples)


def find_shards(patterns: Paths) -> list[Path]:
    """Finds the shards that patterns name.

    Raises:
        ConfigError: A pattern cannot be read.
        DataError: A pattern matches nothing, or a file it names is missing.
    """
    written = [patterns] if isinstance(patterns, str) else patterns
    shards = [path for pattern in written for plain in _without_braces(pattern) for path in _match(plain)]
    missing = [str(path) for path in shards if not path.is_file()]
    if missing:
        raise DataError(f"{len(missing):,} of {len(shards):,} shards are missing: {some(missing)}; see key 'tars'.")
    return list(dict.fromkeys(shards))


def index_file(shard: Path) -> Path:
    """Returns the file that says where the samples of a shard lie, made now where it is absent.

    Raises:
        ConfigError: The cache folder cannot be written.
        DataError: The shard is not an uncompressed, whole tar file.
    """
    state = shard.stat()
    name = hashlib.sha256(f"{shard.resolve()}|{state.st_size}|{state.st_mtime_ns}".encode()).hexdigest()
    path = cache_folder() / "shards" / f"{name[:32]}.npz"
    if path.is_file():
        return path
    samples = list(_samples_in(shard))
    keys, spans = np.array([key for key, _ in samples], np.str_), [spans for _, spans in samples]
    try:
        with replacing(path) as temporary, temporary.open("wb") as file:
            np.savez(file, keys=keys, spans=np.array(spans, np.int64).reshape(-1, 3, 2))
    except OSError as error:
        raise ConfigError(
            f"{path}: the index of {shard} cannot be written ({error}); set $BLIPVID_CACHE to another folder."
        ) from error
    return path


@lru_cache(maxsize=4 * WINDOW)
def load_index(path: Path) -> Index:
    """Reads an index; its name stands for one state of one shard, so it never goes stale."""
    with np.load(path) as arrays:
        return Index(arrays["keys"], arrays["spans"])


def _without_braces(pattern: str) -> list[str]:
    try:
        return list(expand_urls(pattern))
    except (ValueError, AssertionError) as error:  # braces that do not close; a ${word} that no variable stands for
        raise ConfigError(
            f"'{pattern}' is no pattern of shards ({error}); write one like '{{00000..00099}}.tar' to key 'tars'."
        ) from error


def _match(pattern: str) -> list[Path]:
    path = Path(pattern)
    if not glob.has_magic(pattern):
        return [path]
    found = sorted(Path(name) for name in glob.glob(pattern))  # noqa: PTH207 (pathlib wants a pattern relative to a folder)
    if not found:
        raise DataError(f"no shard matches {path}; see key 'tars'.")
    return found


def _samples_in(shard: Path) -> Iterator[tuple[str, list[tuple[int, int]]]]:
    """Yields the key of each sample that has a picture or a caption, and the spans of both and of the metadata."""
    try:
        with tarfile.open(shard, "r:") as tar:
            files = [
                (*base_plus_ext(member.name), member.offset_data, member.size) for member in tar if member.isfile()
            ]
    except (tarfile.TarError, OSError) as error:
        raise DataError(f"{shard}: is no whole, uncompressed tar file ({error}); fetch or unpack it again.") from error
    for key, group in groupby(files, key=lambda file: file[0]):
        spans = {str(suffix).lower(): (begin, size) for _, suffix, begin, size in group}
        picture = next((spans[suffix] for suffix in PICTURES if suffix in spans), ABSENT)
        found = [picture, spans.get(TEXT, ABSENT), spans.get(METADATA, ABSENT)]
        if key is not None and found != [ABSENT] * 3:
            yield key, found


def _cut(file: io.BufferedReader, begin: int, length: int) -> bytes | None:
    if begin < 0:
        return None
    file.seek(begin)
    return file.read(length)


def _caption(name: str, text: bytes | None, metadata: bytes | None) -> str:
    try:
        caption = text.decode() if text is not None else json.loads(metadata or b"{}").get("caption")
    except (ValueError, AttributeError) as error:
        raise BrokenSampleError(f"{name}: the caption cannot be read ({error}).") from error
    if not isinstance(caption, str) or not caption.strip():
        raise BrokenSampleError(f"{name}: no caption, neither as {TEXT} nor in {METADATA}.")
    return caption
