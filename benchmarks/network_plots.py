"""Plots of what a core does: its layers in time, and its activation memory."""

from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any

import svg

__all__ = ["memory_map", "time_chart"]

COLOURS = {"conv": "#4472c4", "avgpool": "#70ad47", "maxpool": "#ffc000"}
# Of all cycles, for a label to fit.
NARROWEST = 0.025

Layers = Sequence[Mapping[str, Any]]


def _starts(layers: Layers) -> list[int]:
    """The cycle in which each layer starts, and the one after the last."""
    return list(accumulate((layer["cycles"] for layer in layers), initial=0))


def _label(axes: Any, x: float, y: float, text: str) -> None:
    axes.annotate(text, (x, y), ha="center", va="bottom", rotation=90, fontsize=6,
                  xytext=(0, 2), textcoords="offset points")


def time_chart(layers: Layers, *, title: str = "") -> str:
    """Layers as blocks, as wide as their cycles and as high as their utilization: the area is
    work, what is above it is not used.

    Parameters
    ----------
    layers
        As of ``benchmarks.cores.describe``.
    """
    starts = _starts(layers)

    def draw(axes: Any) -> None:
        for layer, start in zip(layers, starts, strict=False):
            first = not any(before["kind"] == layer["kind"] for before in layers[
                :layers.index(layer)])
            axes.bar(start, layer["utilization"], layer["cycles"], align="edge",
                     color=COLOURS[layer["kind"]], edgecolor="white", linewidth=0.5,
                     label=layer["kind"] if first else None)
            if layer["cycles"] > NARROWEST * starts[-1]:
                _label(axes, start + layer["cycles"] / 2, layer["utilization"],
                       f"{layer['name']}, {layer['utilization']:.0f} %")
        axes.set_xlim(0, starts[-1])
        axes.set_ylim(0, 150)
        axes.set_yticks(range(0, 101, 20))
        axes.axhline(100, color="#888", linewidth=0.5)
        axes.set_xlabel("cycle")
        axes.set_ylabel("multiplications done, % of possible")
        axes.set_title(title, fontsize=9)
        if len({layer["kind"] for layer in layers}) > 1:
            axes.legend(frameon=False, fontsize=7, loc="upper right")

    return svg.render(draw)


def memory_map(layers: Layers, tensors: Layers, depth: int) -> str:
    """Tensors as blocks, from the start of the layer that writes them to the end of the last one
    that reads them, at their addresses.

    Parameters
    ----------
    layers, tensors, depth
        As of ``benchmarks.cores.describe``.
    """
    starts = _starts(layers)

    def draw(axes: Any) -> None:
        for number, tensor in enumerate(tensors):
            first, last = tensor["layers"]
            start, end = starts[first], starts[last + 1]
            axes.bar(start, tensor["size"], end - start, bottom=tensor["base"], align="edge",
                     color=f"C{number % 10}", alpha=0.75, edgecolor="white", linewidth=0.5)
            if end - start > 2 * NARROWEST * starts[-1]:
                axes.annotate(tensor["name"], ((start + end) / 2,
                                               tensor["base"] + tensor["size"] / 2),
                              ha="center", va="center", fontsize=6)
        axes.set_xlim(0, starts[-1])
        axes.set_ylim(0, depth)
        axes.set_xlabel("cycle")
        axes.set_ylabel("address of each bank")

    return svg.render(draw)
