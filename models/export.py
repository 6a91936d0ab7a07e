"""Export of the weights, packed, for firmware and for block memories.

The folder holds ``weights.h``, and of every layer with weights ``<identifier>.mem`` (for
``$readmemh``) and ``<identifier>.coe`` (for Vivado's memories), one word of its packed codes a
line in hexadecimal. The identifier is the layer's name with ``_`` for all that C takes in no name.

A word is a byte where the codes are packed densely: bits 8·j to 8·j + 7 of the bit string of
:func:`models.formats.pack_dense`, so that a code may lie across two words. It is 16 bits wide and
holds three whole codes where they are packed as ``u16x3``, which takes ``pot5`` codes only; other
layers of the same network stay dense.

``weights.json``:

``schema``, ``artefact``, ``packing``, ``header``
    Version of this description, hash of the artefact, the packing asked for, and the name of the
    C header.
``layers``
    In the paper's order: ``name``, ``identifier``, ``format``, ``shape`` and number of the
    ``weights``, ``bits`` of a code, ``packing``, ``word_bits``, ``words``, ``bytes``, and
    ``files``: the names of ``mem`` and ``coe``.
``totals``
    ``conv``, as the paper counts: weights of the convolutions alone, 4 bytes each in float32, 1 in
    int8, bits / 8 packed densely and 2/3 in ``u16x3``. ``full``, all that a device stores: in
    float32 the weights and biases of all layers, batch norm folded; else the words of the packed
    codes and what :attr:`models.network.Network.full_bytes` counts beside them. Of each ``bytes``,
    ``float32_bytes``, ``int8_bytes``, and how many ``times`` smaller it is than either,
    ``times_float32`` and ``times_int8``.

Scales, zero points and the graph are in the artefact's ``network.json``.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import files
from models import formats
from models.layer import Layer
from models.network import Network
from models.topology import Node

__all__ = ["PACKINGS", "SCHEMA", "PackedLayer", "export", "pack"]

SCHEMA = 1
PACKINGS = ("dense", "u16x3")
JSON_FILE = "weights.json"
HEADER_FILE = "weights.h"
WORDS_PER_LINE = 8

HEADER = """\
/* Packed weights, biases and multipliers of the artefact
 * {hash}.
 *
 * Codes of a layer are in C order, [out][in][kh][kw]; a fully connected layer has kh = kw = 1.
 * dense: code k is bits k*bits to k*bits + bits - 1 of a string whose bit i is bit i % 8 of byte
 * i / 8.
 * u16x3: codes 3*j, 3*j + 1 and 3*j + 2 are bits 4:0, 9:5 and 14:10 of word j.
 *
 * int8 codes are two's complement. In the others the top bit is the sign and the rest a field f:
 * the magnitude is 2^(f + 8 - 2^(bits - 1)), or 0 where f < 1 or f < 2^(bits - 1) - 8.
 */
#ifndef DOUBLEQ_WEIGHTS_H
#define DOUBLEQ_WEIGHTS_H

#include <stddef.h>
#include <stdint.h>

#define DOUBLEQ_LAYERS {count}

struct doubleq_layer {{
    const char *name;
    const char *format;
    uint8_t bits;
    uint32_t shape[4];
    uint32_t words;             /* of the codes, in whichever of the two packings is not NULL */
    const uint8_t *dense;
    const uint16_t *u16x3;
    const int32_t *bias;        /* shape[0] of them; input zero point folded in */
    const uint16_t *multiplier; /* shape[0] of them; NULL where the accumulators are the result */
    uint8_t shift;
    uint16_t residual_multiplier;
    uint8_t residual_shift;
}};

{arrays}
static const struct doubleq_layer doubleq_layers[DOUBLEQ_LAYERS] = {{
{layers}
}};

#endif
"""


@dataclass(frozen=True)
class PackedLayer:
    """A layer with its codes packed.

    Parameters
    ----------
    node, layer : :class:`Node`, :class:`Layer`
        The layer.
    packing : :class:`str`
        One of :data:`PACKINGS`.
    words : array
        The packed codes, [number of words], uint8 if dense, little-endian uint16 in ``u16x3``.
    """

    node: Node
    layer: Layer
    packing: str
    words: np.ndarray

    @property
    def identifier(self) -> str:
        """Name of the layer in C and of its files."""
        return re.sub(r"[^0-9A-Za-z]", "_", self.node.name)

    @property
    def format(self) -> formats.WeightFormat:
        """Weight format."""
        return formats.get(self.layer.format or "")

    @property
    def word_bits(self) -> int:
        """Width of a word, in bits."""
        return 8 * self.words.itemsize

    @property
    def bytes_per_weight(self) -> float:
        """Bytes that a weight takes, the end of the last word left aside."""
        return 2 / 3 if self.packing == "u16x3" else self.format.bits / 8

    def hexadecimal(self) -> str:
        """The words, each of as many digits as it has, a line each."""
        swapped = self.words.astype(self.words.dtype.newbyteorder(">"))
        return swapped.tobytes().hex("\n", swapped.itemsize)


def pack(network: Network, packing: str = "dense") -> list[PackedLayer]:
    """Packs the codes of every layer that has weights, in the paper's order.

    Raises
    ------
    :exc:`ValueError`
        If ``packing`` is not one of :data:`PACKINGS`, is ``u16x3`` and no layer is ``pot5``, or two
        layers have the same identifier but for case.
    """
    if packing not in PACKINGS:
        raise ValueError(f"packing must be one of {', '.join(PACKINGS)}, not {packing!r}")
    assigned = network.formats
    if packing == "u16x3" and "pot5" not in assigned.values():
        raise ValueError(f"packing u16x3 takes pot5 weights, the network's are "
                         f"{', '.join(sorted(set(assigned.values())))}")
    packed: dict[str, PackedLayer] = {}
    for node in network.topology.weighted:
        layer = network.layers[node.name]
        assert layer.codes is not None
        if packing == "u16x3" and layer.format == "pot5":
            words = np.frombuffer(formats.pack_u16x3(layer.codes), "<u2")
            entry = PackedLayer(node, layer, "u16x3", words)
        else:
            content = formats.pack_dense(layer.codes, formats.get(assigned[node.name]).bits)
            entry = PackedLayer(node, layer, "dense", np.frombuffer(content, np.uint8))
        # Some file systems take names that differ in case only for the same.
        other = packed.setdefault(entry.identifier.lower(), entry)
        if other is not entry:
            raise ValueError(f"layers {other.node.name!r} and {node.name!r}: names must differ in "
                             f"letters and digits, both give {entry.identifier!r}")
    return list(packed.values())


def export(network: Network, path: Path, *, packing: str = "dense") -> dict[str, Any]:
    """Writes the packed weights into the folder ``path``, whole or not at all; an older export
    there is replaced. The same network gives the same bytes.

    Returns
    -------
    :class:`dict`
        The content of ``weights.json``.

    Raises
    ------
    :exc:`ValueError`
        As :func:`pack`, or if ``path`` holds something else.
    :exc:`OSError`
        If ``path`` cannot be written.
    """
    packed = pack(network, packing)
    content = {"schema": SCHEMA, "artefact": network.hash, "packing": packing,
               "header": HEADER_FILE, "layers": [_describe(entry) for entry in packed],
               "totals": _totals(network, packed)}
    with files.new_folder(path, marker=JSON_FILE) as folder:
        files.write_json(folder / JSON_FILE, content)
        (folder / HEADER_FILE).write_text(_header(network, packed))
        for entry in packed:
            lines = entry.hexadecimal()
            (folder / f"{entry.identifier}.mem").write_text(lines + "\n")
            (folder / f"{entry.identifier}.coe").write_text(
                "memory_initialization_radix=16;\nmemory_initialization_vector=\n"
                + lines.replace("\n", ",\n") + ";\n")
    return content


def _describe(entry: PackedLayer) -> dict[str, Any]:
    return {"name": entry.node.name, "identifier": entry.identifier, "format": entry.format.name,
            "shape": list(entry.node.weight_shape), "weights": entry.node.weight_count,
            "bits": entry.format.bits, "packing": entry.packing, "word_bits": entry.word_bits,
            "words": entry.words.size, "bytes": entry.words.nbytes,
            "files": {kind: f"{entry.identifier}.{kind}" for kind in ("mem", "coe")}}


def _totals(network: Network, packed: list[PackedLayer]) -> dict[str, dict[str, float]]:
    def compare(size: float, float32: int, int8: int) -> dict[str, float]:
        return {"bytes": round(size, 3), "float32_bytes": float32, "int8_bytes": int8,
                "times_float32": round(float32 / size, 3), "times_int8": round(int8 / size, 3)}

    convs = [entry for entry in packed if entry.node.op == "conv"]
    weights = sum(entry.node.weight_count for entry in packed)
    conv_weights = sum(entry.node.weight_count for entry in convs)
    biases = sum(entry.node.out_channels for entry in packed)
    dense = sum(-(-entry.node.weight_count * entry.format.bits // 8) for entry in packed)
    others = network.full_bytes - dense
    return {
        "conv": compare(sum(entry.node.weight_count * entry.bytes_per_weight for entry in convs),
                        4 * conv_weights, conv_weights),
        "full": compare(others + sum(entry.words.nbytes for entry in packed),
                        4 * (weights + biases), others + weights)}


def _array(ctype: str, name: str, numbers: Iterable[str]) -> str:
    numbers = list(numbers)
    lines = (", ".join(numbers[i:i + WORDS_PER_LINE])
             for i in range(0, len(numbers), WORDS_PER_LINE))
    body = ",\n    ".join(lines)
    return f"static const {ctype} {name}[{len(numbers)}] = {{\n    {body}\n}};\n"


def _header(network: Network, packed: list[PackedLayer]) -> str:
    """The C header: C99, without undefined or compiler-specific behaviour."""
    arrays, rows = [], []
    for entry in packed:
        layer, members = entry.layer, dict.fromkeys((*PACKINGS, "bias", "multiplier"), "NULL")
        for member, ctype, numbers in [
                (entry.packing, f"uint{entry.word_bits}_t",
                 [f"0x{word}" for word in entry.hexadecimal().split("\n")]),
                ("bias", "int32_t", layer.bias),
                ("multiplier", "uint16_t", layer.multiplier)]:
            if numbers is not None:
                # The member comes first: no layer's name can then make two arrays' names equal.
                members[member] = f"doubleq_{member}_{entry.identifier}"
                arrays.append(_array(ctype, members[member], map(str, numbers)))
        shape = (*entry.node.weight_shape, 1, 1)[:4]
        rows.append(
            f'    {{"{entry.identifier}", "{entry.format.name}", {entry.format.bits}, '
            f'{{{", ".join(map(str, shape))}}}, {entry.words.size},\n'
            f'     {", ".join(members.values())},\n'
            f'     {layer.shift}, {layer.residual_multiplier}, {layer.residual_shift}}}')
    return HEADER.format(hash=network.hash, count=len(packed), arrays="\n".join(arrays),
                         layers=",\n".join(rows))
