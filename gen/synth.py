"""Synthesis of generated Verilog with yosys: what it takes of a device, the mapped netlist, and an
estimate of its delay."""

import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyosys

import files
from gen import devices, timing
from gen.timing_graph import read_netlist
from rtl import netlist_name, read_rtl

__all__ = ["count", "netlist", "run_yosys", "simulation_models", "synthesize"]

# One yosys process a synthesis: it can be interrupted, its memory is freed when it ends, and its
# log does not mix with ours. VmHWM, unlike ru_maxrss, does not start from the parent's peak.
_YOSYS = """
import json, re, resource, sys
from pyosys import libyosys
design = libyosys.Design()
for command in json.loads(sys.argv[1]):
    libyosys.run_pass(command, design)
own = int(re.search(r"VmHWM:\\s*(\\d+)", open("/proc/self/status").read())[1])
children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
open("peak", "w").write(str(max(own, children)))
"""
_HEADER = re.compile(r"\d+(\.\d+)?\. (.+)")
_NETLIST = "write_verilog -noattr netlist.v"

# Kind of resource, pattern of yosys's cell types, units of the resource that one cell takes.
# A memory cell in LUTs takes as many of them as its data sheet (UG474, UG574) says.
_CELLS = [
    ("lut", r"LUT[1-6]|LUT6_2", 1),
    ("lutram", r"RAM(32|64)X1S", 1),
    ("lutram", r"RAM(32|64)X1D|RAM128X1S", 2),
    ("lutram", r"RAM(32|64)M|RAM128X1D|RAM256X1S", 4),
    ("lutram", r"RAM32M16|RAM64M8|RAM256X1D|RAM512X1S|RAM32X16DR8|RAM64X8SW", 8),
    ("srl", r"SRL16E|SRLC16E|SRLC32E", 1),
    ("ff", r"FD[RSCP]E(_1)?", 1),
    ("carry", r"CARRY[48]", 1),
    ("muxf", r"MUXF[789]", 1),
    ("dsp", r"DSP48E[12]", 1),
    ("bram36", r"RAMB36E[12]", 1),
    ("bram36", r"RAMB18E[12]", 0.5),
]


def count(cells: dict[str, int]) -> dict[str, float]:
    """Resources that ``cells``, numbers of cells by type, take.

    Returns
    -------
    :class:`dict`
        ``lut`` (LUT1 to LUT6, LUT6_2, and those that serve as memory), ``lutram`` and ``srl``
        (of them, as RAM and as shift registers), ``ff``, ``carry`` (CARRY4 or CARRY8), ``muxf``
        (MUXF7 to MUXF9), ``dsp``, ``bram36`` (a RAMB18 is half a one).
    """
    counts: dict[str, float] = {kind: 0 for kind, _, _ in _CELLS}
    for cell, number in cells.items():
        for kind, pattern, units in _CELLS:
            if re.fullmatch(pattern, cell):
                counts[kind] += number * units
    counts["lut"] += counts["lutram"] + counts["srl"]
    return counts


def run_yosys(script: list[str], scratch: str, name: str,
              progress: Callable[[str], None] | None = None) -> None:
    """Runs yosys commands in the folder ``scratch``, to synthesize ``name``.

    The file ``peak`` there is given the memory that it took, in KiB.

    Raises
    ------
    :exc:`ValueError`
        If a command fails.
    """
    process = subprocess.Popen(
        [sys.executable, "-c", _YOSYS, json.dumps(script)], cwd=scratch, text=True,
        errors="replace", stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, start_new_session=True,
        # Where abc's files go: with the folder they disappear after an interruption as well.
        env=os.environ | {"TMPDIR": scratch})
    assert process.stdout is not None
    message = "no message"
    try:
        for line in process.stdout:
            header = _HEADER.fullmatch(line.rstrip())
            if header and progress is not None:
                progress(header[2].rstrip("."))
            if line.strip() and "ERROR: " not in message:
                message = line.strip()
        process.wait()
    except BaseException:
        # The session and not the process, so that abc ends as well.
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        raise
    finally:
        process.stdout.close()
    if process.returncode < 0:
        message = f"killed by {signal.Signals(-process.returncode).name}"
    if process.returncode != 0:
        raise ValueError(f"yosys cannot synthesize {name}: {message}")


def _script(top: str, source: str, *, family: str, dsp: bool, flatten: bool) -> list[str]:
    """Commands that map the module ``top`` of the file ``source`` to cells of ``family``."""
    options = ["-top", top, "-family", family, "-abc9", *(["-flatten"] * flatten),
               "-nosrl", "-noiopad", *(["-nodsp"] * (not dsp))]
    return [f"read_verilog {source}", " ".join(["synth_xilinx", *options])]


def simulation_models(family: str) -> Path:
    """Verilog models of the cells of a mapped netlist of ``family``, for any simulator.

    Raises
    ------
    :exc:`ValueError`
        If there is no such family.
    """
    families = sorted({device.family for device in devices.DEVICES.values()})
    if family not in families:
        raise ValueError(f"family must be one of {', '.join(families)}, not {family!r}")
    return Path(pyosys.__file__).parent / "share" / "xilinx" / "cells_sim.v"


def netlist(verilog: str, top: str, *, family: str = "xc7", dsp: bool = False,
            flatten: bool = True) -> str:
    """The Verilog text of the module ``top`` of ``verilog``, mapped to cells of ``family`` as
    :func:`synthesize` does. Their models are in :func:`simulation_models`.

    Raises
    ------
    :exc:`ValueError`
        If yosys fails.
    """
    with tempfile.TemporaryDirectory(prefix="doubleq-netlist-") as scratch:
        (Path(scratch) / f"{top}.v").write_text(verilog)
        run_yosys([*_script(top, f"{top}.v", family=family, dsp=dsp, flatten=flatten), _NETLIST],
                  scratch, top)
        return (Path(scratch) / "netlist.v").read_text()


def synthesize(folder: Path, device: str, *, flatten: bool = True, netlist: bool = False,
               progress: Callable[[str], None] | None = None) -> dict[str, Any]:
    """Synthesizes the generated Verilog in ``folder`` and writes the result beside it, as
    ``synth_<device>.json``.

    No clock or pin is constrained. Multipliers go to DSPs where ``parameters.dsp`` of the sidecar
    is true and nowhere else; shift registers stay flip-flops.

    Parameters
    ----------
    folder : :class:`~pathlib.Path`
        Folder with the Verilog and its sidecar.
    device : :class:`str`
        Name of a device in :data:`gen.devices.DEVICES`.
    flatten : :class:`bool`
        Whether logic is optimized across modules, as Vivado does. If not, each distinct module is
        synthesized once, which takes seconds instead of minutes; figures are then usually higher by
        some percent, and by more with DSPs, which absorb nothing of other modules.
    netlist : :class:`bool`
        Whether to write the mapped netlist beside it, as Verilog that :func:`rtl.read_netlist`
        reads.
    progress : callable
        Called with the name of each step.

    Returns
    -------
    :class:`dict`
        ``top``, ``device``, ``part``, ``flatten``, ``parameters`` (the sidecar's);
        ``total`` and ``per_pe`` (:func:`count`) and ``percent`` of the device (lut, ff, dsp,
        bram36); ``cells`` (number by type); ``timing`` (an estimate, see
        :func:`gen.timing.analyze`); ``yosys`` (version), ``script`` (its commands),
        ``verilog_sha256``, ``netlist_sha256`` (null where it is not written); ``seconds`` (wall
        time) and ``peak_memory_mb`` (of the largest process, 1 MB = 10\\ :sup:`6` bytes).

    Raises
    ------
    :exc:`ValueError`
        If the device is unknown, the folder is damaged, yosys fails, or the netlist has a
        combinational loop or cells whose delay is not known.
    :exc:`OSError`
        If the result cannot be written.
    """
    target = devices.get(device)
    rtl = read_rtl(folder)
    script = [
        *_script(rtl.top, rtl.name, family=target.family, dsp=rtl.parameters["dsp"],
                 flatten=flatten),
        "tee -q -o stat.json stat -json", *([_NETLIST] * netlist),
        "flatten", "attrmap -remove src", f"select {rtl.top}", "write_json -selected netlist.json"]

    started = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="doubleq-synth-") as scratch:
        (Path(scratch) / rtl.name).write_bytes(rtl.verilog)
        run_yosys(script, scratch, rtl.name, progress)
        seconds = time.perf_counter() - started
        stat = json.loads((Path(scratch) / "stat.json").read_text())
        peak_kib = int((Path(scratch) / "peak").read_text())
        if progress is not None:
            progress("timing")
        estimate = timing.analyze(
            read_netlist((Path(scratch) / "netlist.json").read_text(), rtl.top),
            scale=target.delay_scale)
        mapped = (Path(scratch) / "netlist.v").read_bytes() if netlist else None

    modules = {name.removeprefix("\\") for name in stat["modules"]}
    cells = {cell: number for cell, number in stat["design"]["num_cells_by_type"].items()
             if cell not in modules and not cell.startswith("$")}
    total = count(cells)
    result = {
        "schema": 1,
        "top": rtl.top,
        "device": target.name,
        "part": target.part,
        "flatten": flatten,
        "parameters": rtl.parameters,
        "total": total,
        "per_pe": {kind: round(number / rtl.parameters["pes"], 2)
                   for kind, number in total.items()},
        "percent": {kind: round(100 * total[kind] / getattr(target, kind), 2)
                    for kind in ("lut", "ff", "dsp", "bram36")},
        "cells": cells,
        "timing": estimate,
        "yosys": " ".join(stat["creator"].split()[:2]),
        "script": script,
        "verilog_sha256": rtl.sidecar["verilog_sha256"],
        "netlist_sha256": None if mapped is None else hashlib.sha256(mapped).hexdigest(),
        "seconds": round(seconds, 1),
        "peak_memory_mb": round(peak_kib * 1024 / 1e6),
    }
    if mapped is not None:
        files.write_bytes(Path(folder) / netlist_name(rtl.top), mapped)
    files.write_json(Path(folder) / f"synth_{target.name}.json", result)
    return result
