"""What no task goes on with: a set of nothing, and numbers that are not finite. One wording for all."""

from collections.abc import Sized

from blipvid.core.errors import BlipvidError, DataError


def refuse_empty(**things: Sized) -> None:
    """Makes sure that there is something to do.

    Args:
        things: What a set holds, by its name in the plural.

    Raises:
        DataError: There is none of something.
    """
    if not all(map(len, things.values())):
        counts = ", ".join(f"{len(own):,} {name}" for name, own in things.items())
        raise DataError(f"the set is empty ({counts}); check the annotation file, its mapped fields and any limit.")


def not_finite(owner: str, what: str) -> BlipvidError:
    """Makes the error for numbers that are not finite; `owner` is for instance `clip 'c1'`, and `what` a plural."""
    return BlipvidError(
        f"{owner}: the model gives {what} that are not finite; try precision fp32, and check the checkpoint."
    )
