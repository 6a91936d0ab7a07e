"""The artefact: a quantized network as integers, and its two files.

A folder holds ``network.json`` (topology, formats, scales, shifts, the pixel tables, how it was
made) and ``weights.npz`` (codes, biases, multipliers). Its hash covers every number that the
outputs depend on, so that hardware and figures can name the network that they belong to.
"""

import hashlib
import json
import zipfile
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

import files
from models import formats
from models.fields import Fields, numbers
from models.layer import (
    Layer,
    QParams,
    check_qparams,
    check_requantization,
    check_weights,
    expect,
    expect_array,
)
from models.topology import INPUT, Node, Residual, Topology

__all__ = ["INPUT", "SCHEMA", "SCHEMES", "Layer", "Network", "Node", "QParams", "Residual",
           "Topology", "load"]

SCHEMA = 1
SCHEMES = ("quant8", "doubleq", "doubleqext")
JSON_FILE = "network.json"
NPZ_FILE = "weights.npz"


@dataclass(frozen=True)
class Network:
    """A quantized network.

    Parameters
    ----------
    topology : :class:`Topology`
        The graph.
    scheme : :class:`str`
        One of :data:`SCHEMES`.
    layers : dict of :class:`Layer`
        By layer name.
    input : :class:`QParams`
        Quantization of the network's input.
    table : array
        Pixel to q: shape [channels, 256], int8.
    about : dict
        How the network was made and what was measured; JSON values. Not covered by the hash.

    Raises
    ------
    :exc:`ValueError`
        If the parts do not agree. The message names the layer and the field.
    """

    topology: Topology
    scheme: str
    layers: dict[str, Layer]
    input: QParams
    table: np.ndarray
    about: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _check(self)

    def output(self, tensor: str) -> QParams:
        """Quantization of a tensor.

        Raises
        ------
        :exc:`ValueError`
            If the tensor is the logits, which are not quantized.
        """
        params = self.input if tensor == INPUT else self.layers[tensor].output
        if params is None:
            raise ValueError(f"layer {tensor!r}: its outputs are accumulators, not int8")
        return params

    @property
    def logit_scale(self) -> float:
        """Real value of one unit of the logits."""
        last = self.topology.nodes[-1]
        weight_scale = self.layers[last.name].weight_scale
        assert weight_scale is not None
        return self.output(last.input).scale * weight_scale[0]

    @property
    def formats(self) -> dict[str, str]:
        """Weight format of every layer that has weights, in the paper's order."""
        return {node.name: self.layers[node.name].format or "" for node in self.topology.weighted}

    @property
    def int8_share(self) -> float:
        """Share of the multiplications of an image that are by 8-bit weights."""
        macs = {name: self.topology.macs(name) for name in self.formats}
        return sum(macs[name] for name, fmt in self.formats.items() if fmt == "int8") \
            / sum(macs.values())

    @property
    def conv_bytes(self) -> float:
        """Weight memory as the paper counts it, in bytes: convolutions only, packed densely."""
        return sum(conv_bytes(self.topology, self.formats).values())

    @property
    def full_bytes(self) -> int:
        """All that a device must store, in bytes: densely packed codes of every layer, each padded
        to a byte, 32-bit biases, 16-bit multipliers, and the pixel tables."""
        total = self.table.size
        for node in self.topology.nodes:
            layer = self.layers[node.name]
            if layer.format is not None and layer.bias is not None:
                total += -(-node.weight_count * formats.get(layer.format).bits // 8)
                total += 4 * layer.bias.size
            if layer.multiplier is not None:
                total += 2 * layer.multiplier.size
            total += 2 * bool(layer.residual_multiplier)
        return int(total)

    @cached_property
    def hash(self) -> str:
        """SHA-256 of all that the outputs depend on, in hexadecimal."""
        digest = hashlib.sha256(json.dumps(self._numbers(), sort_keys=True).encode())
        for name, array in self._arrays().items():
            header = f"{name} {array.dtype.str} {array.shape}"
            digest.update(header.encode() + np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()

    def _arrays(self) -> dict[str, np.ndarray]:
        arrays = {}
        for node in self.topology.nodes:
            for kind in ("codes", "bias", "multiplier"):
                array = getattr(self.layers[node.name], kind)
                if array is not None:
                    arrays[f"{node.name}/{kind}"] = array
        return arrays

    def _numbers(self) -> dict[str, Any]:
        layers = []
        for node in self.topology.nodes:
            layer = self.layers[node.name]
            layers.append({
                **asdict(node),
                "format": layer.format,
                "weight_scale": None if layer.weight_scale is None else list(layer.weight_scale),
                "output": None if layer.output is None else asdict(layer.output),
                "shift": layer.shift,
                "residual_multiplier": layer.residual_multiplier,
                "residual_shift": layer.residual_shift,
            })
        return {
            "model": self.topology.model,
            "scheme": self.scheme,
            "input_shape": list(self.topology.input_shape),
            "input": asdict(self.input),
            "table": self.table.tolist(),
            "layers": layers,
        }

    def save(self, path: Path, *, extra: dict[str, bytes] | None = None) -> None:
        """Writes the artefact, whole or not at all; an older artefact at ``path`` is replaced.

        Parameters
        ----------
        extra : dict of bytes
            Further files of the folder, which the hardware never reads.

        Raises
        ------
        :exc:`ValueError`
            If ``path`` holds something else.
        :exc:`OSError`
            If ``path`` cannot be written.
        """
        with files.new_folder(path, marker=JSON_FILE) as folder:
            content = {"schema": SCHEMA, "hash": self.hash, **self._numbers(),
                       "logit_scale": self.logit_scale,
                       "memory": {"conv_bytes": self.conv_bytes, "full_bytes": self.full_bytes},
                       "about": self.about}
            (folder / JSON_FILE).write_text(json.dumps(content, indent=1, allow_nan=False) + "\n")
            np.savez(folder / NPZ_FILE, allow_pickle=False, **self._arrays())
            for name, data in (extra or {}).items():
                (folder / name).write_bytes(data)


def conv_bytes(topology: Topology, assigned: dict[str, str]) -> dict[str, float]:
    """Weight memory of every convolution under the formats ``assigned`` to the layers, as the
    paper counts it: weights times bits / 8, in bytes."""
    return {node.name: node.weight_count * formats.get(assigned[node.name]).bits / 8
            for node in topology.convs}


def _qparams(where: str, content: Any) -> QParams:
    fields = Fields(where, content)
    params = QParams(float(fields.take("scale", int, float)), fields.take("zero_point", int))
    fields.end()
    return params


def _layer(content: Any, arrays: dict[str, np.ndarray]) -> tuple[Node, Layer]:
    fields = Fields("layer", content)
    name = fields.take("name", str)
    fields.where = where = f"layer {name!r}"
    residual = fields.take("residual", dict, type(None))
    if residual is not None:
        parts = Fields(f"{where}: residual", residual)
        residual = Residual(parts.take("tensor", str), parts.take("stride", int),
                            parts.take("offset", int))
        parts.end()
    node = Node(name=name, op=fields.take("op", str), input=fields.take("input", str),
                relu=fields.take("relu", bool), residual=residual,
                **{key: fields.take(key, int) for key in
                   ("in_channels", "out_channels", "kernel", "stride", "padding")})
    weight_scale = fields.take("weight_scale", list, type(None))
    output = fields.take("output", dict, type(None))
    layer = Layer(
        format=fields.take("format", str, type(None)),
        weight_scale=None if weight_scale is None else tuple(
            float(s) for s in numbers(f"{where}: weight_scale", weight_scale, int, float)),
        output=None if output is None else _qparams(f"{where}: output", output),
        shift=fields.take("shift", int),
        residual_multiplier=fields.take("residual_multiplier", int),
        residual_shift=fields.take("residual_shift", int),
        **{kind: arrays.pop(f"{name}/{kind}", None) for kind in ("codes", "bias", "multiplier")})
    fields.end()
    return node, layer


def _parse(content: Any, arrays: dict[str, np.ndarray]) -> Network:
    """The network that ``network.json`` and the arrays of ``weights.npz`` describe.

    Raises
    ------
    :exc:`ValueError`
        As :func:`load`, without the name of the file.
    """
    fields = Fields("network", content)
    schema = fields.take("schema", int)
    if schema != SCHEMA:
        raise ValueError(f"schema: this version reads {SCHEMA}, found {schema}")
    fields.take("hash", str)
    fields.take("memory", dict)
    fields.take("logit_scale", float)
    table = fields.take("table", list)
    for row in table:
        if not isinstance(row, list) or len(row) != 256:
            raise ValueError("table: expected 256 entries a channel")
        if any(not -128 <= q <= 127 for q in numbers("table", row, int)):
            raise ValueError("table: entries must be -128 to 127")
    shape = numbers("input_shape", fields.take("input_shape", list), int)
    if len(shape) != 3 or min(shape) < 1:
        raise ValueError(f"input_shape: expected three positive integers, found {shape}")
    arrays = dict(arrays)
    pairs = [_layer(entry, arrays) for entry in fields.take("layers", list)]
    if arrays:
        raise ValueError(f"weights.npz: {next(iter(arrays))}: belongs to no layer")
    topology = Topology(fields.take("model", str), (shape[0], shape[1], shape[2]),
                        tuple(node for node, _ in pairs))
    network = Network(topology, fields.take("scheme", str),
                      {node.name: layer for node, layer in pairs},
                      _qparams("input", fields.take("input", dict)),
                      np.array(table, np.int8), fields.take("about", dict))
    fields.end()
    return network


def _check(network: Network) -> None:
    """Checks that all parts of ``network`` agree.

    Raises
    ------
    :exc:`ValueError`
        If they do not. The message names the layer and the field.
    """
    topology = network.topology
    expect(network.scheme in SCHEMES, "network", "scheme", f"one of {', '.join(SCHEMES)}",
            network.scheme)
    check_qparams("input", network.input)
    expect_array("network", "table", network.table, np.int8, (topology.input_shape[0], 256))
    expect(set(network.layers) == {node.name for node in topology.nodes}, "network", "layers",
            "one entry for each node", sorted(network.layers))
    for node in topology.nodes:
        layer, where = network.layers[node.name], f"layer {node.name!r}"
        check_weights(where, node, layer)
        last = node is topology.nodes[-1]
        expect((layer.output is None) == last, where, "output",
                "nothing for the last layer, else a quantization", layer.output)
        if last:
            expect(layer.multiplier is None, where, "multiplier", "nothing for the last layer",
                    "values")
            expect(len(set(layer.weight_scale or ())) == 1, where, "weight_scale",
                    "one scale for all classes", "several")
            continue
        check_qparams(where, layer.output)
        check_requantization(where, node, layer)
        if node.op == "maxpool":
            source = network.input if node.input == INPUT else network.layers[node.input].output
            expect(layer.output == source, where, "output", "its input's quantization",
                    layer.output)
        if node.relu and layer.output is not None:
            zero = layer.output.zero_point
            expect(zero == -128, where, "zero_point", "-128 after relu", zero)


def load(path: Path) -> Network:
    """Reads and checks the artefact in the folder ``path``.

    Raises
    ------
    :exc:`ValueError`
        If a file is missing, damaged, of a newer schema, edited or inconsistent. The message names
        the file, the layer and the field.
    """
    path = Path(path)
    json_path, npz_path = path / JSON_FILE, path / NPZ_FILE
    for file in (json_path, npz_path):
        if not file.is_file():
            raise ValueError(f"{file}: not found, expected an artefact of 'doubleq quantize'")
    try:
        content = json.loads(json_path.read_text())
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{json_path}: not JSON ({error})") from None
    try:
        with np.load(npz_path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile) as error:
        raise ValueError(f"{npz_path}: damaged or truncated ({error})") from None
    try:
        network = _parse(content, arrays)
        found = content["hash"]
    except ValueError as error:
        raise ValueError(f"{json_path}: {error}") from None
    if network.hash != found:
        raise ValueError(f"{json_path}: hash: the contents give {network.hash[:16]}…, the file "
                         f"says {str(found)[:16]}…: edited or damaged")
    return network
