"""The folder of generated Verilog: a sidecar, and the file that it describes.

All that synthesis, simulation and the board projects must know of the hardware (ports, bit layouts,
latency, parameters) they read here.
"""

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["LOAD", "RTL", "SCHEMA", "SIDECAR", "netlist_name", "read_netlist", "read_rtl"]

SCHEMA = 2
SIDECAR = "sidecar.json"
LOAD = "weights.bin"


@dataclass(frozen=True)
class RTL:
    """Generated Verilog and the sidecar beside it.

    Parameters
    ----------
    sidecar : :class:`dict`
        Content of :data:`SIDECAR`, which ``gen/export.py`` describes.
    verilog : :class:`bytes`
        Content of the file that it names.
    """

    sidecar: dict[str, Any]
    verilog: bytes

    @property
    def name(self) -> str:
        """Name of the Verilog file."""
        return self.sidecar["verilog"]

    @property
    def top(self) -> str:
        """Name of the top module."""
        return self.sidecar["top"]

    @property
    def parameters(self) -> dict[str, Any]:
        """What it was generated for."""
        return self.sidecar["parameters"]


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text())
    except OSError as error:
        raise ValueError(f"cannot read {path}: {error.strerror}, expected generated "
                         f"Verilog") from None
    except ValueError as error:
        raise ValueError(f"{path}: expected JSON, found {error}") from None


def read_rtl(folder: Path) -> RTL:
    """Reads the generated Verilog in ``folder``.

    Raises
    ------
    :exc:`ValueError`
        If the sidecar or the Verilog is missing or damaged, or they do not belong together.
    """
    path = Path(folder) / SIDECAR
    sidecar = _read_json(path)
    if not isinstance(sidecar, dict) or sidecar.get("schema") != SCHEMA:
        found = sidecar.get("schema") if isinstance(sidecar, dict) else sidecar
        raise ValueError(f"{path}: schema must be {SCHEMA}, not {found!r}")

    for field, kind in [("top", str), ("verilog", str), ("verilog_sha256", str), ("kind", str),
                        ("parameters", dict), ("ports", list)]:
        if not isinstance(sidecar.get(field), kind):
            raise ValueError(f"{path}: {field} must be a {kind.__name__}, "
                             f"not {sidecar.get(field)!r}")
    # Both names reach scripts, where anything else could be read as a command.
    if not re.fullmatch(r"[A-Za-z_]\w*", sidecar["top"], re.ASCII):
        raise ValueError(f"{path}: top must be a Verilog identifier, not {sidecar['top']!r}")
    if not re.fullmatch(r"\w+\.v", sidecar["verilog"], re.ASCII):
        raise ValueError(f"{path}: verilog must be a file name ending in .v, "
                         f"not {sidecar['verilog']!r}")
    parameters = sidecar["parameters"]
    if not isinstance(parameters.get("pes"), int) or parameters["pes"] < 1:
        raise ValueError(f"{path}: parameters.pes must be a positive integer, "
                         f"not {parameters.get('pes')!r}")
    if not isinstance(parameters.get("dsp"), bool):
        raise ValueError(f"{path}: parameters.dsp must be true or false, "
                         f"not {parameters.get('dsp')!r}")
    for port in sidecar["ports"]:
        if not (isinstance(port, dict) and isinstance(port.get("name"), str)
                and port.get("direction") in ("input", "output")
                and isinstance(port.get("width"), int) and port["width"] >= 1):
            raise ValueError(f"{path}: ports must have a name, a direction and a width, "
                             f"found {port!r}")

    try:
        verilog = (path.parent / sidecar["verilog"]).read_bytes()
    except OSError as error:
        raise ValueError(f"cannot read {path.parent / sidecar['verilog']}: "
                         f"{error.strerror}") from None
    found = hashlib.sha256(verilog).hexdigest()
    if found != sidecar["verilog_sha256"]:
        raise ValueError(f"{path.parent / sidecar['verilog']}: SHA-256 must be "
                         f"{sidecar['verilog_sha256']} as in the sidecar, found {found}")
    return RTL(sidecar, verilog)


def netlist_name(top: str) -> str:
    """Name of the file beside the Verilog that holds the mapped netlist of the module ``top``."""
    return f"{top}.netlist.v"


def read_netlist(folder: Path) -> RTL:
    """Reads the mapped netlist beside the generated Verilog in ``folder``: the same hardware, made
    of cells of the 7 series.

    Raises
    ------
    :exc:`ValueError`
        As :func:`read_rtl`, or if the netlist is missing, or is not what a synthesis of this
        Verilog wrote.
    """
    rtl = read_rtl(folder)
    path = Path(folder) / netlist_name(rtl.top)
    remedy = f"run 'doubleq synth {folder} --netlist'"
    try:
        netlist = path.read_bytes()
    except OSError as error:
        raise ValueError(f"cannot read {path}: {error.strerror}, {remedy}") from None
    found = hashlib.sha256(netlist).hexdigest()
    made = {"verilog_sha256": rtl.sidecar["verilog_sha256"], "netlist_sha256": found}
    results = [_read_json(result) for result in sorted(Path(folder).glob("synth_*.json"))]
    if not any(made.items() <= result.items() for result in results):
        raise ValueError(f"{path}: is not the netlist of {rtl.name} as it is now, {remedy}")
    return RTL({**rtl.sidecar, "verilog": path.name, "verilog_sha256": found,
                "parameters": {**rtl.parameters, "target": "xc7"}}, netlist)
