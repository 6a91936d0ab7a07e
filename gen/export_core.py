"""Export of a core: Verilog, a C header, what is loaded, and a sidecar that says what it is.

Of the sidecar, ``schema``, ``generator``, ``top``, ``verilog``, ``verilog_sha256``, ``artefact``,
``ports`` and ``tools`` are as ``gen.export`` describes; ``kind`` is ``core``. Besides:

``parameters``
    The fields of ``gen.parameters.ArrayParameters`` of one array, ``groups``, ``requantizers``,
    ``weights``, and ``pes``, those of all arrays.
``image_cycles``
    Cycles of an image, once it is there and where logits never wait.
``macs``
    Multiply-accumulates of the network for an image.
``memory``
    ``weight_bits`` and ``activation_bits``, width times depth; ``banks`` and ``depth`` of the
    activation memory; ``wide``, the activations of a word; ``channels`` written at a time.
``layers``
    In order of computation, of each: ``name``, ``kind``, ``format``, ``macs``, ``pe_cycles`` (the
    fewest that these take, of all PEs together: a PE does several in a cycle, or needs several
    cycles for one, as its structure and the format are), ``sets``, ``vectors`` of a set,
    ``interval`` between sets, ``cycles`` of the layer, and ``tensor``, where its output lies (null
    for the logits): ``base``, ``blocks``, ``columns``, ``height``, ``width`` and ``order``, as
    ``gen.schedule.Tensor`` describes.
``files``
    SHA-256 by name of what lies beside: the header of ``gen.header``, and ``weights.bin`` where
    weights are loaded.
``load``
    Null where weights are fixed. Else: ``words`` of a load, 32 bits each, and ``crc32``, the last
    one; ``memories`` in the order of loading, of each ``memory``, ``rows``, ``bits`` of a row and
    ``words`` of a row; and ``ranges``, the fields of ``gen.requantizer.RequantizerRanges``, each
    range as its first and last value.

*A load*, as ``weights.bin`` has it: memory after memory, row after row; of each row its low bits
first, padded with zeros to words of 32 bits, which are little-endian. A memory of weights has the
name of their format, and a row has the codes of each output channel after those of the one before,
as ``gen.schedule`` arranges them. ``constants`` are biases and multipliers; a row has those of as
many channels as requantizers of a group, of each its bias and above it 16 bits of multiplier. The
last word is the CRC-32 of all bytes before it (that of IEEE 802.3: :func:`zlib.crc32`), and comes
with ``last``. A core whose last load had another CRC or length computes no image, and
``load_error`` is high, until a load is right.

*What may be loaded*: the program of a core (layers, formats, shifts, zero points, the table of
pixels) is fixed at synthesis. Only weights, biases and multipliers of another network may take the
place of the ones that it was made for, and only where all else is the same.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import files
from gen.core import Core
from gen.core_parameters import CoreParameters
from gen.export import GENERATOR, described_ports, tool_versions
from gen.header import c_header
from gen.hierarchy import VerilogPlatform
from gen.loader import load_image, load_words
from gen.parameters import ArrayParameters
from gen.requantizer import RequantizerRanges
from gen.schedule import Operation, Tensor
from models.network import Network
from rtl import LOAD, RTL, SCHEMA, SIDECAR

__all__ = ["export_core", "write_core", "write_weights"]


def _tensor(tensor: Tensor | None) -> dict[str, Any] | None:
    if tensor is None:
        return None
    return {"base": tensor.base, "blocks": tensor.blocks, "columns": tensor.columns,
            "height": tensor.height, "width": tensor.width, "order": list(tensor.order)}


def _pe_cycles(parameters: CoreParameters, operation: Operation, macs: int) -> float:
    if operation.format is None:
        return 0.0
    return macs * operation.passes / parameters.taps(operation.format)


def _load(core: Core) -> dict[str, Any] | None:
    if core.loader is None:
        return None
    return {
        "words": load_words(core.contents),
        "crc32": int.from_bytes(load_image(core.contents)[-4:], "little"),
        "memories": [{"memory": name, "rows": len(content.rows), "bits": content.bits,
                      "words": content.words} for name, content in core.contents.items()],
        "ranges": {name: [value[0], value[-1]] if isinstance(value, range) else value
                   for name, value in vars(core.ranges).items()},
    }


def export_core(network: Network, parameters: CoreParameters, *,
                ranges: RequantizerRanges | None = None
                ) -> tuple[dict[str, bytes], dict[str, Any]]:
    """The files of a core by name, the Verilog first, and its sidecar: the same for the same
    arguments.

    Raises
    ------
    :exc:`ValueError`
        As :class:`gen.core.Core`.
    """
    core = Core(network, parameters, ranges=ranges)
    platform = VerilogPlatform()
    platform.add(core)
    top, schedule = core.module_name, core.schedule
    text = "\n".join([
        f"// Made by {GENERATOR}, see {SIDECAR}.\n", *reversed(platform.modules.values())])
    array = asdict(parameters.array)
    macs = {node.name: network.topology.macs(node.name) for node in network.topology.weighted}
    layers = [{
        "name": operation.node.name, "kind": operation.kind, "format": operation.format,
        "macs": macs.get(operation.node.name, 0),
        "pe_cycles": _pe_cycles(parameters, operation, macs.get(operation.node.name, 0)),
        "sets": operation.sets, "vectors": operation.vectors, "interval": operation.interval,
        "cycles": core.layer_cycles[operation.node.name], "tensor": _tensor(operation.output),
    } for operation in schedule.operations]
    sidecar: dict[str, Any] = {
        "schema": SCHEMA,
        "kind": "core",
        "generator": GENERATOR,
        "top": top,
        "verilog": f"{top}.v",
        "verilog_sha256": hashlib.sha256(text.encode()).hexdigest(),
        "artefact": network.hash,
        "parameters": {**array, "groups": parameters.groups,
                       "requantizers": parameters.requantizers, "weights": parameters.weights,
                       "pes": parameters.pes},
        "image_cycles": core.image_cycles,
        "macs": schedule.macs,
        "memory": {"weight_bits": schedule.weight_bits,
                   "activation_bits": schedule.activation_bits, "banks": schedule.banks,
                   "depth": schedule.depth, "wide": parameters.wide,
                   "channels": parameters.channels},
        "layers": layers,
        "load": _load(core),
        "ports": described_ports(core),
        "tools": tool_versions(),
    }
    beside = {f"{top}.h": c_header(network.topology, sidecar).encode()}
    if core.loader:
        beside[LOAD] = load_image(core.contents)
    sidecar["files"] = {
        name: hashlib.sha256(content).hexdigest() for name, content in beside.items()}
    return {sidecar["verilog"]: text.encode(), **beside}, sidecar


def _write(contents: Mapping[str, bytes], sidecar: dict[str, Any], path: Path) -> None:
    with files.new_folder(path, marker=SIDECAR) as folder:
        for name, content in contents.items():
            files.write_bytes(folder / name, content)
        files.write_json(folder / SIDECAR, sidecar)


def write_core(network: Network, parameters: CoreParameters, path: Path) -> dict[str, Any]:
    """Writes :func:`export_core`'s files to the folder ``path``, and gives the sidecar.

    Raises
    ------
    :exc:`ValueError`
        As :func:`export_core`, or if ``path`` holds something that is nothing exported.
    :exc:`OSError`
        If ``path`` cannot be written.
    """
    contents, sidecar = export_core(network, parameters)
    _write(contents, sidecar, path)
    return sidecar


def write_weights(network: Network, hardware: RTL, path: Path) -> dict[str, Any]:
    """As :func:`write_core`, a core whose Verilog is that of ``hardware``: what is loaded is the
    other network's.

    Raises
    ------
    :exc:`ValueError`
        As :func:`write_core`, or if ``network`` cannot be loaded there.
    :exc:`OSError`
        If ``path`` cannot be written.
    """
    top = hardware.top
    if not hardware.sidecar.get("load"):
        raise ValueError(f"{top}: expected a core with --weights load, its weights are fixed")
    knobs = dict(hardware.parameters)
    del knobs["pes"]
    of_core = {name: knobs.pop(name) for name in ("groups", "requantizers", "weights")}
    parameters = CoreParameters(array=ArrayParameters(**knobs), **of_core)
    ranges: dict[str, Any] = {
        name: range(value[0], value[1] + 1) if isinstance(value, list) else value
        for name, value in hardware.sidecar["load"]["ranges"].items()}
    contents, sidecar = export_core(network, parameters, ranges=RequantizerRanges(**ranges))
    # The Verilog has all of a core but what is loaded.
    if sidecar["verilog_sha256"] != hardware.sidecar["verilog_sha256"]:
        raise ValueError(
            f"artefact {network.hash[:12]} needs other hardware than {top}: only weights, biases "
            f"and multipliers can be loaded; layers, formats, shifts, zero points and the table "
            f"of pixels must be the same")
    _write(contents, sidecar, path)
    return sidecar
