"""The pictures and videos below a folder, told by their endings."""

from pathlib import Path

from blipvid.core.errors import ConfigError
from blipvid.core.types import Clip
from blipvid.media.transforms import is_picture

_VIDEOS = {
    ".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".gif", ".mpg", ".mpeg", ".ts", ".mts", ".flv", ".wmv", ".3gp",
    ".ogv",
}  # fmt: skip


def find_media(source: Path) -> list[Clip]:
    """Lists the media files of a folder, or makes a list of one file.

    Args:
        source: A folder, which is searched with the folders in it; or one file, whatever its ending.

    Returns:
        Clips in the order of their paths; an id is the path below the folder, or the name of the one file. Hidden
        files, and those whose ending is of no picture and no video, are left out.

    Raises:
        ConfigError: There is no such file or folder, or no media file in it.
    """
    if source.is_file():
        return [Clip(source.name, source)]
    if not source.is_dir():
        raise ConfigError(f"{source}: no such file or folder; check the path.")
    found = sorted(path for path in source.rglob("*") if _is_media(path) and path.is_file())
    if not found:
        raise ConfigError(f"{source}: holds no picture and no video; name another folder, or a single file.")
    return [Clip(path.relative_to(source).as_posix(), path) for path in found]


def _is_media(path: Path) -> bool:
    return not path.name.startswith(".") and (is_picture(path) or path.suffix.lower() in _VIDEOS)
