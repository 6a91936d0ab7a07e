import copy
import json

import pytest

from gen import timing
from gen.timing import analyze, condense
from gen.timing_graph import read_netlist

CLOCK = 0.456
"""Clock to output of a flip-flop, in ns."""

OUTPUTS = {"O", "O5", "O6", "CO", "Q", "P", "PCOUT", "DOA", "DOB", "DOC", "DOD"}


def cell(type, parameters=None, **connections):
    bits = {port: value if isinstance(value, list) else [value]
            for port, value in connections.items()}
    outputs = OUTPUTS if type != "CARRY4" else {"O", "CO"}
    return {"type": type, "parameters": parameters or {}, "connections": bits,
            "port_directions": {port: "output" if port in outputs else "input" for port in bits}}


def flip_flop(d, q):
    return cell("FDRE", C=1, D=d, Q=q, CE="1", R="0")


def module(cells, *, inputs=(1,), outputs=(), names=None):
    """A netlist with a clock (bit 1) whose bits are called n2, n3, …"""
    bits = {bit for c in cells.values() for connected in c["connections"].values()
            for bit in connected if isinstance(bit, int)} | {*inputs, *outputs}
    return {"cells": cells,
            "ports": {f"i{bit}": {"direction": "input", "bits": [bit]} for bit in inputs}
            | {f"o{bit}": {"direction": "output", "bits": [bit]} for bit in outputs},
            "netnames": {f"n{bit}": {"hide_name": 0, "bits": [bit]} for bit in sorted(bits)}
            | {name: {"hide_name": 0, "bits": [bit]} for bit, name in (names or {}).items()}}


def carry(*, ci="0", cyinit="0", di=("0",) * 4, s=("0",) * 4, o=(90, 91, 92, 93),
          co=(94, 95, 96, 97)):
    return cell("CARRY4", CI=ci, CYINIT=cyinit, DI=list(di), S=list(s), O=list(o), CO=list(co))


def between(*cells, source=2, target=9):
    """``cells`` between two flip-flops: from the bit ``source`` to the bit ``target``."""
    return module({"a": flip_flop("0", source), "b": flip_flop(target, 99),
                   **{f"c{i}": c for i, c in enumerate(cells)}})


def only(bit, position, width=4):
    return ["0"] * position + [bit] + ["0"] * (width - position - 1)


# One cell each between two flip-flops, the first a net away, the second in its slice: the cell, and
# its delay.
CASES = [
    *((cell(f"LUT{n}", **{f"I{i}": 2 if i == pin else "0" for i in range(n)}, O=9), delay)
      for n, pin, delay in [(1, 0, 0.127), (2, 0, 0.238), (3, 0, 0.407), (4, 0, 0.472),
                            (5, 0, 0.631), (6, 0, 0.642), (6, 5, 0.127), (4, 2, 0.238)]),
    (cell("LUT6_2", I0="0", I1=2, I2="0", I3="0", I4="0", I5="1", O6=9, O5=8), 0.631),
    (cell("LUT6_2", I0="0", I1="0", I2="0", I3=2, I4="0", I5="1", O6=8, O5=9), 0.407),
    (cell("INV", I=2, O=9), 0.127),
    (cell("MUXF7", I0="0", I1="0", S=2, O=9), 0.296),
    (cell("MUXF7", I0=2, I1="0", S="0", O=9), 0.217),
    (cell("MUXF8", I0="0", I1=2, S="0", O=9), 0.094),
    (carry(cyinit=2, o=(9, 91, 92, 93)), 0.482),
    (carry(di=only(2, 1), o=(90, 91, 92, 9)), 0.596),
    # A flip-flop reaches S through a LUT that only passes it on.
    (carry(s=only(2, 2), o=(90, 91, 9, 93)), 0.226 + 0.127),
    # CO leaves the slice's carry chain as O does.
    (carry(di=only(2, 3), co=(94, 95, 96, 9)), 0.385),
]


@pytest.mark.parametrize(("tested", "delay"), CASES)
def test_cell(tested, delay):
    expected = CLOCK + 0.3 + delay
    result = analyze(between(tested))
    assert result["delay_ns"] == round(expected, 3)
    assert result["fmax_estimate_mhz"] == round(1000 / expected, 1)


@pytest.mark.parametrize(("tested", "clock", "through"), [
    (cell("SRL16E", A0=2, A1="0", A2="0", A3="0", CE="1", CLK=1, D="0", Q=9), 1.472, 0.631),
    (cell("SRLC32E", A=only(2, 1, 5), CE="1", CLK=1, D="0", Q=9), 1.472, 0.631),
    (cell("RAM32M", ADDRA=only(2, 3, 5), DOA=[9, 8], WCLK=1, WE="0"), 1.19, 0.407),
    (cell("RAM64M", ADDRB=only(2, 5, 6), DOB=[9], WCLK=1, WE="0"), 1.19, 0.127),
])
def test_memory(tested, clock, through):
    """What it stores comes out after the clock, and is chosen by a register or an input."""
    netlist = between(tested)
    assert analyze(netlist)["delay_ns"] == round(max(clock, CLOCK + 0.3 + through) + 0.3, 3)
    netlist["ports"]["i2"] = {"direction": "input", "bits": [2]}
    del netlist["cells"]["a"]
    assert analyze(netlist)["paths"]["input"]["delay_ns"] == round(
        CLOCK + 0.3 + through + 0.3, 3)


def test_mutated_arc_is_noticed(monkeypatch):
    """Every delay of the cases above depends on the table."""
    from gen import arcs as table
    known = table._arcs
    monkeypatch.setattr(table, "_arcs", lambda *key: (lambda arcs: table.Arcs(
        {pins: delay + 1 for pins, delay in arcs.through.items()},
        {port: delay + 1 for port, delay in arcs.clock.items()}, arcs.setup))(known(*key)))
    for tested, delay in CASES:
        with pytest.raises(AssertionError):
            test_cell(tested, delay)


def test_registers_alone():
    result = analyze(between(source=9))
    assert result["delay_ns"] == round(CLOCK + 0.3, 3)
    path = result["paths"]["register"]
    assert (path["start"], path["end"], path["levels"]) == ("n9", "n99.D", 0)
    assert [(step["type"], step["pin"], step["output"]) for step in path["steps"]] == [
        ("FDRE", None, "Q"), ("FDRE", "D", None)]
    assert result["paths"]["input"] is None


def test_carry_chain():
    """16 bits: LUT, S to CO, twice CI to CO, CI to O; none of the lines between is a net."""
    lut = cell("LUT2", I0=2, I1="0", O=10)
    chains = [carry(s=[10, "0", "0", "0"], o=(20, 21, 22, 23), co=(24, 25, 26, 27)),
              carry(ci=27, o=(30, 31, 32, 33), co=(34, 35, 36, 37)),
              carry(ci=37, o=(40, 41, 42, 43), co=(44, 45, 46, 47)),
              carry(ci=47, o=(50, 51, 52, 9), co=(54, 55, 56, 57))]
    result = analyze(between(lut, *chains))
    assert result["delay_ns"] == round(
        CLOCK + 0.3 + 0.238 + 0.508 + 2 * 0.114 + 0.313, 3)
    path = result["paths"]["register"]
    assert condense(path) == "n2 (FDRE) → LUT2 → 4 CARRY4 → n99.D (FDRE)"
    assert [step["net_ns"] for step in path["steps"]] == [0, 0.3, 0, 0, 0, 0, 0]
    assert path["steps"][-1]["at_ns"] == result["delay_ns"] == path["delay_ns"]


@pytest.mark.parametrize(("s", "local"), [(10, True), (11, False)])
def test_carry_data_from_its_own_lut(s, local):
    """O5 reaches DI without a net only if O6 of the same LUT is the same position's S."""
    lut = cell("LUT6_2", I0=2, I1="0", I2="0", I3="0", I4="0", I5="1", O5=12, O6=10)
    other = cell("LUT1", I0="0", O=11)
    result = analyze(between(lut, other, carry(di=only(12, 1), s=only(s, 1),
                                               o=(90, 91, 9, 93))))
    via_s = 0.3 + 0.642 + 0.558 if s == 10 else 0
    via_di = 0.3 + 0.642 + 0.537 + 0.3 * (not local)
    assert result["delay_ns"] == round(CLOCK + max(via_s, via_di), 3)


def test_muxf_chain():
    luts = [cell("LUT1", I0=2, O=10 + i) for i in range(2)]
    mux7 = cell("MUXF7", I0=10, I1=11, S="0", O=12)
    mux8 = cell("MUXF8", I0=12, I1="0", S="0", O=9)
    # The first net has two readers.
    assert analyze(between(*luts, mux7, mux8))["delay_ns"] == round(
        CLOCK + 0.4 + 0.127 + 0.223 + 0.104, 3)


def test_net_grows_with_readers():
    def delay(readers):
        cells = {f"r{i}": flip_flop(2, 100 + i) for i in range(readers)}
        return analyze(module({"a": flip_flop("0", 2), **cells}))["delay_ns"]
    assert [delay(n) for n in (1, 2, 4, 64)] == [
        round(CLOCK + net, 3) for net in (0.3, 0.4, 0.5, 0.9)]


@pytest.mark.parametrize(("port", "setup"), [("D", 0), ("CE", 0.109), ("R", 0.404)])
def test_setup(port, setup):
    ports = {"C": 1, "D": "0", "CE": "1", "R": "0", "Q": 99} | {port: 2}
    result = analyze(module({"a": flip_flop("0", 2), "b": cell("FDRE", **ports)}, outputs=(99,)))
    assert result["delay_ns"] == round(CLOCK + 0.3 + setup, 3)


def test_dsp():
    def dsp(**numbers):
        return {f"{name}REG": f"{numbers.get(name, 0):032b}" for name in "ABCDMP"} | {
            "ADREG": "0" * 32}
    first = cell("DSP48E1", dsp(M=1, P=1), A=[2] * 30, B=["0"] * 18, C=["0"] * 48, CLK=1,
                 PCOUT=[50, *range(200, 247)])
    second = cell("DSP48E1", dsp(A=1, B=1, P=1), A=["0"] * 30, PCIN=[50, *range(200, 247)], CLK=1,
                  P=[9, *range(300, 347)])
    result = analyze(between(first, second))
    # The way between the second one's own registers is the slowest: from A through the multiplier.
    assert result["delay_ns"] == 2.868
    assert condense(result["paths"]["register"]) == "n9 (DSP48E1) → n9.(internal) (DSP48E1)"
    second["parameters"] = dsp(P=1)
    result = analyze(between(first, second))
    # First M to P inside, then the pin A; the cascade needs 0.435 + 1.025.
    assert result["delay_ns"] == round(CLOCK + 0.3 + 1.416, 3)
    first["parameters"] = dsp(P=1)
    first["connections"]["A"] = ["0"] * 30
    result = analyze(between(first, second))
    assert result["delay_ns"] == round(0.435 + 1.025, 3)
    second["parameters"] = dsp()
    second["connections"]["A"] = [*range(400, 430)]
    # Without any register in the second, the cascade leads through it: PCIN to P, and a net.
    assert analyze(between(first, second))["delay_ns"] == round(0.435 + 1.107 + 0.3, 3)


def test_inputs_and_outputs_apart():
    """A path from an input counts, but is given apart; an output is an end as a register is."""
    netlist = module({"l": cell("LUT2", I0=3, I1=2, O=4), "a": flip_flop(4, 2)},
                     inputs=(1, 3), outputs=(4,))
    result = analyze(netlist)
    paths = result["paths"]
    # Two readers behind the LUT: the flip-flop in its slice and the output.
    assert paths["input"]["delay_ns"] == round(CLOCK + 0.3 + 0.238 + 0.4, 3)
    assert paths["register"]["delay_ns"] == round(CLOCK + 0.3 + 0.127 + 0.4, 3)
    assert (paths["input"]["start"], paths["input"]["end"]) == ("i3", "o4")
    assert (paths["register"]["start"], paths["register"]["end"]) == ("n2", "o4")
    assert result["delay_ns"] == paths["input"]["delay_ns"]


def test_range_and_scale():
    netlist = between(cell("LUT1", I0=2, O=9))
    result = analyze(netlist)
    assert result["fmax_estimate_range_mhz"] == [round(1000 / (CLOCK + net + 0.127), 1)
                                                 for net in (0.6, 0.15)]
    half = analyze(netlist, scale=0.5)
    assert half["delay_ns"] == pytest.approx(result["delay_ns"] / 2, abs=0.001)
    assert half["scale"] == 0.5 and half["net_ns"] == 0.15
    assert "estimate" in result["note"]


def test_more_logic_is_never_faster():
    delays = [analyze(between(*(cell("LUT4", I0=2 + i if i else 2, I1="0", I2="0", I3="0",
                                     O=3 + i if i < n - 1 else 60) for i in range(n)),
                              target=60))["delay_ns"] for n in range(1, 9)]
    assert delays == sorted(delays) and len(set(delays)) == len(delays)


def test_names_are_the_deepest():
    netlist = between(cell("LUT1", I0=2, O=9))
    netlist["netnames"] |= {"slice_0.dot.x": {"hide_name": 0, "bits": [2, 9]},
                            "$1.$2.$3.$4": {"hide_name": 1, "bits": [2]},
                            "slice_0.acc": {"hide_name": 0, "bits": ["x", 99]}}
    path = analyze(netlist)["paths"]["register"]
    assert (path["start"], path["end"]) == ("slice_0.dot.x[0]", "slice_0.acc[1].D")
    assert path["steps"][1]["net"] == "slice_0.dot.x[1]" and path["steps"][1]["cell"] == "c0"


def test_no_path():
    result = analyze(module({}, outputs=()))
    assert result["delay_ns"] is result["fmax_estimate_mhz"] is None
    assert result["paths"] == {"register": None, "input": None}
    json.dumps(result, allow_nan=False)


@pytest.mark.parametrize(("change", "message"), [
    ({"type": "LDCE"}, r"^timing: no delays are known for cell c0, a LDCE$"),
    ({"parameters": {"IS_C_INVERTED": "1"}},
     r"^timing: cell c0, a LUT1, must use the clock's rising edge$"),
])
def test_refused(change, message):
    netlist = between(cell("LUT1", I0=2, O=9))
    netlist["cells"]["c0"] |= change
    with pytest.raises(ValueError, match=message):
        analyze(netlist)


def test_combinational_loop():
    netlist = between(cell("LUT2", I0=2, I1=7, O=6), cell("LUT1", I0=6, O=7),
                      cell("LUT1", I0=7, O=9))
    with pytest.raises(ValueError, match=r"^timing: combinational loop through "
                                         r"(c0 \(LUT2\), c1 \(LUT1\)|c1 \(LUT1\), c0 \(LUT2\))$"):
        analyze(netlist)
    netlist["cells"]["c1"] = flip_flop(6, 7)
    assert analyze(netlist)["delay_ns"] > 0


def test_deep_netlist():
    """No recursion: deeper than Python's stack."""
    n = 20_000
    luts = [cell("LUT1", I0=102 + i, O=103 + i) for i in range(n)]
    result = analyze(between(*luts, source=102, target=n + 102))
    assert result["delay_ns"] == pytest.approx(CLOCK + n * (0.3 + 0.127), abs=1e-3)
    assert result["paths"]["register"]["levels"] == n


def test_read_netlist():
    netlist = between(cell("LUT1", {"INIT": "01", "INIT_00": "0" * 256}, I0=2, O=9))
    full = copy.deepcopy(netlist)
    for c in full["cells"].values():
        c["attributes"] = {"src": "top.v:1"}
    text = json.dumps({"creator": "", "modules": {"top": full, "other": module({})}})
    read = read_netlist(text, "top")
    assert "attributes" not in read["cells"]["c0"]
    assert "INIT" in read["cells"]["c0"]["parameters"]
    assert analyze(read) == analyze(netlist)
    with pytest.raises(ValueError, match=r"^netlist must have a module tip, found top, other$"):
        read_netlist(text, "tip")


def test_delay_model_is_stated():
    assert str(timing.NET_NS) in timing.NOTE and str(timing.NET_NS_PER_DOUBLING) in timing.NOTE
    netlist = between(cell("LUT1", I0=2, O=9))
    assert analyze(netlist)["note"] == timing.NOTE
    assert "all times 0.5" in analyze(netlist, scale=0.5)["note"]


@pytest.mark.parametrize(("low", "high", "output", "depends"), [
    ("0011", "0101", "O5", True), ("0101", "0011", "O5", False),
    ("0101", "0011", "O6", True), ("0101", "0101", "O6", False)])
def test_paths_that_a_table_does_not_have(low, high, output, depends):
    """From I1, of a LUT whose halves are tables of I1 and I0, the lower one that of O5."""
    outputs = {"O5": 8, "O6": 8} | {output: 9}
    lut = cell("LUT6_2", {"INIT": high * 8 + low * 8}, I0="0", I1=2, I2="0", I3="0", I4="0",
               I5="1", **outputs)
    assert (analyze(between(lut))["paths"]["register"] is not None) == depends
