"""The tables of the accuracy benchmark, and its Markdown."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from benchmarks.published import (
    MEMORY_KB,
    OTHERS_COMPRESSION,
    RESNET20_CURVE,
    RESNET20_FLOAT,
)

__all__ = ["DOUBLEQ_AS_PUBLISHED", "FLOAT", "QUANT8", "QUANT8_AS_PUBLISHED", "Table", "is_papers",
           "lines", "markdown", "tables"]

FLOAT, QUANT8 = "float", "Quant8"
QUANT8_AS_PUBLISHED, DOUBLEQ_AS_PUBLISHED = "Quant8 as published", "DoubleQ as published"
"""Names of rows that others are compared with."""

INTRODUCTION = """\
Integer networks are measured by the golden model, exactly as the hardware computes; affine ones,
the paper's form, are fake-quantized. Memory is that of the convolution weights, as the paper counts
it, 1 kB = 1000 bytes. ± is one standard error. "Against Quant8" is paired: the same images, and the
error of the difference. KL is the mean divergence of the class probabilities from the float
network's, "as float" the share of images with the same first class. "As published" and
Algorithm 1 have one weight scale a layer and round as the paper does; the others have one scale a
channel. The first
{calibration_images} training images calibrate and the last {selection_images} select, unless a row
says that it selects on test images.
"""


@dataclass(frozen=True)
class Table:
    """A table; None is what is not known or does not apply.

    Parameters
    ----------
    title : :class:`str`
        What it shows.
    columns : tuple of :class:`str`
        Headings.
    rows : list of tuple
        Cells: text, integers, or reals, which are shown to two decimals.
    """

    title: str
    columns: tuple[str, ...]
    rows: list[tuple[Any, ...]]


def is_papers(content: Mapping[str, Any]) -> bool:
    """Whether the network is one whose memory the paper prints."""
    paper = MEMORY_KB.get(content["model"])
    [quant8] = [row for row in content["rows"] if row["name"] == QUANT8]
    return paper is not None and round(quant8["conv_bytes"] / 1000, 2) == paper["quant8"][0]


def _signed(value: float, form: str = "") -> str:
    return f"{value:+{form}}".replace("-", "−")


def _points(accuracy: Mapping[str, Any]) -> str:
    against = accuracy["against_quant8"]
    return f"{_signed(against['points'], '.2f')} ± {against['standard_error']:.2f}"


def _accuracy(content: Mapping[str, Any], index: int) -> Table:
    data = content["data"][index]
    rows = []
    for row in content["rows"]:
        own = row["accuracy"][index]
        apart = own["divergence"]
        rows.append((row["name"], row["conv_bytes"] / 1000,
                     f"{own['top1']:.2f} ± {own['top1_error']:.2f}",
                     f"{own['top5']:.2f} ± {own['top5_error']:.2f}",
                     _points(own), _signed(own["against_quant8"]["images"]),
                     None if apart is None else f"{apart:.4f}", own["agreement"]))
    return Table(f"Accuracy on {data['images']} test images of {data['name']}",
                 ("network", "kB", "top-1 %", "top-5 %", "against Quant8, points", "images",
                  "KL, nats", "as float %"), rows)


def _memory(content: Mapping[str, Any]) -> Table:
    return Table("Memory, and the cost of making it", (
        "network", "kB", "float / ours", "int8 / ours", "with all else, kB", "seconds",
        "peak memory, MB"), [
        (row["name"], row["conv_bytes"] / 1000, row["times_float32"], row["times_int8"],
         row["full_bytes"] and row["full_bytes"] / 1000, row["seconds"], row["peak_memory_mb"])
        for row in content["rows"]])


def _beside_paper(content: Mapping[str, Any]) -> Table:
    """The rows of Tables 3 to 5; beside a DoubleQExt the largest network of each curve at no more
    memory."""
    printed = MEMORY_KB[content["model"]] if is_papers(content) else {}
    by_name = {row["name"]: row for row in content["rows"]}
    pairs = [(label, printed.get(scheme, (None,))[0], by_name.get(name))
             for label, scheme, name in [
                 ("float", "float", FLOAT), ("Quant8", "quant8", QUANT8),
                 ("Quant8", "quant8", QUANT8_AS_PUBLISHED),
                 ("DoubleQ", "doubleq", DOUBLEQ_AS_PUBLISHED)]]
    for size in printed.get("doubleqext", ()):
        for search in dict.fromkeys(row["search"] for row in content["rows"] if row["search"]):
            fitting = [row for row in content["rows"]
                       if row["search"] == search and row["conv_bytes"] / 1000 <= size]
            pairs.append(("DoubleQExt", size,
                          max(fitting, key=lambda row: row["conv_bytes"], default=None)))
    losses = RESNET20_CURVE if content["model"] == "resnet20" else {}
    return Table("Beside the paper's Tables 3 to 5, in points against Quant8",
                 ("the paper's", "kB", "points", "ours", "ours, kB",
                  *(data["name"] for data in content["data"])),
                 [(label, size, _signed(0 - losses[size], ".2f") if size in losses else None,
                   row["name"], row["conv_bytes"] / 1000, *map(_points, row["accuracy"]))
                  for label, size, row in pairs if row is not None])


def _compression(content: Mapping[str, Any]) -> Table:
    return Table("Compression against float (Table 9)", ("", "bytes", "ours", "published"), [
        *((f"DoubleQ, {row['packing']}", round(row["bytes"]), row["times_float32"], row["paper"])
          for row in content["compression"]),
        *((name, None, None, ratio) for name, ratio in OTHERS_COMPRESSION.items())])


def _searches(content: Mapping[str, Any]) -> Table:
    return Table("Searches", ("search", "on", "images", "evaluations", "saved by reuse, %",
                              "seconds", "peak memory, MB"), [
        (search["name"], search["on"], search["images"], search["evaluations"],
         100 * search["macs_reused"], search["cost"]["seconds"],
         search["cost"]["peak_memory_mb"]) for search in content["searches"]])


def tables(content: Mapping[str, Any]) -> list[Table]:
    """All tables of what ``benchmarks.accuracy.bench_accuracy`` returns."""
    found = [*(_accuracy(content, index) for index in range(len(content["data"]))),
             _beside_paper(content), _memory(content), _compression(content)]
    return [*found, _searches(content)] if content["searches"] else found


def _cell(value: Any) -> str:
    if value is None:
        return "—"
    return f"{value:,.2f}" if isinstance(value, float) else str(value)


def lines(table: Table) -> list[str]:
    """A table as lines of Markdown, under its title."""
    return [f"## {table.title}", "", "| " + " | ".join(table.columns) + " |",
            "|" + "---|" * len(table.columns),
            *("| " + " | ".join(map(_cell, row)) + " |" for row in table.rows), ""]


def markdown(content: Mapping[str, Any]) -> str:
    """Tables and plots as Markdown."""
    text = [f"# Accuracy of {content['model']}", "",
            f"`{content['checkpoint']}` (SHA-256 {content['checkpoint_sha256'][:16]}…).", "",
            INTRODUCTION.format(**content)]
    for table in tables(content):
        text += lines(table)
    if is_papers(content) and content["model"] == "resnet20":
        text += [f"The paper's float ResNet-20 has {RESNET20_FLOAT} % on the whole test set.", ""]
    text += ["## Plots", ""]
    text += [f"![{name}]({name})" for name in content["files"] if name.endswith(".svg")]
    return "\n".join(text) + "\n"
