"""Plots as SVG text that is the same each time."""

import io
from typing import Any

__all__ = ["render"]


def render(draw: Any, *, size: tuple[float, float] = (7.5, 3.6), panels: int = 1) -> str:
    """What ``draw`` draws on Matplotlib axes, or on a list of them if there are several.

    Parameters
    ----------
    size : tuple of :class:`float`
        Width of the plot and height of each panel, in inches.
    panels : :class:`int`
        Axes, one below the other.
    """
    import matplotlib
    from matplotlib.figure import Figure
    with matplotlib.rc_context({"svg.hashsalt": "doubleq", "svg.fonttype": "none",
                                "axes.spines.top": False, "axes.spines.right": False}):
        figure = Figure(figsize=(size[0], size[1] * panels), layout="constrained")
        axes = figure.subplots(panels, squeeze=False)[:, 0].tolist()
        draw(axes[0] if panels == 1 else axes)
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    text = buffer.getvalue()
    return text[text.index("<svg"):]
