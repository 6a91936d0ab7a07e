"""Co-simulation: real layers of a network through generated Verilog, against the golden model."""

import json
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from models.golden import GoldenNetwork
from models.network import Network, Node
from rtl import RTL, read_netlist, read_rtl
from sim.mapping import LayerJob, map_layer
from sim.runner import simulate

__all__ = ["choose_layers", "cosimulate"]


def choose_layers(network: Network, layer: str | None) -> list[Node]:
    """The layers with weights, in order of computation, or the one that ``layer`` names, by name
    or by the paper's number among the convolutions.

    Raises
    ------
    :exc:`ValueError`
        If there is no such layer.
    """
    weighted = [node for node in network.topology.order if node.weighted]
    if layer is None:
        return weighted
    convs = network.topology.convs
    if layer.isdecimal() and int(layer) < len(convs):
        return [convs[int(layer)]]
    for node in weighted:
        if node.name == layer:
            return [node]
    raise ValueError(f"layer must be 0 to {len(convs) - 1} or one of "
                     f"{', '.join(node.name for node in weighted)}, not {layer!r}")


def _jobs(network: Network, nodes: list[Node], pixels: np.ndarray, rtl: RTL, outputs: int | None
          ) -> list[LayerJob]:
    golden = GoldenNetwork(network)
    with torch.inference_mode():
        tensors = golden.run(pixels, keep={node.input for node in nodes})
        return [map_layer(golden, node, tensors[node.input], rtl, outputs=outputs)
                for node in nodes]


def _located(entry: dict[str, Any], jobs: list[LayerJob], network: Network, slices: int
             ) -> dict[str, Any]:
    """A mismatch of the bench in terms of the network."""
    if entry["layer"] is None:
        return entry
    job = next(job for job in jobs if job.layer == entry["layer"])
    _, height, width = network.topology.shapes[job.layer]
    image, pixel = divmod(int(job.pixels[entry["output"]]), height * width)
    channel = None if entry["slice"] is None else entry["tile"] * slices + entry["slice"]
    return {"what": entry["what"], "cycle": entry["cycle"], "layer": job.layer, "image": image,
            "channel": channel, "pixel": list(divmod(pixel, width)),
            "expected": entry["expected"], "got": entry["got"]}


def cosimulate(network: Network, folder: Path, pixels: np.ndarray, *, layer: str | None = None,
               outputs: int | None = None, simulator: str = "verilator", gaps: float = 0.0,
               seed: int = 0, wave: Path | None = None, corrupt: int | None = None,
               netlist: bool = False,
               progress: Callable[[int, int], None] = lambda done, total: None) -> dict[str, Any]:
    """Streams layers of ``network`` through the array in ``folder``.

    Every accumulator (Σ q·w, without bias) is compared with the golden model's, and the cycle in
    which it appears with the predicted one.

    Parameters
    ----------
    pixels : array
        Images, uint8 [N, C, H, W].
    layer : :class:`str` or None
        Name or number of a layer, None for all.
    outputs : :class:`int` or None
        At most so many output pixels of each layer, evenly spread; None for all.
    gaps : :class:`float`
        Share of the cycles, at random, in which no vector enters.
    seed : :class:`int`
        Of those random choices.
    wave : path or None
        Where to write an FST waveform.
    corrupt : :class:`int` or None
        Adds one to the golden value with this index, to show that the comparison notices.
    netlist : :class:`bool`
        Whether the netlist that synthesis left in ``folder`` takes the place of the Verilog.
    progress : callable
        Told the vectors done and in all.

    Returns
    -------
    dict
        ``layers`` (each with ``layer``, ``format``, ``vectors``, ``cycles``, ``macs``,
        ``accumulators``), totals under the same keys, ``mismatches``, ``reported`` (the first
        mismatches: layer, image, channel, pixel, expected, got), ``seconds``, and ``utilization``,
        the share of PE cycles that did useful MACs.

    Raises
    ------
    :exc:`ValueError`
        If a layer does not fit the array, or as :func:`sim.runner.simulate`.
    """
    rtl = (read_netlist if netlist else read_rtl)(folder)
    if rtl.sidecar["kind"] != "array":
        raise ValueError(f"{folder}: expected a generated array, found {rtl.sidecar['kind']!r}")
    missing = {"latency", "encodings"} - set(rtl.sidecar) | (
        {"slices", "lanes", "accumulator_bits"} - set(rtl.parameters))
    if missing:
        raise ValueError(f"{folder}: the sidecar lacks {', '.join(sorted(missing))}")
    jobs = _jobs(network, choose_layers(network, layer), pixels, rtl, outputs)
    if corrupt is not None:
        jobs[0].expected.reshape(-1)[corrupt] += 1
    ports = {port["name"]: port for port in rtl.sidecar["ports"]}
    fields = {field["name"]: field for field in ports["i__payload"]["fields"]}
    total = sum(job.vectors for job in jobs)
    start = time.perf_counter()
    scratch = Path(tempfile.mkdtemp(prefix="doubleq-"))
    try:
        for index, job in enumerate(jobs):
            np.savez(scratch / f"{index}.npz", allow_pickle=False, **job.arrays())
        (scratch / "job.json").write_text(json.dumps({
            "fields": fields, "acc": ports["o__payload"]["fields"][0],
            "latency": rtl.sidecar["latency"], "gaps": gaps, "seed": seed,
            "layers": [{"layer": job.layer, "mode": job.mode} for job in jobs]}))
        result = simulate(Path(folder), rtl, bench="sim.bench_array", job=scratch,
                          simulator=simulator, wave=wave,
                          progress=lambda cycles: progress(min(cycles, total), total))
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    layers = [{"layer": job.layer, "format": network.layers[job.layer].format,
               "vectors": job.vectors, "cycles": cycles, "macs": job.macs,
               "accumulators": job.channels * len(job.pixels)}
              for job, cycles in zip(jobs, result["layer_cycles"], strict=True)]
    sums = {key: sum(entry[key] for entry in layers) for key in
            ("vectors", "cycles", "macs", "accumulators")}
    return {"artefact": network.hash, "top": rtl.top, "verilog": rtl.name, "simulator": simulator,
            "layers": layers, **sums, "mismatches": result["mismatches"],
            "reported": [_located(entry, jobs, network, rtl.parameters["slices"])
                         for entry in result["reported"]],
            "utilization": sums["macs"] / (sums["cycles"] * rtl.parameters["pes"]),
            "seconds": time.perf_counter() - start}
