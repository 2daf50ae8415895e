"""Names that a person types, and the objects behind them, our own and those that other packages announce.

A package outside blipvid adds an entry by a Python entry point in one of the groups below; YAML never names code.
Nothing is imported until its name is asked for.
"""

from collections.abc import Iterator
from importlib.metadata import EntryPoint, entry_points
from typing import Generic, TypeVar

from blipvid.core.config import did_you_mean
from blipvid.core.errors import ConfigError

T = TypeVar("T")


class Registry(Generic[T]):
    """Finds objects by name: those given here first, then those of installed packages.

    Args:
        group: Entry-point group, for instance `blipvid.samplers`.
        what: The word for one entry in messages, for instance `sampler`.
        own: blipvid's own entries.
    """

    def __init__(self, group: str, what: str, own: dict[str, T] | None = None) -> None:
        self.group, self.what, self._own = group, what, dict(own or {})

    def _announced(self) -> dict[str, EntryPoint]:
        return {point.name: point for point in entry_points(group=self.group)}

    def names(self) -> list[str]:
        """Returns all known names, sorted."""
        return sorted({*self._own, *self._announced()})

    def giver(self, name: str) -> str:
        """Returns who gives an entry: `blipvid`, or the package that announces it with its version."""
        point = None if name in self._own else self._announced().get(name)
        if point is None:
            return "blipvid"
        return f"{point.dist.name} {point.dist.version}" if point.dist else point.value

    def __contains__(self, name: object) -> bool:
        return name in self._own or name in self._announced()

    def __iter__(self) -> Iterator[str]:
        return iter(self.names())

    def get(self, name: str) -> T:
        """Returns the object behind a name.

        Raises:
            ConfigError: No such name, or the package that announces it fails to import.
        """
        if name in self._own:
            return self._own[name]
        point = self._announced().get(name)
        if point is None:
            known = self.names()
            hint = did_you_mean(name, known) or f" Known: {', '.join(known) or 'none'}."
            raise ConfigError(f"unknown {self.what} '{name}'.{hint}")
        try:
            return point.load()
        except (ImportError, AttributeError) as error:
            raise ConfigError(
                f"{self.what} '{name}' is announced as {point.value} (entry point group {self.group}) "
                f"but cannot be imported: {error}. Mend or uninstall that package."
            ) from error
