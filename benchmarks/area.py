"""The area benchmark: every structure in its smallest form, beside the paper's Tables 6, 8 and 9.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import files
from benchmarks import area_model, area_plots
from benchmarks.area_model import parameters_of
from benchmarks.published import DSP_FF, DSP_LUT, NOTE, Area, area
from benchmarks.synthesis import synthesize_all
from benchmarks.tables import Table, lines
from gen import devices, estimate
from gen.parameters import MAX_LANES, MAX_SLICES, from_pes
from gen.structures import STRUCTURES
from gen.timing import NOTE as TIMING_NOTE
from jobs import Executor

__all__ = ["LAYOUTS", "SCHEMA", "bench_area", "parse_layouts", "row", "tables"]

SCHEMA = 1
STORE = "jobs"
LAYOUTS = "9,64,2x32,512"
"""The default layouts: numbers of PEs, or slices x lanes."""

WEIGHTS = ("int8", "pot")

INTRODUCTION = f"""\
Flattened syntheses for {{device}} by {{yosys}}. All that is in the array is counted; registers for
weights and activations in front of it are not, as it has none. {NOTE}

A MAC is two operations; its weight is of 8 bits (int8) or a power of two (pot). Layouts are slices
x lanes. Where DSPs are counted, one is {DSP_LUT} LUTs and {DSP_FF} flip-flops, as the paper has it;
its Quant8 is DSPs alone, as its LUTs beside them are not known here. Neither are its clock, so that
there is no throughput of it, nor its rows of other designs (SegLog, FP9, CORDIC). A dash is what is
not known or does not exist.

Fmax: {TIMING_NOTE}

"Model" is what the model behind `generate array --fit` is off; it was fitted to other arrays.
"""

Progress = Callable[[str, float], None]


def parse_layouts(text: str) -> list[tuple[int, int]]:
    """Slices and lanes of layouts such as ``9,2x32``, a number of PEs or slices x lanes each.

    Raises
    ------
    :exc:`ValueError`
        If one is neither, or there is no such array.
    """
    found = []
    for part in text.split(","):
        numbers = part.split("x")
        if len(numbers) > 2 or not all(number.strip().isdecimal() for number in numbers):
            raise ValueError(f"PEs must be numbers or SLICESxLANES, separated by commas, "
                             f"not {part!r}")
        sizes = tuple(map(int, numbers))
        slices, lanes = sizes if len(sizes) == 2 else from_pes(*sizes)
        if not (1 <= slices <= MAX_SLICES and 1 <= lanes <= MAX_LANES):
            raise ValueError(f"array pes must be 1 to {MAX_SLICES} slices of 1 to {MAX_LANES} "
                             f"lanes each, not {part.strip()}")
        found.append((slices, lanes))
    return found


def row(result: Mapping[str, Any], model: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """What is said of a synthesized array.

    Parameters
    ----------
    result : :class:`dict`
        See ``benchmarks.synthesis.condensed``.
    model : :class:`dict` or None
        See ``gen.estimate.load``.

    Returns
    -------
    :class:`dict`
        All of ``result``, and by the weights (``int8``, ``pot``): ``macs_per_cycle``, ``gops``
        (2 · MACs a second / 10\\ :sup:`9`), ``gops_per_klut`` (DSPs counted) and ``lut_per_mac``
        (a cycle); ``lut_equivalent`` and ``ff_equivalent`` (DSPs counted); ``paper`` (``lut``,
        ``ff``, ``dsp``, ``lut_equivalent``, ``ff_equivalent``, ``lut_per_pe``, ``ff_per_pe``, null
        where not known); ``off``, what the model is off, or null.
    """
    parameters, total = parameters_of(result), result["total"]
    ours = Area(total["lut"], total["ff"], total["dsp"])
    theirs = area(parameters.scheme, parameters.pes)
    assert ours.lut_equivalent is not None
    macs = estimate.macs_per_cycle(parameters)
    gops = {weights: round(2 * rate * result["fmax_estimate_mhz"] / 1000, 2)
            for weights, rate in macs.items()}
    return {
        **result,
        "macs_per_cycle": macs,
        "gops": gops,
        "gops_per_klut": {weights: round(1000 * value / ours.lut_equivalent, 3)
                          for weights, value in gops.items()},
        "lut_per_mac": {weights: round(total["lut"] / rate, 2) for weights, rate in macs.items()},
        "lut_equivalent": ours.lut_equivalent,
        "ff_equivalent": ours.ff_equivalent,
        "paper": {
            "lut": theirs.lut, "ff": theirs.ff, "dsp": theirs.dsp,
            "lut_equivalent": theirs.lut_equivalent, "ff_equivalent": theirs.ff_equivalent,
            **{f"{kind}_per_pe": None if figure is None else round(figure / parameters.pes, 2)
               for kind, figure in [("lut", theirs.lut), ("ff", theirs.ff)]}},
        "off": None if model is None else area_model.off(model, result),
    }


def bench_area(output: Path, executor: Executor, *, layouts: str = LAYOUTS,
               structures: tuple[str, ...] = tuple(STRUCTURES), device: str = "xc7a100t",
               model: Path | None = None, progress: Progress = lambda what, share: None
               ) -> dict[str, Any]:
    """Synthesizes arrays, and writes ``area.json``, ``area.md`` and plots.

    Parameters
    ----------
    output : path
        Folder of the files, and of the results of finished jobs.
    executor : :class:`Executor`
        Runs the jobs.
    layouts : :class:`str`
        See :func:`parse_layouts`. One that a structure does not exist for is left out.
    structures : tuple of :class:`str`
        Of ``gen.structures.STRUCTURES``.
    device : :class:`str`
        Of ``gen.devices.DEVICES``.
    model : path or None
        Where the model of ``gen.estimate`` is written, fitted to further arrays. Without it, rows
        say what the existing one is off.

    Returns
    -------
    :class:`dict`
        What ``area.json`` holds: ``schema``, ``device``, ``yosys``, ``rows`` (:func:`row`) and
        ``files``.

    Raises
    ------
    :exc:`ValueError`
        If a layout or structure does not exist, none is left, ``output`` is a file, or a model is
        asked for and there is not every structure, and one more array of each to judge it by.
    """
    sizes = parse_layouts(layouts)
    unknown = [name for name in structures if name not in STRUCTURES]
    if unknown or not structures:
        raise ValueError(f"structures must be some of {', '.join(STRUCTURES)}, not "
                         f"{', '.join(unknown) or 'none'}")
    devices.get(device)
    if model is not None and set(structures) != set(STRUCTURES):
        raise ValueError(f"a model is of all structures, not only {', '.join(structures)}")
    if output.exists() and not output.is_dir():
        raise ValueError(f"{output} is a file, expected a folder or a new name")
    forms = [form for form in estimate.forms() if form.structure in structures]
    arrays = [form.array(slices, lanes) for form in forms for slices, lanes in sizes
              if slices % STRUCTURES[form.structure].SUMS == 0]
    if not arrays:
        raise ValueError(f"none of the structures {', '.join(structures)} exists for {layouts}")
    further = [] if model is None else area_model.fitted_arrays(forms)
    results = synthesize_all([*arrays, *further], device, executor, store=output / STORE,
                             progress=progress)
    by_array = {parameters_of(result): result for result in results}
    if model is None:
        found = estimate.load()
    else:
        found = area_model.fit(forms, [by_array[array] for array in further],
                               [by_array[array] for array in arrays if array not in further])
        files.write_json(model, found)

    content: dict[str, Any] = {
        "schema": SCHEMA, "device": device, "yosys": results[0]["yosys"],
        "rows": [row(by_array[array], found) for array in dict.fromkeys(arrays)]}
    drawn = area_plots.draw(content["rows"])
    content["files"] = ["area.json", "area.md", *drawn]
    for name, text in drawn.items():
        files.write_text(output / name, text)
    files.write_text(output / "area.md", markdown(content))
    files.write_json(output / "area.json", content)
    return content


def tables(content: Mapping[str, Any]) -> list[Table]:
    """The tables of what :func:`bench_area` returns."""
    areas: list[tuple[Any, ...]] = []
    speeds: list[tuple[Any, ...]] = []
    for entry in content["rows"]:
        parameters, total, paper = entry["parameters"], entry["total"], entry["paper"]
        about = (parameters["scheme"], parameters["structure"] + ", DSPs" * parameters["dsp"],
                 f"{parameters['slices']}x{parameters['lanes']}")
        areas.append((
            *about, total["lut"], total["ff"], total["dsp"],
            float(entry["per_pe"]["lut"]), paper["lut_per_pe"],
            float(entry["per_pe"]["ff"]), paper["ff_per_pe"],
            *(entry["lut_per_mac"].get(weights) for weights in WEIGHTS),
            entry["lut_equivalent"], paper["lut_equivalent"]))
        slow, fast = entry["fmax_estimate_range_mhz"]
        speeds.append((
            *about, f"{entry['fmax_estimate_mhz']:.0f} ({slow:.0f} to {fast:.0f})",
            *(entry["gops"].get(weights) for weights in WEIGHTS),
            *(entry["gops_per_klut"].get(weights) for weights in WEIGHTS),
            *(None if entry["off"] is None else f"{100 * entry['off'][kind]:+.1f}"
              .replace("-", "−") for kind in ("lut", "delay_ns")),
            entry["seconds"], entry["peak_memory_mb"]))
    first = ("scheme", "structure", "layout")
    return [
        Table(f"Area on {content['device']}", (
            *first, "LUT", "FF", "DSP", "LUT/PE", "paper", "FF/PE", "paper",
            *(f"LUT/MAC {name}" for name in WEIGHTS),
            "LUT, DSPs counted", "paper"), areas),
        Table(f"Throughput on {content['device']}, estimated", (
            *first, "Fmax, MHz", *(f"GOPS {name}" for name in WEIGHTS),
            *(f"GOPS/kLUT {name}" for name in WEIGHTS),
            "model, LUT %", "model, delay %", "seconds", "memory, MB"), speeds)]


def markdown(content: Mapping[str, Any]) -> str:
    """Tables and plots as Markdown."""
    text = ["# Area and throughput of arrays", "", INTRODUCTION.format(**content)]
    for table in tables(content):
        text += lines(table)
    text += ["## Plots", ""]
    text += [f"![{name}]({name})" for name in content["files"] if name.endswith(".svg")]
    return "\n".join(text) + "\n"
