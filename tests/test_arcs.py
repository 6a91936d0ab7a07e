import json
from pathlib import Path

import pytest

from gen import arcs as table
from gen.arcs import Arcs, arcs
from gen.synth import run_yosys, simulation_models

EXACT = ["INV", *(f"LUT{n}" for n in range(1, 7)), "MUXF7", "MUXF8", "CARRY4", "SRL16E",
         "SRLC32E"]
SLOWEST = ["RAM32M", "RAM64M", "RAM32X1D", "RAM64X1D", "FDRE", "FDSE", "FDCE", "FDPE"]


@pytest.fixture(scope="module")
def library(tmp_path_factory) -> dict:
    """What yosys's library of cells says of each: the arcs through it, from its clock, setup."""
    folder = tmp_path_factory.mktemp("library")
    run_yosys([f"read_verilog -specify {simulation_models('xc7')}",
               "proc", "write_json library.json"], str(folder), "the library")
    modules = json.loads((folder / "library.json").read_text())["modules"]
    return {name: specified(modules[name]) for name in [*EXACT, *SLOWEST]}


def specified(module) -> Arcs:
    pins = {bit: (port, port if len(description["bits"]) == 1 else f"{port}[{index}]")
            for port, description in module["ports"].items()
            for index, bit in enumerate(description["bits"])}
    through, clock, setup = {}, {}, {}
    for cell in module["cells"].values():
        number = {name: int(value, 2) for name, value in cell["parameters"].items()
                  if name in ("T_RISE_MAX", "T_LIMIT_MAX") and "x" not in value}
        connections = cell["connections"]
        if cell["type"] == "$specify2":
            for source in connections["SRC"]:
                for target in connections["DST"]:
                    through[pins[source][1], pins[target][1]] = number["T_RISE_MAX"]
        elif cell["type"] == "$specify3":
            for target in connections["DST"]:
                port = pins[target][0]
                clock[port] = max(clock.get(port, 0), number["T_RISE_MAX"])
        elif cell["type"] == "$specrule":
            port = pins[connections["SRC"][0]][0]
            setup[port] = max(setup.get(port, 0), number["T_LIMIT_MAX"])
    return Arcs(through, clock, setup)


def test_library_is_read(library):
    assert library["LUT1"].through == {("I0", "O"): 127}
    assert library["FDRE"].setup == {"D": 0, "CE": 109, "R": 404}
    assert len(library["CARRY4"].through) == 52


@pytest.mark.parametrize("cell", EXACT)
def test_delays_are_the_librarys(library, cell):
    assert arcs(cell, {}).through == library[cell].through
    assert arcs(cell, {}).clock == library[cell].clock
    assert library[cell].setup.items() <= arcs(cell, {}).setup.items()


@pytest.mark.parametrize("cell", SLOWEST)
def test_delays_are_not_below_the_librarys(library, cell):
    ours, theirs = arcs(cell, {}), library[cell]
    for port, delay in theirs.clock.items():
        assert ours.clock[port] >= delay
    for port, delay in theirs.setup.items():
        assert ours.setup[port] >= delay
    for (source, output), delay in theirs.through.items():
        if source not in ("CLR", "PRE"):
            # The library names the outputs of RAM32M by bit, and has 632 once for 631.
            known = ours.through.get((source, output)) or ours.through[source, output.split("[")[0]]
            assert known >= delay - 1


def test_a_changed_arc_is_noticed(library, monkeypatch):
    monkeypatch.setitem(table._CELLS, "MUXF7", Arcs({("I0", "O"): 218, ("I1", "O"): 223,
                                                     ("S", "O"): 296}))
    table._arcs.cache_clear()
    try:
        with pytest.raises(AssertionError):
            test_delays_are_the_librarys(library, "MUXF7")
    finally:
        monkeypatch.undo()
        table._arcs.cache_clear()


def test_lut6_2():
    """O6 as a LUT6; O5 is the half that I5 does not select, so its inputs are those of a LUT6."""
    through = arcs("LUT6_2", {}).through
    assert through["I0", "O6"] == through["I0", "O5"] == 642
    assert through["I5", "O6"] == 127 and ("I5", "O5") not in through


def registers(**numbers):
    """Parameters of a DSP slice, without the registers that are not named."""
    names = ("AREG", "BREG", "CREG", "DREG", "ADREG", "MREG", "PREG")
    return {name: f"{numbers.get(name, 0):032b}" for name in names}


@pytest.mark.parametrize(("parameters", "setup", "clock", "internal"), [
    ({}, {"A": 254, "B": 324, "C": 168, "PCIN": 1025}, {"P": 329, "PCOUT": 435}, 1687 - 81),
    (registers(PREG=1), {"A": 2739, "B": 2608, "C": 1244, "PCIN": 1025}, {"P": 329}, 0),
    (registers(MREG=1, PREG=1), {"A": 1416, "B": 1285, "C": 1244}, {"P": 329}, 1671 - 82),
    (registers(MREG=1), {"A": 1416, "B": 1285}, {"P": 1671, "PCOUT": 1819}, 0),
    (registers(AREG=1, BREG=2, PREG=1), {"A": 254, "B": 324}, {"P": 329}, 2952 - 84),
    (registers(AREG=1, BREG=1), {"A": 254, "B": 324}, {"P": 2952}, 0),
    (registers(PREG=1) | {"USE_MULT": "NONE"}, {"A": 1441, "B": 1428}, {"P": 329}, 0),
    (registers(PREG=1) | {"USE_DPORT": "TRUE"}, {"A": 3723, "D": 3635}, {"P": 329}, 0),
])
def test_dsp_registers(parameters, setup, clock, internal):
    for cell in ("DSP48E1", "DSP48E2"):
        known = arcs(cell, parameters)
        assert setup.items() <= known.setup.items()
        assert clock.items() <= known.clock.items()
        assert known.internal == internal


def test_dsp_without_registers():
    known = arcs("DSP48E1", registers())
    assert known.through["A", "P"] == 2823 and known.through["B", "PCOUT"] == 2690 + 148
    assert known.through["PCIN", "P"] == 1107 and not known.clock and not known.setup


def test_block_memory():
    assert arcs("RAMB18E1", {}).clock["DOADO"] == 2454
    assert arcs("RAMB36E1", {"DOA_REG": "1", "DOB_REG": "1"}).clock["DOBDO"] == 882
    assert arcs("RAMB36E2", {"DOA_REG": "1", "DOB_REG": "0"}).clock["DOUTADOUT"] == 2454
    assert arcs("RAMB18E1", {}).setup["ADDRARDADDR"] == 566


@pytest.mark.parametrize("cell", ["FDRE_1", "LDCE", "CARRY8", "$_AND_", "DSP48"])
def test_unknown(cell):
    assert arcs(cell, {}) is None


def test_models_exist():
    assert "module LUT6_2" in Path(simulation_models("xcup")).read_text()
