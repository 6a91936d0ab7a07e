"""The benchmark of whole networks: what their cores take, and how fast they are, beside others."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import files
from benchmarks import core_model
from benchmarks.cores import Job, schedule_all, synthesize_all
from benchmarks.network_plots import time_chart
from benchmarks.published import DSP_LUT, PEERS, Area
from benchmarks.tables import Table, lines
from gen import devices, estimate, fit
from gen.devices import Device
from gen.fit import Form
from gen.structures import STRUCTURES
from gen.timing import NOTE as TIMING_NOTE
from jobs import Executor
from models import network

__all__ = ["PES", "SCHEMA", "bench_network", "markdown", "row", "tables"]

SCHEMA = 1
STORE = "jobs"
PES = (256, 512, 1024)
"""PEs of the cores, by default."""

INTRODUCTION = f"""\
*Exact:* cycles, utilization and memory are those of the schedule, which co-simulation has the
Verilog keep cycle by cycle. An image follows the one before after as many cycles as "cycles" says;
"latency" is from the first byte of an image to its last logit. "Used", or utilization, is the share
of the multiplications possible in these cycles, with weights of the layers' formats, that are
done. Memory is width times depth; "padding" is what the weight memory has beyond the network's
weights.

*Estimated:* images/s at {{clock_mhz:g}} MHz take that clock for granted. Areas are of syntheses for
{{device}} with an open tool, module by module, without place and route; a DSP counts as {DSP_LUT}
LUTs in GOPS/kLUT, and a multiplication and addition are two operations. Fmax: {TIMING_NOTE}

*Published:* figures of others are as their authors measured them on hardware, on other devices and
partly of other networks; ours beside them were never on hardware. A dash is what is not known.
"""

Progress = Callable[[str, float], None]


def _forms(scheme: str, structures: Sequence[str]) -> list[Form]:
    """The smallest form of each structure; some form of one that does not exist for the scheme."""
    known = fit.forms((scheme,))
    return [form for name in structures for form in (
        [form for form in known if form.structure == name]
        or [Form(scheme=scheme, structure=name, tree="binary", target="portable",
                 dsp=STRUCTURES[name].DSP[0])])]


def _throughput(macs: int, cycles: int, mhz: float) -> dict[str, float]:
    images = 1e6 * mhz / cycles
    return {"images_per_second": round(images, 1), "gops": round(2 * macs * images / 1e9, 2)}


def row(job: Job, schedule: Mapping[str, Any], synthesis: Mapping[str, Any] | None, *,
        device: Device, clock_mhz: float) -> dict[str, Any]:
    """What is said of a core.

    Parameters
    ----------
    schedule, synthesis : :class:`dict`
        Of the job, see ``benchmarks.cores``; no synthesis if there is none.

    Returns
    -------
    :class:`dict`
        ``net`` (name of its folder), ``artefact``, the fields of :class:`gen.fit.Form`, ``pes``;
        all of ``schedule``; and if the core exists, ``at_clock`` (``images_per_second``, ``gops``)
        and ``synthesis``, null or the given one with ``percent`` of the device, ``fits``,
        ``images_per_second``, ``gops`` and ``gops_per_klut`` (DSPs counted) at the estimated clock.
    """
    found = {"net": Path(job.net).name, "artefact": job.hash, **asdict(job.form), "pes": job.pes,
             **schedule}
    if schedule["refused"] is not None:
        return found
    work = schedule["macs"], schedule["image_cycles"]
    found["at_clock"] = _throughput(*work, clock_mhz)
    found["synthesis"] = None
    if synthesis is not None:
        total = synthesis["total"]
        percent = {kind: round(100 * total[kind] / getattr(device, kind), 2)
                   for kind in fit.RESOURCES}
        speed = _throughput(*work, synthesis["fmax_estimate_mhz"])
        equivalent = Area(total["lut"], total["ff"], total["dsp"]).lut_equivalent
        assert equivalent is not None
        found["synthesis"] = {
            **synthesis, "percent": percent,
            "fits": all(share <= 100 for share in percent.values()), **speed,
            "gops_per_klut": round(1000 * speed["gops"] / equivalent, 3)}
    return found


def bench_network(nets: Sequence[Path], output: Path, executor: Executor, *,
                  pes: Sequence[int] = PES, structures: Sequence[str] = tuple(STRUCTURES),
                  device: str = "xc7a100t", clock_mhz: float = 100.0, synth: bool = False,
                  model: Path | None = None,
                  progress: Progress = lambda what, share: None) -> dict[str, Any]:
    """Schedules the cores of networks, synthesizes them if wanted, and writes ``network.json``,
    ``network.md`` and a time chart for each network.

    Parameters
    ----------
    nets : list of path
        Artefacts.
    output : path
        Folder of the files, and of the results of finished jobs.
    executor : :class:`Executor`
        Runs the jobs.
    pes : list of :class:`int`
        PEs.
    structures : list of :class:`str`
        Of ``gen.structures.STRUCTURES``.
    device : :class:`str`
        Of ``gen.devices.DEVICES``.
    clock_mhz : :class:`float`
        A clock that throughput is given for.
    synth : :class:`bool`
        Whether cores are synthesized.
    model : path or None
        Where the model of ``gen.core_estimate`` is written to. It is fitted to further cores of the
        same networks and structures (``benchmarks.core_model``), and judged by the others; all are
        synthesized.

    Returns
    -------
    :class:`dict`
        What ``network.json`` holds: ``schema``, ``device``, ``clock_mhz``, ``rows`` (:func:`row`;
        also of cores that do not exist), ``peers`` (:data:`benchmarks.published.PEERS`) and
        ``files``.

    Raises
    ------
    :exc:`ValueError`
        If a network cannot be read, a structure or device does not exist, the clock is not
        positive, ``output`` is a file, or there are no cores to judge a model by.
    """
    unknown = [name for name in structures if name not in STRUCTURES]
    if unknown or not structures:
        raise ValueError(f"structures must be some of {', '.join(STRUCTURES)}, not "
                         f"{', '.join(unknown) or 'none'}")
    target = devices.get(device)
    if not clock_mhz > 0:
        raise ValueError(f"clock must be more than 0 MHz, not {clock_mhz:g}")
    if output.exists() and not output.is_dir():
        raise ValueError(f"{output} is a file, expected a folder or a new name")
    progress("reading", 0.0)
    cores = [Job(net=str(net.absolute()), hash=artefact.hash, form=form, pes=count)
             for net in dict.fromkeys(nets) for artefact in [network.load(net)]
             for form in _forms(artefact.scheme, structures) for count in dict.fromkeys(pes)]
    schedules = schedule_all(cores, executor, store=output / STORE, progress=progress)
    syntheses: dict[str, dict[str, Any]] = {}
    possible = [core for core in cores if schedules[core.key]["refused"] is None]
    further = core_model.fitted_jobs(possible) if model else []
    if synth or model:
        syntheses = synthesize_all([*possible, *further], device, executor, store=output / STORE,
                                   progress=progress)
    if model:
        known = {syntheses[core.key]["verilog_sha256"] for core in further}
        files.write_json(model, core_model.fit(
            estimate.load(), [(core, syntheses[core.key]) for core in further],
            [(core, syntheses[core.key]) for core in possible
             if syntheses[core.key]["verilog_sha256"] not in known],
            made_by=f"doubleq bench network {' '.join(net.name for net in dict.fromkeys(nets))} "
                    f"--pes {','.join(map(str, pes))} --structures {','.join(structures)} "
                    f"--device {device} --model"))

    content: dict[str, Any] = {
        "schema": SCHEMA, "device": target.name, "clock_mhz": clock_mhz,
        "rows": [row(core, schedules[core.key], syntheses.get(core.key), device=target,
                     clock_mhz=clock_mhz) for core in cores],
        "peers": [asdict(peer) for peer in PEERS]}
    charts = {}
    for number, best in enumerate(_fastest(content["rows"]), 1):
        title = f"{best['net']}: {best['structure']}, {best['pes']} PEs, " \
                f"{best['image_cycles']:,} cycles, {best['utilization']:.1f} %"
        charts[f"network_{number}.svg"] = time_chart(best["layers"], title=title)
    content["files"] = ["network.json", "network.md", *charts]
    for name, text in charts.items():
        files.write_text(output / name, text)
    files.write_text(output / "network.md", markdown(content))
    files.write_json(output / "network.json", content)
    return content


def _images_per_second(entry: Mapping[str, Any]) -> float:
    return (entry["synthesis"] or entry["at_clock"])["images_per_second"]


def _fastest(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The fastest core of each network, of those that fit if that is known."""
    found: dict[str, dict[str, Any]] = {}
    for entry in rows:
        if entry["refused"] is None and (entry["synthesis"] or {"fits": True})["fits"]:
            best = found.setdefault(entry["artefact"], entry)
            if _images_per_second(entry) > _images_per_second(best):
                found[entry["artefact"]] = entry
    return list(found.values())


def _about(entry: Mapping[str, Any]) -> tuple[Any, ...]:
    return entry["net"], entry["structure"] + ", DSPs" * entry["dsp"], entry["pes"]


def _speeds(rows: Sequence[Mapping[str, Any]], clock_mhz: float) -> Table:
    return Table("Cycles and memory, exact", (
        "network", "structure", "PEs", "cycles", "latency", "used, %", "weights, kbit",
        "padding, %", "activations, kbit", f"images/s at {clock_mhz:g} MHz"), [
        (*_about(entry), entry["image_cycles"], entry["latency_cycles"], entry["utilization"],
         entry["memory"]["weight_bits"] / 1000, entry["memory"]["weight_padding"],
         entry["memory"]["activation_bits"] / 1000, entry["at_clock"]["images_per_second"])
        for entry in rows])


def _areas(rows: Sequence[Mapping[str, Any]], device: str) -> Table:
    found = []
    for entry in rows:
        synthesis = entry["synthesis"]
        if synthesis is not None:
            slow, fast = synthesis["fmax_estimate_range_mhz"]
            found.append((
                *_about(entry),
                *(f"{synthesis['total'][kind]:g} ({synthesis['percent'][kind]:.0f} %)"
                  for kind in fit.RESOURCES),
                "yes" if synthesis["fits"] else "no: " + ", ".join(
                    kind.upper() for kind, share in synthesis["percent"].items() if share > 100),
                f"{synthesis['fmax_estimate_mhz']:.0f} ({slow:.0f} to {fast:.0f})",
                synthesis["images_per_second"], synthesis["gops"], synthesis["gops_per_klut"]))
    return Table(f"Synthesized for {device}; clock and throughput estimated", (
        "network", "structure", "PEs", "LUT", "FF", "DSP", "BRAM36", "fits", "Fmax, MHz",
        "images/s", "GOPS", "GOPS/kLUT"), found)


def _refused(rows: Sequence[Mapping[str, Any]]) -> Table:
    reasons: dict[tuple[Any, ...], list[int]] = {}
    for entry in rows:
        *name, pes = _about(entry)
        reasons.setdefault((*name, entry["refused"]), []).append(pes)
    return Table("Cores that do not exist", ("network", "structure", "PEs", "why"), [
        (*name, ", ".join(map(str, pes)), why) for (*name, why), pes in reasons.items()])


def tables(content: Mapping[str, Any]) -> list[Table]:
    """The tables of what :func:`bench_network` returns."""
    rows = [entry for entry in content["rows"] if entry["refused"] is None]
    refused = [entry for entry in content["rows"] if entry["refused"] is not None]
    fastest = _fastest(rows)
    ours = []
    for entry in fastest:
        synthesis = entry["synthesis"]
        total = synthesis["total"] if synthesis else {}
        how = "estimated" if synthesis else f"at {content['clock_mhz']:g} MHz"
        ours.append((f"{entry['structure']}, {entry['pes']} PEs, {how}", entry["net"],
                     content["device"], _images_per_second(entry), None, total.get("lut"),
                     total.get("dsp")))
    layers = [Table(
        f"Layers of {entry['net']}: {entry['structure']}, {entry['pes']} PEs",
        ("layer", "kind", "format", "MACs", "cycles", "utilization, %"),
        [tuple(layer[key] for key in ("name", "kind", "format", "macs", "cycles", "utilization"))
         for layer in entry["layers"]]) for entry in fastest]
    areas = _areas(rows, content["device"])
    return [
        _speeds(rows, content["clock_mhz"]), *([areas] if areas.rows else []),
        Table("Beside others: ours estimated, theirs measured", (
            "accelerator", "network", "device", "images/s", "top-1, %", "LUT", "DSP"),
            [*ours, *(tuple(peer[key] for key in (
                "name", "network", "device", "images_per_second", "top1", "lut", "dsp"))
                for peer in content["peers"])]),
        *layers,
        *([_refused(refused)] if refused else [])]


def markdown(content: Mapping[str, Any]) -> str:
    """Tables and charts as Markdown."""
    text = ["# Networks on cores", "", INTRODUCTION.format(**content)]
    for table in tables(content):
        text += lines(table)
    text += ["## Layers in time", ""]
    text += [f"![{name}]({name})" for name in content["files"] if name.endswith(".svg")]
    return "\n".join(text) + "\n"
