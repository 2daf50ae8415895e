"""What the pictures of a report have in common: their size, their look, and that they are inline SVG."""

import io
from typing import Any

SIZE = (5.2, 3.2)
"""Width and height in inches."""


def as_svg(figure: Any, axes: Any, *, legend: bool = True) -> str:
    """Returns a matplotlib figure as an SVG element; the same figure gives the same text.

    Args:
        figure: The figure.
        axes: Its axes, with labelled artists.
        legend: Whether the labels are shown.
    """
    from matplotlib import rc_context

    if legend:
        axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", alpha=0.25)
    axes.set_axisbelow(True)
    text = io.StringIO()
    with rc_context({"svg.hashsalt": "blipvid", "svg.fonttype": "none"}):
        figure.savefig(text, format="svg", metadata={"Date": None})
    return text.getvalue()[text.getvalue().index("<svg") :]
