"""Our models of the cells of the 7 series, against yosys's and by themselves."""

import random
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pyosys
import pytest

from tests.lint import lint

ROOT = Path(__file__).resolve().parent.parent
OURS = ROOT / "sim" / "cells_xc7.v"
THEIRS = Path(pyosys.__file__).parent / "share" / "xilinx" / "cells_sim.v"

# Cell, inputs, outputs, width of INIT.
CELLS = [
    *[(f"LUT{n}", [f"I{k}" for k in range(n)], ["O"], 1 << n) for n in range(1, 7)],
    ("LUT6_2", [f"I{k}" for k in range(6)], ["O5", "O6"], 64),
    ("CARRY4", ["CI", "CYINIT", "DI[3:0]", "S[3:0]"], ["CO[3:0]", "O[3:0]"], 0),
    ("MUXF7", ["I0", "I1", "S"], ["O"], 0),
    ("MUXF8", ["I0", "I1", "S"], ["O"], 0),
    ("INV", ["I"], ["O"], 0),
    ("BUFG", ["I"], ["O"], 0),
    ("VCC", [], ["P"], 0),
    ("GND", [], ["G"], 0),
    ("FDRE", ["C", "CE", "D", "R"], ["Q"], 1),
    ("FDSE", ["C", "CE", "D", "S"], ["Q"], 1),
    ("SRL16E", ["CLK", "CE", "D", "A0", "A1", "A2", "A3"], ["Q"], 16),
]


def wrapper(cell, inputs, outputs, parameter):
    """Verilog of a module ``top`` with the cell's ports and nothing but the cell."""
    names = {port: (port.split("[")[0], f"[{port.split('[')[1]} " if "[" in port else "")
             for port in [*inputs, *outputs]}
    declared = [f"{kind} {names[port][1]}{names[port][0]}"
                for kind, group in [("input", inputs), ("output", outputs)] for port in group]
    connected = ", ".join(f".{name}({name})" for name, _ in names.values())
    return (f"module top({', '.join(declared)});\n"
            f"  {cell} {parameter} cell_under_test({connected});\nendmodule\n")


def prove(folder, ours, theirs):
    """Whether yosys proves that both designs, Verilog texts, are the same for 20 cycles from the
    start, and the end of its log."""
    script = []
    for name, text, cells in [("ours", ours, OURS), ("theirs", theirs, THEIRS)]:
        (folder / f"{name}.v").write_text(text)
        script += [f"read_verilog {name}.v", f"read_verilog {cells}", "hierarchy -top top", "proc",
                   "flatten", "opt_clean", f"rename top {name}", f"design -stash {name}"]
    script += ["design -copy-from ours ours", "design -copy-from theirs theirs",
               "miter -equiv -flatten ours theirs miter", "hierarchy -top miter",
               "sat -verify -seq 20 -prove trigger 0 miter"]
    program = ("import sys\nfrom pyosys import libyosys\ndesign = libyosys.Design()\n"
               "for command in sys.argv[1:]:\n    libyosys.run_pass(command, design)\n")
    done = subprocess.run([sys.executable, "-c", program, *script], cwd=folder,
                          capture_output=True, text=True)
    return done.returncode == 0 and "SUCCESS" in done.stdout, done.stdout[-1000:] + done.stderr


@pytest.mark.parametrize(("cell", "inputs", "outputs", "width"), CELLS, ids=lambda v: str(v)[:8])
def test_as_yosys(cell, inputs, outputs, width, tmp_path):
    """For all inputs, with a random INIT and extreme ones."""
    random_init = random.Random(cell).getrandbits(width) if width else 0
    inits = {0, (1 << width) - 1, random_init} if width else {None}
    for init in sorted(inits, key=str):
        parameter = "" if init is None else f"#(.INIT({width}'d{init}))"
        text = wrapper(cell, inputs, outputs, parameter)
        proven, log = prove(tmp_path, text, text)
        assert proven, log


def test_another_init_is_noticed(tmp_path):
    texts = [wrapper("LUT6_2", *CELLS[6][1:3], f"#(.INIT(64'd{init}))") for init in (6, 7)]
    assert not prove(tmp_path, *texts)[0]


# What yosys makes of products, sums of products, and these with the registers around them.
CONFIGURATIONS = [
    {},
    {"MREG": 1, "PREG": 1},
    {"AREG": 1, "BREG": 2, "CREG": 1, "MREG": 1, "PREG": 1, "OPMODE": 0x35},
    {"AREG": 2, "BREG": 1, "PREG": 1, "OPMODE": 0x15, "ACASCREG": 1},
    {"AREG": 2, "BREG": 2, "BCASCREG": 2, "ADREG": 1, "DREG": 1, "MREG": 1, "PREG": 1,
     "OPMODE": 0x15, "USE_DPORT": '"TRUE"', "INMODE": 4},
    {"ADREG": 1, "DREG": 0, "USE_DPORT": '"TRUE"', "INMODE": 12, "OPMODE": 0x05},
    {"PREG": 1, "OPMODE": 0x25},
    {"PREG": 1, "OPMODE": 0x35, "ALUMODE": 3},
    {"A_INPUT": '"CASCADE"', "B_INPUT": '"CASCADE"', "PREG": 1, "OPMODE": 0x55},
    {"PREG": 1, "OPMODE": 0x65},
]
INPUTS = {"A": 30, "ACIN": 30, "B": 18, "BCIN": 18, "C": 48, "PCIN": 48, "D": 25, "CARRYIN": 1,
          **dict.fromkeys(["CEA1", "CEA2", "CEAD", "CEB1", "CEB2", "CEC", "CED", "CEM", "CEP",
                           "RSTA", "RSTB", "RSTC", "RSTD", "RSTM", "RSTP"], 1)}
OUTPUTS = {"ACOUT": 30, "BCOUT": 18, "P": 48, "PCOUT": 48}
BENCH = """
module bench;
  reg clk = 0;
  always #5 clk = ~clk;
  integer cycle;
{registers}
{wires}
  DSP48E1 #({parameters}) ours ({inputs}, {ours});
  THEIRS #({parameters}) theirs ({inputs}, {theirs});
  initial begin
    for (cycle = 0; cycle < 2000; cycle = cycle + 1) begin
      @(negedge clk);
      {stimulus}
      #2 if (cycle > 4 && {{{all_ours}}} !== {{{all_theirs}}}) begin
        $display("differ in cycle %0d", cycle);
        $finish;
      end
    end
    $display("equal");
    $finish;
  end
endmodule
"""


@pytest.mark.parametrize("configuration", CONFIGURATIONS, ids=str)
def test_dsp_as_yosys(configuration, tmp_path):
    """Random data, enables and resets in 2000 cycles."""
    if shutil.which("iverilog") is None:
        pytest.skip("Icarus Verilog is not installed")
    constants = {"OPMODE": 5, "ALUMODE": 0, "INMODE": 0, "CARRYINSEL": 0}
    constants |= {name: value for name, value in configuration.items() if name in constants}
    parameters = dict.fromkeys([
        "ACASCREG", "ADREG", "ALUMODEREG", "AREG", "BCASCREG", "BREG", "CARRYINREG",
        "CARRYINSELREG", "CREG", "DREG", "INMODEREG", "MREG", "OPMODEREG", "PREG"], 0)
    parameters |= {name: value for name, value in configuration.items() if name not in constants}
    (tmp_path / "bench.v").write_text(BENCH.format(
        registers="\n".join(f"  reg [{n - 1}:0] {name} = 0;" for name, n in INPUTS.items()),
        wires="\n".join(f"  wire [{n - 1}:0] {name}{side};" for name, n in OUTPUTS.items()
                        for side in (0, 1)),
        parameters=", ".join(f".{name}({value})" for name, value in parameters.items()),
        inputs=", ".join([".CLK(clk)", *(f".{name}({name})" for name in INPUTS),
                          *(f".{name}({value})" for name, value in constants.items())]),
        ours=", ".join(f".{name}({name}0)" for name in OUTPUTS),
        theirs=", ".join(f".{name}({name}1)" for name in OUTPUTS),
        all_ours=", ".join(f"{name}0" for name in OUTPUTS),
        all_theirs=", ".join(f"{name}1" for name in OUTPUTS),
        stimulus="\n      ".join(
            f"{name} = {'$random % 8 == 0' if name[:3] == 'RST' else '{$random, $random}'};"
            for name in INPUTS)))
    module = re.search(r"^module DSP48E1 .*?^endmodule", THEIRS.read_text(), re.M | re.S)[0]
    (tmp_path / "theirs.v").write_text(
        "`timescale 1ns / 1ps\n" + module.replace("module DSP48E1", "module THEIRS", 1))
    subprocess.run(["iverilog", "-g2005", "-o", "bench", "bench.v", "theirs.v", OURS],
                   cwd=tmp_path, check=True)
    done = subprocess.run(["vvp", "-n", "bench"], cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout.strip() == "equal"


@pytest.mark.parametrize("cell", [*(cell[0] for cell in CELLS), "DSP48E1"])
def test_lint(cell):
    lint(cell, OURS)
