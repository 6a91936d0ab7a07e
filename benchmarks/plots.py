"""The plots of the accuracy benchmark."""

from collections.abc import Mapping
from typing import Any

import numpy as np

import svg
from benchmarks.published import RESNET20_CURVE
from benchmarks.tables import QUANT8, is_papers
from models import formats

__all__ = ["draw"]

COLOURS = {"int8": "#4472c4", "pot5": "#ed7d31", "pot4": "#70ad47", "pot3": "#7030a0",
           "paper": "#a5a5a5"}
MARKERS = "osD^vP*X"


def _memory(content: Mapping[str, Any]) -> str:
    """A panel a test set: points against Quant8 with standard errors; a curve a search."""
    rows = [row for row in content["rows"] if row["kind"] == "integer"]
    curves = {name: [row for row in rows if row["search"] == name]
              for name in dict.fromkeys(row["search"] for row in rows)}

    def draw(axes: Any) -> None:
        panels = axes if isinstance(axes, list) else [axes]
        for index, (panel, data) in enumerate(zip(panels, content["data"], strict=True)):
            for marker, (name, members) in zip(MARKERS, curves.items(), strict=False):
                against = [row["accuracy"][index]["against_quant8"] for row in members]
                panel.errorbar([row["conv_bytes"] / 1000 for row in members],
                               [entry["points"] for entry in against],
                               [entry["standard_error"] for entry in against],
                               marker=marker, linestyle=":" if name else "", elinewidth=0.8,
                               markersize=5, label=name or "one format")
                for row, entry in zip(members, against, strict=True):
                    if name is None and row["name"] != QUANT8:
                        panel.annotate(row["name"], (row["conv_bytes"] / 1000, entry["points"]),
                                       fontsize=6, xytext=(4, 3), textcoords="offset points")
            if is_papers(content) and content["model"] == "resnet20":
                panel.scatter(list(RESNET20_CURVE), [-loss for loss in RESNET20_CURVE.values()],
                              marker="x", s=60, color="black", zorder=3,
                              label="the paper, whole test set")
            panel.axhline(0, color="#888", linewidth=0.6)
            panel.set_title(f"{data['images']} images of {data['name']}", fontsize=9)
            panel.set_xlabel("convolution weights, kB")
            panel.set_ylabel("top-1 against Quant8, points")
            panel.legend(frameon=False, fontsize=7)

    return svg.render(draw, panels=len(content["data"]), size=(7.5, 4.2))


def _layers(axes: Any, names: list[str]) -> None:
    axes.set_xticks(range(len(names)), names, rotation=90, fontsize=7)


def _sensitivity(losses: list[tuple[str, str, float]]) -> str:
    """What each convolution costs alone in each format."""
    names = list(dict.fromkeys(name for name, _, _ in losses))
    kinds = list(dict.fromkeys(fmt for _, fmt, _ in losses if fmt != "int8"))

    def draw(axes: Any) -> None:
        for i, kind in enumerate(kinds):
            found = {name: loss for name, fmt, loss in losses if fmt == kind}
            axes.bar(np.arange(len(names)) + (i - (len(kinds) - 1) / 2) * 0.8 / len(kinds),
                     [found[name] for name in names], 0.8 / len(kinds), color=COLOURS[kind],
                     label=kind)
        _layers(axes, names)
        axes.axhline(0, color="#888", linewidth=0.6)
        axes.set_ylabel("divergence from float that the\nlayer adds alone, nats")
        axes.legend(frameon=False)

    return svg.render(draw, size=(7.5, 4.2))


def _weights(rows: list[Mapping[str, Any]]) -> str:
    """A panel a network: the share of the convolution weights at each value of the grid."""

    def draw(axes: Any) -> None:
        for panel, row in zip(axes if isinstance(axes, list) else [axes], rows, strict=True):
            [(name, counts)] = row["weights"].items()
            values, shares = formats.get(name).values, 100 * np.array(counts) / sum(counts)
            if formats.get(name).power_of_two:
                panel.bar(range(len(values)), shares, color=COLOURS[name])
                panel.set_xticks(range(len(values)), [str(value) for value in values], fontsize=7)
            else:
                panel.stairs(shares, np.arange(len(values) + 1) - 127.5, fill=True,
                             color=COLOURS[name])
            panel.set_title(row["name"], fontsize=9)
            panel.set_ylabel("% of the weights")
        panel.set_xlabel("value on the integer grid")

    return svg.render(draw, panels=len(rows), size=(7.5, 2.2))


def _ranges(ranges: list[Mapping[str, Any]]) -> str:
    """What is seen at the outputs of each layer, and what int8 represents of it."""

    def draw(axes: Any) -> None:
        x = np.arange(len(ranges))
        for key, width, colour, label in [
                (("low", "high"), 1.0, "#cccccc", "seen"),
                ("quantiles", 3.0, "#888888", "99.8 % of it")]:
            ends = [entry[key] if isinstance(key, str) else [entry[end] for end in key]
                    for entry in ranges]
            axes.vlines(x, *np.array(ends).T, color=colour, linewidth=width, label=label)
        low, high = np.array([entry["represented"] for entry in ranges]).T
        axes.plot(x, low, "_", color=COLOURS["int8"])
        axes.plot(x, high, "_", color=COLOURS["int8"], label="represented")
        _layers(axes, [entry["layer"] for entry in ranges])
        axes.set_ylabel("activation")
        axes.legend(frameon=False)

    return svg.render(draw, size=(7.5, 4.2))


def draw(content: Mapping[str, Any]) -> dict[str, str]:
    """SVG of what ``benchmarks.accuracy.bench_accuracy`` returns, by the name of the file."""
    plain = [row for row in content["rows"] if len(row["weights"] or ()) == 1
             and row["kind"] == "integer" and row["search"] is None]
    losses = {(name, fmt): (name, fmt, loss) for search in content["searches"]
              for name, fmt, loss in search.get("losses", ())}
    drawn = {"accuracy_memory.svg": _memory(content), "weights.svg": _weights(plain),
             "ranges.svg": _ranges(content["ranges"])}
    return {**drawn, "sensitivity.svg": _sensitivity(list(losses.values()))} if losses else drawn
