"""Export of a core: Verilog, and a sidecar that says what it is.

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
    In order of computation, of each: ``name``, ``kind``, ``format``, ``macs``, ``sets``,
    ``vectors`` of a set, ``interval`` between sets, ``cycles`` of the layer, and ``tensor``, where
    its output lies (null for the logits): ``base``, ``blocks``, ``columns``, ``height``, ``width``
    and ``order``, as ``gen.schedule.Tensor`` describes.
"""

import hashlib
from dataclasses import asdict
from pathlib import Path
from typing import Any

import files
from gen.core import Core
from gen.core_parameters import CoreParameters
from gen.export import GENERATOR, described_ports, tool_versions
from gen.hierarchy import VerilogPlatform
from gen.schedule import Tensor
from models.network import Network
from rtl import SCHEMA, SIDECAR

__all__ = ["export_core", "write_core"]


def _tensor(tensor: Tensor | None) -> dict[str, Any] | None:
    if tensor is None:
        return None
    return {"base": tensor.base, "blocks": tensor.blocks, "columns": tensor.columns,
            "height": tensor.height, "width": tensor.width, "order": list(tensor.order)}


def export_core(network: Network, parameters: CoreParameters) -> tuple[str, dict[str, Any]]:
    """The Verilog text of a core, and its sidecar: the same for the same arguments.

    Raises
    ------
    :exc:`ValueError`
        If a layer cannot be mapped: its name and why.
    """
    core = Core(network, parameters)
    platform = VerilogPlatform()
    platform.add(core)
    top, schedule = core.module_name, core.schedule
    text = "\n".join([
        f"// Made by {GENERATOR}, see {SIDECAR}.\n", *reversed(platform.modules.values())])
    array = asdict(parameters.array)
    layers = [{
        "name": operation.node.name, "kind": operation.kind, "format": operation.format,
        "macs": network.topology.macs(operation.node.name) if operation.node.weighted else 0,
        "sets": operation.sets, "vectors": operation.vectors, "interval": operation.interval,
        "cycles": core.layer_cycles[operation.node.name], "tensor": _tensor(operation.output),
    } for operation in schedule.operations]
    return text, {
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
        "ports": described_ports(core),
        "tools": tool_versions(),
    }


def write_core(network: Network, parameters: CoreParameters, path: Path) -> dict[str, Any]:
    """Writes :func:`export_core`'s two files to the folder ``path``, and gives the sidecar.

    Raises
    ------
    :exc:`ValueError`
        As :func:`export_core`, or if ``path`` holds something that is nothing exported.
    :exc:`OSError`
        If ``path`` cannot be written.
    """
    text, sidecar = export_core(network, parameters)
    with files.new_folder(path, marker=SIDECAR) as folder:
        files.write_text(folder / sidecar["verilog"], text)
        files.write_json(folder / SIDECAR, sidecar)
    return sidecar
