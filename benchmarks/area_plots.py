"""The plots of the area benchmark."""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import svg

__all__ = ["draw", "front", "per_pe", "throughput"]

COLOURS = {"quant8": "#4472c4", "doubleq": "#ed7d31", "doubleqext": "#70ad47", "paper": "#a5a5a5"}
MARKERS = "osD^vP*X<>"
WEIGHTS = {"int8": "8-bit weights", "pot": "weights that are powers of two"}

Rows = Sequence[Mapping[str, Any]]


def front(points: Iterable[tuple[float, float]]) -> list[tuple[float, float]]:
    """The Pareto front of areas and throughputs, by area: the points to which none is at least as
    small and faster, or smaller and as fast."""
    kept: list[tuple[float, float]] = []
    for area, speed in sorted(set(points), key=lambda point: (point[0], -point[1])):
        if not kept or speed > kept[-1][1]:
            kept.append((area, speed))
    return kept


def _name(row: Mapping[str, Any]) -> str:
    parameters = row["parameters"]
    return f"{parameters['structure']}{', DSPs' * parameters['dsp']}"


def per_pe(rows: Rows) -> str:
    """Bars of LUT per PE of the arrays of ``benchmarks.area`` with most PEs, DSPs counted; a line
    where the paper is."""
    most = max(row["parameters"]["pes"] for row in rows)
    shown = [row for row in rows if row["parameters"]["pes"] == most]
    groups = [list(group) for _, group in
              itertools.groupby(shown, key=lambda row: row["parameters"]["scheme"])]

    def draw(axes: Any) -> None:
        ticks: list[str] = []
        for group in groups:
            scheme, paper = group[0]["parameters"]["scheme"], group[0]["paper"]
            first = len(ticks)
            for row in group:
                x, lut = len(ticks), row["total"]["lut"] / most
                whole = row["lut_equivalent"] / most
                axes.bar(x, lut, 0.7, color=COLOURS[scheme],
                         label=scheme if row is group[0] else None)
                if whole > lut:
                    axes.bar(x, whole - lut, 0.7, bottom=lut, color=COLOURS[scheme], alpha=0.35)
                axes.annotate(f"{lut:.1f}" + f" + {row['total']['dsp'] / most:.2g} DSP"
                              * (whole > lut), (x, whole), ha="center", va="bottom", fontsize=7)
                ticks.append(_name(row))
            axes.hlines(paper["lut_equivalent"] / most, first - 0.45, len(ticks) - 0.55,
                        color="black", linestyle="--", linewidth=1,
                        label="the paper" if group is groups[-1] else None)
        axes.set_xticks(range(len(ticks)), ticks, rotation=30, ha="right", fontsize=8)
        axes.set_yscale("log")
        # Room for the legend.
        axes.set_ylim(1, 4000)
        axes.set_ylabel("LUT per PE\n(lighter: DSPs as the paper counts them)")
        axes.set_title(f"{most} PEs", fontsize=9)
        axes.legend(frameon=False, fontsize=8, ncols=4, loc="upper left")

    return svg.render(draw, size=(7.5, 4.0))


def throughput(rows: Rows) -> str:
    """A panel for each kind of weights: throughput by area, and the Pareto front."""
    kinds = [weights for weights in WEIGHTS if any(weights in row["gops"] for row in rows)]
    names = list(dict.fromkeys(map(_name, rows)))

    def draw(axes: Any) -> None:
        for panel, weights in zip(axes if isinstance(axes, list) else [axes], kinds, strict=True):
            shown = [row for row in rows if weights in row["gops"]]
            best = front((row["lut_equivalent"], row["gops"][weights]) for row in shown)
            panel.plot(*zip(*best, strict=True), color="#888", linewidth=1, zorder=1,
                       drawstyle="steps-post", label="Pareto front")
            for kind in dict.fromkeys((row["parameters"]["scheme"], _name(row)) for row in shown):
                points = [(row["lut_equivalent"], row["gops"][weights]) for row in shown
                          if (row["parameters"]["scheme"], _name(row)) == kind]
                scheme, name = kind
                panel.scatter(*zip(*points, strict=True), s=28, color=COLOURS[scheme],
                              marker=MARKERS[names.index(name) % len(MARKERS)],
                              label=f"{scheme} {name}")
            panel.set_xscale("log")
            panel.set_yscale("log")
            panel.set_xlabel("LUT, DSPs counted")
            panel.set_ylabel("GOPS, estimated")
            panel.set_title(WEIGHTS[weights], fontsize=9)
            panel.legend(frameon=False, fontsize=7)

    return svg.render(draw, size=(7.5, 4.2), panels=len(kinds))


def draw(rows: Rows) -> dict[str, str]:
    """SVG of rows of ``benchmarks.area``, by the name of the file."""
    return {"area_lut_per_pe.svg": per_pe(rows), "area_throughput.svg": throughput(rows)}
