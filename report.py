"""The report: one HTML file with tables and plots, and nothing to load from elsewhere."""

import html
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import files
import svg
from benchmarks import area_plots, network_plots

__all__ = ["core_sections", "write"]

COLOURS = {"quant8": "#4472c4", "doubleq": "#ed7d31", "doubleqext": "#70ad47"}

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem;
       color: #222; }
table { border-collapse: collapse; margin: 1rem 0; }
th, td { border-bottom: 1px solid #ddd; padding: .3rem .8rem; text-align: right; }
th:first-child, td:first-child { text-align: left; }
svg { max-width: 100%; height: auto; }
p.note { color: #666; }
"""


def _table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    def cell(value: Any) -> str:
        if value is None:
            return "—"
        return f"{value:,.2f}" if isinstance(value, float) else html.escape(str(value))

    head = "".join(f"<th>{html.escape(column)}</th>" for column in columns)
    body = "".join("<tr>" + "".join(f"<td>{cell(value)}</td>" for value in row) + "</tr>"
                   for row in rows)
    return f"<table><tr>{head}</tr>{body}</table>"


def _accuracy(networks: list[dict[str, Any]]) -> str:
    def draw(axes: Any) -> None:
        for network in networks:
            axes.scatter(network["conv_bytes"] / 1000, network["top1"]["integer"], s=60, zorder=3,
                         color=COLOURS[network["scheme"]], label=network["scheme"])
        axes.axhline(networks[0]["top1"]["float"], color="#888", linestyle=":", label="float")
        axes.set_xlabel("convolution weights, kB")
        axes.set_ylabel("top-1, % (integer model)")
        axes.legend(frameon=False)

    return svg.render(draw)


def _weights(weights: dict[str, Any]) -> str:
    def draw(axes: Any) -> None:
        axes.hist(weights["float"], bins=127, color="#bbbbbb", label="float")
        axes.hist(weights["quant8"], bins=255, range=(-127.5, 127.5), histtype="step",
                  color=COLOURS["quant8"], label="Quant8")
        values = sorted(set(weights["doubleq"]))
        axes.vlines(values, 0, [weights["doubleq"].count(value) for value in values],
                    color=COLOURS["doubleq"], linewidth=2, label="DoubleQ")
        axes.set_yscale("symlog")
        axes.set_xlabel(f"weight of {weights['layer']}, units of the 8-bit grid")
        axes.set_ylabel("count")
        axes.legend(frameon=False)

    return svg.render(draw)


def core_sections(core: dict[str, Any]) -> list[str]:
    """Of a report, what ``demo.classify`` found: the classes, the schedule and the memory."""
    schedule, images = core["schedule"], core["images"]
    right = sum(image["label"] == image["class"] for image in images)
    return [
        "<h2>A whole network in hardware</h2>",
        f"<p>{html.escape(core['top'])}, structure {html.escape(core['structure'])}, takes "
        f"{schedule['image_cycles']:,} cycles an image and classified {right} of {len(images)} "
        f"images right; {core['mismatches']} mismatches in {core['logits']} logits, Verilog "
        f"against the golden model, and in the cycles.</p>",
        _table(["digit", "class", "logit", "cycles"],
               [list(image.values()) for image in images]),
        "<h3>Layers in time</h3>", network_plots.time_chart(schedule["layers"]),
        f"<p class=note>The area is work: {schedule['utilization']:.1f} % of the multiplications "
        f"possible on {core['pes']} PEs are done.</p>",
        _table(["layer", "kind", "format", "multiplications", "cycles", "utilization, %"],
               [[layer[key] for key in ("name", "kind", "format", "macs", "cycles", "utilization")]
                for layer in schedule["layers"]]),
        "<h3>Activation memory over layers</h3>",
        network_plots.memory_map(schedule["layers"], schedule["tensors"],
                                 schedule["memory"]["depth"]),
        f"<p class=note>{schedule['memory']['activation_bits'] / 8000:.2f} kB; the input has a "
        f"place of its own, so that the next image is received while one is computed. Weights: "
        f"{schedule['memory']['weight_bits'] / 8000:.2f} kB.</p>",
    ]


def write(result: dict[str, Any], path: Path, *, note: str, timing_note: str) -> None:
    """Writes the report of a demonstration.

    Parameters
    ----------
    result : dict
        ``networks``, ``arrays``, ``core`` and ``weights`` as ``demo.run`` makes them.
    path : path
        The HTML file.
    note, timing_note : :class:`str`
        What to say of the areas, and of the clock frequencies.

    Raises
    ------
    :exc:`OSError`
        If ``path`` cannot be written.
    """
    networks, arrays = result["networks"], result["arrays"]
    areas = [array["area"] for array in arrays]
    sections = [
        f"<p>{networks[0]['images']} held-out images. Float, fake-quantized and integer are the "
        f"same network before quantization, with rounded reals, and as the hardware computes.</p>",
        _table(["scheme", "float %", "fake-quantized %", "integer %", "conv kB", "all kB",
                "8-bit layers"],
               [(n["scheme"], n["top1"]["float"], n["top1"]["fake-quantized"],
                 n["top1"]["integer"], n["conv_bytes"] / 1000, n["full_bytes"] / 1000,
                 "all" if n["scheme"] == "quant8" else ", ".join(n["critical"]) or "none")
                for n in networks]),
        "<h2>Accuracy against memory</h2>", _accuracy(networks),
        "<h2>Weights before and after</h2>", _weights(result["weights"]),
        "<h2>Proof</h2>",
        _table(["array", "structure", "layer", "vectors", "cycles", "accumulators", "mismatches"],
               [(a["cosim"]["top"], a["structure"], a["cosim"]["layers"][0]["layer"],
                 a["cosim"]["vectors"], a["cosim"]["cycles"], a["cosim"]["accumulators"],
                 a["cosim"]["mismatches"]) for a in arrays]),
        "<p class=note>Every sum and the cycle in which it appears, Verilog against the golden "
        "model.</p>",
        "<h2>Area</h2>", area_plots.per_pe(areas),
        _table(["scheme", "structure", "PEs", "LUT", "FF", "LUT/PE", "paper", "FF/PE", "paper"],
               [(a["parameters"]["scheme"], a["parameters"]["structure"], a["parameters"]["pes"],
                 a["total"]["lut"], a["total"]["ff"], float(a["per_pe"]["lut"]),
                 a["paper"]["lut_per_pe"], float(a["per_pe"]["ff"]), a["paper"]["ff_per_pe"])
                for a in areas]),
        f"<p class=note>{html.escape(note)} The paper's Quant8 spends one DSP a PE; ours here none."
        f"</p>",
        "<h2>Throughput against area</h2>", area_plots.throughput(areas),
        f"<p class=note>A multiplication and addition are two operations. Fmax: "
        f"{html.escape(timing_note)}</p>",
        *core_sections(result["core"]),
    ]
    files.write_text(path, "<!doctype html><html lang=en><meta charset=utf-8><title>DoubleQ</title>"
                           f"<style>{STYLE}</style><h1>DoubleQ</h1>" + "\n".join(sections)
                           + "</html>\n")
