"""Synthesis of generated Verilog with yosys, and what it takes of a device."""

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

import files
from gen import devices
from rtl import read_rtl

__all__ = ["count", "synthesize"]

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


def _run(script: list[str], scratch: str, name: str,
         progress: Callable[[str], None] | None) -> None:
    """Runs yosys commands in the folder ``scratch``.

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


def synthesize(folder: Path, device: str, *, flatten: bool = True,
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
    progress : callable
        Called with the name of each step of yosys.

    Returns
    -------
    :class:`dict`
        ``top``, ``device``, ``part``, ``flatten``, ``parameters`` (the sidecar's);
        ``total`` and ``per_pe`` (:func:`count`) and ``percent`` of the device (lut, ff, dsp,
        bram36); ``cells`` (number by type); ``yosys`` (version), ``script`` (its commands),
        ``verilog_sha256``; ``seconds`` (wall time) and ``peak_memory_mb`` (of the largest
        process, 1 MB = 10\\ :sup:`6` bytes).

    Raises
    ------
    :exc:`ValueError`
        If the device is unknown, the folder is damaged, or yosys fails.
    :exc:`OSError`
        If the result cannot be written.
    """
    target = devices.get(device)
    rtl = read_rtl(folder)
    options = ["-top", rtl.top, "-family", target.family, "-abc9", *(["-flatten"] * flatten),
               "-nosrl", "-noiopad", *(["-nodsp"] * (not rtl.parameters["dsp"]))]
    script = [f"read_verilog {rtl.name}", " ".join(["synth_xilinx", *options]),
              "tee -q -o stat.json stat -json"]

    started = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="doubleq-synth-") as scratch:
        (Path(scratch) / rtl.name).write_bytes(rtl.verilog)
        _run(script, scratch, rtl.name, progress)
        seconds = time.perf_counter() - started
        stat = json.loads((Path(scratch) / "stat.json").read_text())
        peak_kib = int((Path(scratch) / "peak").read_text())

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
        "yosys": " ".join(stat["creator"].split()[:2]),
        "script": script,
        "verilog_sha256": rtl.sidecar["verilog_sha256"],
        "seconds": round(seconds, 1),
        "peak_memory_mb": round(peak_kib * 1024 / 1e6),
    }
    files.write_json(Path(folder) / f"synth_{target.name}.json", result)
    return result
