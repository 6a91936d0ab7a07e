# amaranth: UnusedElaboratable=no
"""Cores of networks, as jobs: their schedules, and syntheses that count as long as the Verilog, the
device and the tools are the same, whatever else was edited."""

import hashlib
import importlib.metadata
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import gen
import models
import rtl
from benchmarks import core_parts
from benchmarks.core_parts import parts
from benchmarks.synthesis import condensed, digest
from gen import arcs, devices, synth, timing, timing_graph
from gen.core import Core
from gen.core_parameters import CoreParameters, core_for
from gen.export import tool_versions
from gen.export_core import export_core, write_core
from gen.fit import Form
from jobs import Executor
from models import codes, formats, network
from models.network import Network
from models.topology import INPUT
from rtl import netlist_name, read_rtl

__all__ = ["Job", "describe", "schedule_all", "synthesize_all"]

Progress = Callable[[str, float], None]


@dataclass(frozen=True, kw_only=True)
class Job:
    """A core of a network.

    Parameters
    ----------
    net : :class:`str`
        Folder of the artefact.
    hash : :class:`str`
        Hash of the artefact.
    form : :class:`gen.fit.Form`
        The form of its arrays.
    pes : :class:`int`
        Its PEs.
    groups : :class:`int` or None
        Its groups, where not the usual number.
    """

    net: str
    hash: str
    form: Form
    pes: int
    groups: int | None = None

    @property
    def key(self) -> str:
        """What tells it from others."""
        knobs = ", ".join(f"{name} {value}" for name, value in asdict(self.form).items())
        groups = "" if self.groups is None else f" in {self.groups} groups"
        return f"{self.hash} {knobs}, {self.pes} PEs{groups}"

    def load(self) -> tuple[Network, CoreParameters]:
        """The network, and the core's knobs.

        Raises
        ------
        :exc:`ValueError`
            If there is no such artefact, or no such core.
        """
        artefact = network.load(Path(self.net))
        return artefact, core_for(artefact, self.pes, groups=self.groups, **asdict(self.form))


def describe(core: Core) -> dict[str, Any]:
    """What a core does for an image.

    Returns
    -------
    :class:`dict`
        ``channels``, ``groups``; ``macs``; ``image_cycles``, from image to image;
        ``latency_cycles``, from the first byte of an image to its last logit; ``utilization``, the
        share (%) of the multiplications possible in these cycles, by weights of the layers'
        formats, that are done;
        ``memory``: ``weight_bits``, ``activation_bits`` (width times depth), ``weight_padding`` (%
        of the bits of the network's weights), ``depth`` of the activation memory's banks;
        ``layers`` in order: ``name``, ``kind``, ``format``, ``macs``, ``cycles`` and
        ``utilization``; ``tensors`` in the activation memory: ``name``, ``base``, ``size``
        (addresses of each bank), and ``layers``, the numbers of the first and last layer during
        which it is there.
    """
    schedule, parameters, artefact = core.schedule, core.parameters, core.network
    topology = artefact.topology
    layers, busy = [], 0.0
    for operation in schedule.operations:
        name, macs = operation.node.name, 0
        cycles, needed = core.layer_cycles[name], 0.0
        if operation.node.weighted:
            assert operation.format is not None
            encoding = parameters.array.encoding(operation.format)
            macs = topology.macs(name)
            needed = macs * encoding.passes / (parameters.pes * codes.get(encoding.code).taps)
        busy += needed
        layers.append({"name": name, "kind": operation.kind, "format": operation.format,
                       "macs": macs, "cycles": cycles,
                       "utilization": round(100 * needed / cycles, 2)})
    weight_bits = sum(artefact.layers[name].weights.size * formats.get(fmt).bits
                      for name, fmt in artefact.formats.items())
    last = {name: number for number, operation in enumerate(schedule.operations)
            for name in topology.released[operation.node.name]}
    tensors = [{"name": tensor.name, "base": tensor.base, "size": tensor.size,
                "layers": [max(number, 0), last.get(tensor.name, len(layers) - 1)]}
               for number, tensor in enumerate(
                   (schedule.input, *(operation.output for operation in schedule.operations)), -1)
               if tensor is not None]
    # The next image is received into the place of the one before.
    tensors[0]["layers"] = [0, len(layers) - 1]
    assert tensors[0]["name"] == INPUT
    return {
        "channels": parameters.channels, "groups": parameters.groups, "macs": schedule.macs,
        "image_cycles": core.image_cycles, "latency_cycles": core.latency,
        "utilization": round(100 * busy / core.image_cycles, 2),
        "memory": {"weight_bits": schedule.weight_bits,
                   "weight_padding": round(100 * (schedule.weight_bits / weight_bits - 1), 2),
                   "activation_bits": schedule.activation_bits, "depth": schedule.depth},
        "layers": layers, "tensors": tensors,
    }


def _schedule(job: Job) -> dict[str, Any]:
    try:
        artefact, parameters = job.load()
        return {"refused": None, **describe(Core(artefact, parameters))}
    except ValueError as error:
        return {"refused": str(error)}


def _verilog_sha256(job: Job) -> str:
    return export_core(*job.load())[1]["verilog_sha256"]


def _synthesize(job: Job, device: str, verilog_sha256: str) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="doubleq-network-") as scratch:
        folder = Path(scratch) / "core"
        found = write_core(*job.load(), folder)["verilog_sha256"]
        if found != verilog_sha256:
            raise ValueError(f"Verilog must have SHA-256 {verilog_sha256}, found {found}: "
                             "does the worker have the same version?")
        result = condensed(synth.synthesize(folder, device, flatten=False, netlist=True))
        top = read_rtl(folder).top
        return {**result, "parts": parts((folder / netlist_name(top)).read_text(), top)}


def _moved(progress: Progress, what: str) -> Callable[[int, int], None]:
    return lambda done, total: progress(what, done / max(total, 1))


def schedule_all(cores: Iterable[Job], executor: Executor, *, store: Path,
                 progress: Progress = lambda what, share: None) -> dict[str, dict[str, Any]]:
    """Schedules of cores, without any Verilog.

    Parameters
    ----------
    store : path
        Folder of the results of finished jobs.

    Returns
    -------
    :class:`dict`
        By :attr:`Job.key`: ``refused``, null or why there is no such core; and if there is, all of
        :func:`describe`.

    Raises
    ------
    :exc:`OSError`
        As the jobs.
    """
    return executor.run(_schedule, {core.key: (core,) for core in cores}, store=store,
                        version=_version(), progress=_moved(progress, "scheduling"))


def _version() -> str:
    here = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()
    return digest((gen, models, rtl), {**tool_versions(), "cores": here})


def synthesize_all(cores: Iterable[Job], device: str, executor: Executor, *, store: Path,
                   progress: Progress = lambda what, share: None) -> dict[str, dict[str, Any]]:
    """Synthesizes cores for ``device``, module by module.

    Parameters
    ----------
    store : path
        Folder of the results of finished jobs.

    Returns
    -------
    :class:`dict`
        By :attr:`Job.key`: ``benchmarks.synthesis.condensed``, and ``parts``, resources by part of
        the core (``benchmarks.core_parts``).

    Raises
    ------
    :exc:`ValueError`, :exc:`OSError`
        As the jobs.
    """
    # The largest first: a late one would run alone.
    jobs = {core.key: (core,) for core in sorted(cores, key=lambda core: -core.pes)}
    hashes = executor.run(_verilog_sha256, jobs, store=store, version=_version(),
                          progress=_moved(progress, "generating"))
    found = executor.run(
        _synthesize, {f"{key} on {device} [{hashes[key]}]": (core, device, hashes[key])
                      for key, (core,) in jobs.items()},
        store=store, version=digest((synth, timing, timing_graph, arcs, devices, core_parts),
                                    {"pyosys": importlib.metadata.version("pyosys")}),
        progress=_moved(progress, "synthesizing"))
    return dict(zip(jobs, found.values(), strict=True))
