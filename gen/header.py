"""C header of a core: its sizes and ports, and the map of what is loaded."""

from collections.abc import Mapping
from typing import Any

from models.topology import Topology
from rtl import LOAD

__all__ = ["c_header"]


def _ports(ports: list[dict[str, Any]]) -> list[str]:
    lines = []
    for port in ports:
        fields = ", ".join(f"{field['name']} [{field['offset'] + field['width'] - 1}:"
                           f"{field['offset']}]" for field in port.get("fields", ()))
        lines.append(f" *   {port['direction']:6}  {port['name']:16} {port['width']:3}  {fields}"
                     .rstrip())
    return lines


def c_header(topology: Topology, sidecar: Mapping[str, Any]) -> str:
    """The text of the header. Of the sidecar, ``files`` may be missing."""
    top, load = sidecar["top"], sidecar["load"]
    prefix = top.upper()
    channels, height, width = topology.input_shape
    values: dict[str, Any] = {
        "ARTEFACT": f'"{sidecar["artefact"]}"',
        "VERILOG_SHA256": f'"{sidecar["verilog_sha256"]}"',
        "CHANNELS": channels, "HEIGHT": height, "WIDTH": width,
        "IMAGE_BYTES": channels * height * width,
        "CLASSES": topology.classes,
        "IMAGE_CYCLES": sidecar["image_cycles"],
    }
    text = [
        f"/* {top}, made by {sidecar['generator']} for the artefact ARTEFACT.",
        " *",
        " * An image is a stream of IMAGE_BYTES bytes on port pixels: rows, columns, then",
        " * channels, last with the last one. Its logits are a stream of CLASSES words on port",
        " * logits, last with the last one. A byte or word moves at a clock edge where both valid",
        " * and ready are high.",
    ]
    if load:
        first = 0
        values |= {"LOAD_WORDS": load["words"], "LOAD_CRC32": f"0x{load['crc32']:08x}u"}
        for memory in load["memories"]:
            name = f"LOAD_{memory['memory'].upper()}"
            values |= {f"{name}_FIRST": first, f"{name}_ROWS": memory["rows"],
                       f"{name}_BITS": memory["bits"], f"{name}_WORDS": memory["words"]}
            first += memory["rows"] * memory["words"]
        text += [
            " *",
            f" * Before the first image, and between images whenever wanted, {LOAD} goes to",
            " * port load: LOAD_WORDS words of 32 bits, little-endian, last with the last one. It",
            " * has the rows of one memory after the other; FIRST is the number of a memory's",
            " * first word, and each of its ROWS rows has BITS bits, low bits first, in WORDS",
            " * words. The last word is the CRC-32 of the bytes before it (IEEE 802.3, as zlib's),",
            " * here LOAD_CRC32. Images wait until loaded is high; load_error says, until a load",
            " * is right, that the last one had a wrong CRC, or last with another word.",
        ]
    return "\n".join([
        *text,
        " *",
        " * Ports: direction, name, bits, fields.",
        *_ports(sidecar["ports"]),
        " */",
        f"#ifndef {prefix}_H",
        f"#define {prefix}_H",
        "",
        *(f"#define {prefix}_{name} {value}" for name, value in values.items()),
        "",
        "#endif",
        "",
    ])
