"""Where the definitions that ship with blipvid lie, in a checkout and in an installed wheel alike."""

import os
import sys
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1]


def definitions(kind: str) -> Path:
    """Returns the folder of shipped YAML files.

    Args:
        kind: `benchmarks`, `configs/models` or `configs/train`.

    Returns:
        The folder beside the package in a checkout, else the one a wheel installs below `share/blipvid`.
    """
    beside = PACKAGE.parent / kind
    return beside if beside.is_dir() else Path(sys.prefix) / "share" / "blipvid" / kind


def cache_folder() -> Path:
    """Returns blipvid's cache folder: $BLIPVID_CACHE, else `blipvid` below $XDG_CACHE_HOME or ~/.cache."""
    own = os.environ.get("BLIPVID_CACHE")
    if own:
        return Path(own)
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "blipvid"


def features_folder() -> Path:
    """Returns the folder of features that are kept between runs."""
    return cache_folder() / "features"
