"""Published delays of the cells of a 7-series netlist, speed grade −1, in picoseconds.

They are those that Project X-Ray took from the vendor's timing model of the Artix-7 (prjxray-db,
``artix7/timings``), as yosys has them in its library of cells; the slowest of each group is taken.
A register's clock to output is the larger of the two published figures, 456 as the vendor's own
reports for −1 parts have it (Project X-Ray: 303). Pins of a DSP slice or a block memory for which
there is no figure take that of a similar pin, as said at each. Cells of UltraScale+ with the same
ports are in the table, too.
"""

import itertools
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache

__all__ = ["CLOCK_TO_OUTPUT", "ROUTE_THROUGH", "Arcs", "arcs"]

CLOCK_TO_OUTPUT = 456
"""Clock to output of a flip-flop, also of those assumed outside at every input of a netlist."""

ROUTE_THROUGH = 127
"""Through a LUT that only passes its fastest input on."""


@dataclass(frozen=True)
class Arcs:
    """Delays of one cell in ps. A pin is ``port[bit]``, or ``port`` for each of its bits.

    Parameters
    ----------
    through : :class:`dict`
        From input pin to output pin, without a clock.
    clock : :class:`dict`
        From the clock to an output port.
    setup : :class:`dict`
        Of an input port before the clock.
    internal : :class:`int`
        Between registers inside the cell, 0 without any.
    """

    through: Mapping[tuple[str, str], int] = field(default_factory=dict)
    clock: Mapping[str, int] = field(default_factory=dict)
    setup: Mapping[str, int] = field(default_factory=dict)
    internal: int = 0


# From the address inputs of a LUT, slowest first; a LUT with fewer inputs has the last ones.
_LUT6 = (642, 631, 472, 407, 238, 127)

_CARRY4 = """
          O[0]  O[1]  O[2]  O[3]  CO[0] CO[1] CO[2] CO[3]
    CYINIT 482   598   584   642   536   494   592   580
    CI     222   334   239   313   271   157   228   114
    DI[0]    -   407   556   615   379   465   540   526
    DI[1]    -     -   537   596     -   445   520   507
    DI[2]    -     -     -   438     -     -   356   398
    DI[3]    -     -     -     -     -     -     -   385
    S[0]   223   400   523   582   340   433   512   508
    S[1]     -   205   558   618     -   469   548   528
    S[2]     -     -   226   330     -     -   292   378
    S[3]     -     -     -   227     -     -     -   380
"""


def _table(text: str) -> dict[tuple[str, str], int]:
    """Delays from the pins at the left to the pins on top."""
    (*outputs,), *rows = (line.split() for line in text.strip().splitlines())
    return {(source, output): int(delay) for source, *delays in rows
            for output, delay in zip(outputs, delays, strict=True) if delay != "-"}


def _lut(inputs: int, output: str = "O") -> dict[tuple[str, str], int]:
    return {(f"I{i}", output): delay for i, delay in enumerate(_LUT6[6 - inputs:])}


_FLIP_FLOP_SETUP = {"D": 0, "CE": 109, "R": 404, "S": 404, "CLR": 404, "PRE": 404}
_LUTRAM_CLOCK, _LUTRAM_SETUP, _LUTRAM_WE = 1190, 461, 654

_CELLS = {
    "INV": Arcs({("I", "O"): _LUT6[-1]}),
    "BUFG": Arcs({("I", "O"): 96}),
    **{f"LUT{n}": Arcs(_lut(n)) for n in range(1, 7)},
    # I5 selects between the two halves, of which O5 is the lower one.
    "LUT6_2": Arcs(_lut(6, "O6") | {(f"I{i}", "O5"): _LUT6[i] for i in range(5)}),
    "MUXF7": Arcs({("I0", "O"): 217, ("I1", "O"): 223, ("S", "O"): 296}),
    "MUXF8": Arcs({("I0", "O"): 104, ("I1", "O"): 94, ("S", "O"): 273}),
    "CARRY4": Arcs(_table(_CARRY4)),
    **{name: Arcs(clock={"Q": CLOCK_TO_OUTPUT}, setup=_FLIP_FLOP_SETUP)
       for name in ("FDRE", "FDSE", "FDCE", "FDPE")},
    "SRL16E": Arcs({(f"A{i}", "Q"): delay for i, delay in enumerate(_LUT6[1:5])},
                   clock={"Q": 1472}, setup={"D": 173, "CE": 109}),
    "SRLC32E": Arcs({(f"A[{i}]", "Q"): delay for i, delay in enumerate(_LUT6[:5])},
                    clock={"Q": 1472, "Q31": 1114}, setup={"D": 173, "CE": 109}),
}


def _lutram(depth: int, letters: str) -> Arcs:
    """LUTs as memory with a port for each of ``letters``; without any, with ports A and DPRA."""
    inputs = _LUT6[:5] if depth == 32 else _LUT6
    addresses = ([(f"ADDR{letter}[{{}}]", f"DO{letter}") for letter in letters]
                 or [("A{}", "SPO"), ("DPRA{}", "DPO")])
    # The last port is the one that writes.
    writing = [f"ADDR{letters[-1]}", *(f"DI{letter}" for letter in letters)] if letters else [
        "D", *(f"A{i}" for i in range(len(inputs)))]
    setup = dict.fromkeys(writing, _LUTRAM_SETUP) | {"WE": _LUTRAM_WE}
    return Arcs({(address.format(i), output): delay for address, output in addresses
                 for i, delay in enumerate(inputs)},
                {output: _LUTRAM_CLOCK for _, output in addresses}, setup)


for _name, _depth, _letters in [
        ("RAM32M", 32, "ABCD"), ("RAM64M", 64, "ABCD"), ("RAM32M16", 32, "ABCDEFGH"),
        ("RAM64M8", 64, "ABCDEFGH"), ("RAM32X1D", 32, ""), ("RAM64X1D", 64, "")]:
    _CELLS[_name] = _lutram(_depth, _letters)


def _block_memory(registered: bool) -> Arcs:
    """Enables and resets take the figure of the data inputs."""
    addresses, writes = ("ADDRARDADDR", "ADDRBWRADDR"), ("WEA", "WEBWE")
    others = ("ENARDEN", "ENBWREN", "REGCEAREGCE", "REGCEB", "RSTRAMARSTRAM", "RSTRAMB",
              "RSTREGARSTREG", "RSTREGB")
    inputs = tuple(f"{di}{port}{di}" for di in ("DI", "DIN") for port in "AB")
    parities = tuple(f"{di}P{port}{di}P" for di in ("DI", "DIN") for port in "AB")
    outputs = tuple(f"{do}{port}{do}" for do in ("DO", "DOUT") for port in ("A", "B"))
    outputs += tuple(f"{do}P{port}{do}P" for do in ("DO", "DOUT") for port in ("A", "B"))
    return Arcs(clock=dict.fromkeys(outputs, 882 if registered else 2454),
                setup={**dict.fromkeys(addresses, 566), **dict.fromkeys(writes, 532),
                       **dict.fromkeys((*inputs, *parities, *others), 737)})


# What is left of an operand's way through a DSP slice where its first register is the one named,
# that is, the register's setup; "" without any register is the delay to P.
_DSP_SETUP = {
    "A": {"AREG": 254, "MREG": 1416, "PREG": 2739, "": 2823},
    "A+D": {"AREG": 254, "ADREG": 1283, "MREG": 2400, "PREG": 3723, "": 3806},
    "A only": {"AREG": 254, "PREG": 1441, "": 1523},
    "B": {"BREG": 324, "MREG": 1285, "PREG": 2608, "": 2690},
    "B only": {"BREG": 324, "PREG": 1428, "": 1509},
    "C": {"CREG": 168, "PREG": 1244, "": 1325},
    "D": {"DREG": 248, "ADREG": 1195, "MREG": 2310, "PREG": 3635, "": 3717},
    "PCIN": {"PREG": 1025, "": 1107},
}
# From the last register on an operand's way to P.
_DSP_CLOCK = {"AREG": 2952, "BREG": 2813, "CREG": 1687, "MREG": 1671, "PREG": 329}
_DSP_CLOCK_PREADDER = {"AREG": 3935, "DREG": 3908, "ADREG": 2958}
_DSP_CLOCK_NO_MULTIPLIER = {"AREG": 1632, "BREG": 1616}
_DSP_CASCADE = 148
"""PCOUT after P; 106 from the register P."""

# Pins that behave as an operand, for lack of a figure of their own.
_DSP_ALIKE = {
    "A": ["A", "ACIN"], "B": ["B", "BCIN"], "D": ["D"], "PCIN": ["PCIN", "CARRYCASCIN"],
    "C": ["C", "CARRYIN", "CARRYINSEL", "OPMODE", "ALUMODE", "INMODE", "MULTSIGNIN"],
}
_DSP_CONTROLS = [
    *(f"CE{name}" for name in ["A1", "A2", "AD", "ALUMODE", "B1", "B2", "C", "CARRYIN", "CTRL",
                               "D", "INMODE", "M", "P"]),
    *(f"RST{name}" for name in ["A", "ALLCARRYIN", "ALUMODE", "B", "C", "CTRL", "D", "INMODE",
                                "M", "P"])]
"""Enables and resets of its registers: as C before its own."""
_DSP_OUTPUTS = ["CARRYOUT", "OVERFLOW", "UNDERFLOW", "PATTERNDETECT", "PATTERNBDETECT"]
_DSP_CASCADES = ["PCOUT", "ACOUT", "BCOUT", "CARRYCASCOUT", "MULTSIGNOUT"]


def _dsp(parameters: Mapping[str, str]) -> Arcs:
    """A DSP slice, with each of its registers where ``parameters`` say (the default is one)."""
    def has(register: str) -> bool:
        return int(parameters.get(register, "1"), 2) != 0

    multiplies = parameters.get("USE_MULT", "MULTIPLY").strip() != "NONE"
    preadds = (parameters.get("USE_DPORT", "FALSE").strip() == "TRUE"
               or parameters.get("AMULTSEL", "A").strip() == "AD")
    ways = {"A": "A+D" if preadds else "A" if multiplies else "A only",
            "B": "B" if multiplies else "B only", "C": "C", "PCIN": "PCIN"}
    clocks = _DSP_CLOCK | (_DSP_CLOCK_PREADDER if preadds else {})
    if preadds:
        ways["D"] = "D"
    if not multiplies:
        clocks = clocks | _DSP_CLOCK_NO_MULTIPLIER

    through, setup, clock, internal = {}, {}, 0, 0
    for operand, way in ways.items():
        stages = _DSP_SETUP[way]
        registers = [stage for stage in stages if stage and has(stage)]
        for port in _DSP_ALIKE[operand]:
            if registers:
                setup[port] = stages[registers[0]]
            else:
                through[port, "P"] = stages[""]
                through[port, "PCOUT"] = stages[""] + _DSP_CASCADE
        for register, following in itertools.pairwise(registers):
            internal = max(internal, clocks[register] - stages[""] + stages[following])
        if registers:
            clock = max(clock, clocks[registers[-1]])
    if not clock:
        return Arcs(through)
    cascade = clock + (106 if has("PREG") else _DSP_CASCADE)
    setup |= dict.fromkeys(_DSP_CONTROLS, _DSP_SETUP["C"]["CREG"])
    return Arcs(through, dict.fromkeys(("P", *_DSP_OUTPUTS), clock)
                | dict.fromkeys(_DSP_CASCADES, cascade), setup, internal)


@cache
def _arcs(cell: str, parameters: tuple[tuple[str, str], ...]) -> Arcs | None:
    values = dict(parameters)
    if re.fullmatch("DSP48E[12]", cell):
        return _dsp(values)
    if re.fullmatch("RAMB(18|36)E[12]", cell):
        return _block_memory(all(int(values.get(register, "0"), 2)
                                 for register in ("DOA_REG", "DOB_REG")))
    return _CELLS.get(cell)


_RELEVANT = re.compile(r"[ABCDMP]REG|ADREG|USE_MULT|USE_DPORT|AMULTSEL|DO[AB]_REG")


def arcs(cell: str, parameters: Mapping[str, str]) -> Arcs | None:
    """Delays of a cell of type ``cell``, or None if they are not known.

    Parameters
    ----------
    cell : :class:`str`
        Its type, as yosys names it.
    parameters : :class:`dict`
        Its parameters as in yosys's JSON: strings, numbers in binary.
    """
    return _arcs(cell, tuple(sorted((name, value) for name, value in parameters.items()
                                    if _RELEVANT.fullmatch(name))))
