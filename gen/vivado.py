"""Vivado projects: a folder that builds as it is, with ``vivado -mode batch -source build.tcl``."""

import hashlib
import math
import re
from pathlib import Path
from typing import Any

import files
from gen import boards
from rtl import LOAD, RTL, read_rtl

__all__ = ["COMMAND", "CONSTRAINTS", "out_of_context_xdc", "write_project"]

COMMAND = "vivado -mode batch -source build.tcl"
CONSTRAINTS = Path(__file__).resolve().parent.parent / "constraints"


def _tcl(word: str) -> str:
    """``word``, which holds no braces or backslashes, as one word of Tcl."""
    return word if re.fullmatch(r"[\w.+-]+", word) else f"{{{word}}}"


def out_of_context_xdc(ports: list[dict[str, Any]], clock: float) -> str:
    """Timing of a block whose ports reach other logic of the device and no pins.

    All ports but ``clk`` belong to registers of the same clock outside: a path between one and the
    block has a whole period, less what the logic inside takes.

    Parameters
    ----------
    ports : :class:`list`
        The ports, as in the sidecar.
    clock : :class:`float`
        Frequency of port ``clk``, in MHz.
    """
    lines = ["# Out of context: no pins, and all ports registered outside by the same clock.",
             f"create_clock -name clk -period {1000 / clock:.3f} [get_ports clk]"]
    for direction in ("input", "output"):
        names = [port["name"] if port["width"] == 1 else port["name"] + "[*]"
                 for port in ports if port["direction"] == direction and port["name"] != "clk"]
        if names:
            lines.append(f"set_{direction}_delay -clock clk 0.000 "
                         f"[get_ports {{{' '.join(names)}}}]")
    return "\n".join(lines) + "\n"


def _has_pins(rtl: RTL, xdc: str) -> bool:
    """Whether every bit of the top module's ports has a pin in a board's constraints."""
    pins = set(re.findall(r"PACKAGE_PIN .*\[get_ports \{?(\w+(?:\[\d+\])?)", xdc))
    return all(bit in pins for port in rtl.sidecar["ports"] for bit in (
        [port["name"]] if port["width"] == 1 else
        [f"{port['name']}[{index}]" for index in range(port["width"])]))


def _beside(folder: Path, rtl: RTL) -> dict[str, bytes]:
    """What the sidecar says lies beside the Verilog of a core: its header, and what is loaded."""
    found = {}
    for name, expected in rtl.sidecar.get("files", {}).items():
        path = Path(folder) / name
        if path.name != name:
            raise ValueError(f"{rtl.top}: files must be names without folders, found {name!r}")
        try:
            found[name] = path.read_bytes()
        except OSError as error:
            raise ValueError(f"cannot read {path}: {error.strerror}") from None
        sha256 = hashlib.sha256(found[name]).hexdigest()
        if sha256 != expected:
            raise ValueError(f"{path}: SHA-256 must be {expected} as in the sidecar, "
                             f"found {sha256}")
    return found


def _readme(rtl: RTL, part: str, frequency: float) -> str:
    text = (f"{rtl.top} for {part}, {frequency:g} MHz. To build it, here:\n\n"
            f"    {COMMAND}\n\nUtilization and timing are then in reports/.\n")
    if rtl.sidecar["kind"] == "core":
        text += (f"\nIts ports are described in {rtl.top}.h. Its weights are "
                 + (f"in {LOAD}: they are loaded through port load.\n"
                    if rtl.sidecar.get("load") else "in the Verilog.\n"))
    return text


def write_project(folder: Path, board: str, out: Path, *,
                  clock: float | None = None) -> dict[str, Any]:
    """Writes a Vivado project for the generated Verilog in ``folder``.

    The project holds the Verilog, its constraints, ``build.tcl``, ``project.tcl`` (the settings
    that ``build.tcl`` reads) and ``README.txt``, of a core also its header and what is loaded, and
    needs nothing from outside. A design whose ports are all among those that the board's
    constraints bind becomes a bitstream; any other, as bare arrays and cores are, is built out of
    context, for its area and timing.

    DSPs are forbidden unless ``parameters.dsp`` of the sidecar is true.

    Parameters
    ----------
    folder : :class:`~pathlib.Path`
        Folder with the Verilog and its sidecar.
    board : :class:`str`
        Name of a board in :data:`gen.boards.BOARDS`.
    out : :class:`~pathlib.Path`
        Folder of the project.
    clock : :class:`float` or None
        Frequency asked for, in MHz; if None, the board's.

    Returns
    -------
    :class:`dict`
        ``top``, ``board``, ``part``, ``mode`` (``"board"`` or ``"out_of_context"``),
        ``clock_mhz``, ``files`` (names in ``out``) and ``command`` (to run there).

    Raises
    ------
    :exc:`ValueError`
        If the board is unknown, ``folder`` is damaged, ``clock`` is not 1 to 1000 MHz or is not
        the board's although the design is bound to its oscillator, or ``out`` is something else.
    :exc:`OSError`
        If ``out`` cannot be written.
    """
    target = boards.get(board)
    rtl = read_rtl(folder)
    frequency = target.clock if clock is None else clock
    if not (math.isfinite(frequency) and 1 <= frequency <= 1000):
        raise ValueError(f"clock must be 1 to 1000 MHz, not {frequency:g}")
    xdc = (CONSTRAINTS / f"{target.name}.xdc").read_text()
    on_board = _has_pins(rtl, xdc)
    if on_board and frequency != target.clock:
        raise ValueError(f"{rtl.top} runs on the oscillator of {board}: clock must be "
                         f"{target.clock:g} MHz, not {frequency:g}")
    if not on_board:
        if "clk" not in {port["name"] for port in rtl.sidecar["ports"]}:
            raise ValueError(f"{rtl.top} has no port clk, expected one to constrain")
        xdc = out_of_context_xdc(rtl.sidecar["ports"], frequency)

    xdc_name = f"{target.name}.xdc" if on_board else "out_of_context.xdc"
    mode = [] if on_board else ["-mode", "out_of_context"]
    settings = {
        "top": rtl.top,
        "part": target.part,
        "verilog": rtl.name,
        "xdc": xdc_name,
        "xdc_options": " ".join(mode),
        "synth_options": " ".join(mode + ([] if rtl.parameters["dsp"] else ["-max_dsp", "0"])),
        "bitstream": str(int(on_board)),
    }
    contents = {
        rtl.name: rtl.verilog,
        xdc_name: xdc.encode(),
        "project.tcl": "".join(f"set {name} {_tcl(value)}\n"
                               for name, value in settings.items()).encode(),
        "build.tcl": (CONSTRAINTS / "build.tcl").read_bytes(),
        "README.txt": _readme(rtl, target.part, frequency).encode(),
        **_beside(folder, rtl),
    }
    with files.new_folder(out, marker="build.tcl") as new:
        for name, content in contents.items():
            files.write_bytes(new / name, content)
    return {
        "top": rtl.top,
        "board": target.name,
        "part": target.part,
        "mode": "board" if on_board else "out_of_context",
        "clock_mhz": frequency,
        "files": sorted(contents),
        "command": COMMAND,
    }
