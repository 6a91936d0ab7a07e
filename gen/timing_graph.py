"""The delays of a mapped netlist's cells as a graph of its bits, for :mod:`gen.timing`."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from gen.arcs import CLOCK_TO_OUTPUT, ROUTE_THROUGH, Arcs, arcs

__all__ = ["Arc", "Graph", "graph_of", "order_of", "pins", "read_netlist"]

# Bits of a LUT's table; block memories have more.
_LARGEST_TABLE = 64


def read_netlist(text: str, top: str) -> dict[str, Any]:
    """The flat module ``top`` of yosys's JSON, without what the analysis does not need.

    Raises
    ------
    :exc:`ValueError`
        If there is no such module.
    """
    def compact(entry: dict[str, Any]) -> dict[str, Any]:
        # Called for every object as soon as it is read, so that a large netlist fits into memory.
        entry.pop("attributes", None)
        if len(entry.get("INIT", "")) > _LARGEST_TABLE:
            del entry["INIT"]
        return entry

    modules = json.loads(text, object_hook=compact)["modules"]
    if top not in modules:
        raise ValueError(f"netlist must have a module {top}, found {', '.join(modules) or 'none'}")
    return modules[top]


class Arc(NamedTuple):
    """``delay`` ps through ``cell``, from ``pin`` to ``output``: empty at a path's start and end.

    It starts at the bit ``source``, reached without a net if ``local``, or, without one, at a clock
    edge. Without a cell, it is a port of the netlist."""

    source: int | None
    local: bool
    delay: float
    cell: str
    pin: str
    output: str


@dataclass
class Graph:
    """A netlist's arcs, by the bit at their end.

    Parameters
    ----------
    through : :class:`dict`
        Arcs to a bit from inputs of the cell that drives it.
    registers, inputs : :class:`dict`
        Arc to a bit from the clock, of a register inside and of one outside.
    ends : :class:`list`
        Arcs that end in a register, inside or outside.
    readers : :class:`dict`
        How many cells and ports read a bit.
    """

    through: dict[int, list[Arc]] = field(default_factory=dict)
    registers: dict[int, Arc] = field(default_factory=dict)
    inputs: dict[int, Arc] = field(default_factory=dict)
    ends: list[Arc] = field(default_factory=list)
    readers: dict[int, int] = field(default_factory=dict)


class _Driver(NamedTuple):
    kind: str
    cell: str
    port: str


_OUTSIDE = _Driver("", "", "")
_DSP_COLUMN = {"PCIN", "ACIN", "BCIN", "CARRYCASCIN", "MULTSIGNIN"}


def pins(connections: dict[str, list[int | str]]) -> Iterator[tuple[str, str, int]]:
    """Port, pin and bit of every connection that is no constant."""
    for port, bits in connections.items():
        for index, bit in enumerate(bits):
            if isinstance(bit, int):
                yield port, port if len(bits) == 1 else f"{port}[{index}]", bit


def _reach(drivers: dict[int | str, _Driver], cell: dict[str, Any], port: str, pin: str, bit: int
           ) -> tuple[bool, int]:
    """Whether ``bit`` reaches a pin without a net, and the ps that it needs besides."""
    driver, kind = drivers.get(bit, _OUTSIDE), cell["type"]
    by_lut = driver.kind.startswith("LUT") or driver.kind == "INV"
    by_muxf = driver.kind.startswith("MUXF")
    by_carry = driver.kind == "CARRY4"
    if kind == "CARRY4":
        if port == "S":
            return by_lut, 0 if by_lut else ROUTE_THROUGH
        if port == "DI":
            # O5 of the LUT whose O6 is the same position's S.
            position = int(pin[len("DI["):-1])
            select = drivers.get(cell["connections"]["S"][position], _OUTSIDE)
            return driver.port == "O5" and driver.cell == select.cell, 0
        return by_carry and port == "CI", 0
    if kind.startswith("MUXF"):
        return (by_lut or by_muxf) and port != "S", 0
    if kind.startswith("FD"):
        return (by_lut or by_muxf or by_carry) and port == "D", 0
    return kind.startswith("DSP48") and port in _DSP_COLUMN, 0


def _known(name: str, cell: dict[str, Any]) -> Arcs:
    parameters = cell.get("parameters", {})
    known = arcs(cell["type"], parameters)
    if known is None:
        raise ValueError(f"timing: no delays are known for cell {name}, a {cell['type']}")
    if any(int(parameters.get(f"IS_{clock}_INVERTED", "0"), 2) for clock in ("C", "CLK", "WCLK")):
        raise ValueError(f"timing: cell {name}, a {cell['type']}, must use the clock's rising edge")
    return known


def _false_arcs(cell: dict[str, Any]) -> set[tuple[str, str]]:
    """Inputs and outputs of a LUT of which the table makes the output independent: a ternary
    adder's majority, in the lower half of a table, does not depend on the carry beside it."""
    table = cell.get("parameters", {}).get("INIT", "")
    if not cell["type"].startswith("LUT") or not table or table.strip("01"):
        return set()
    bits = table[::-1]
    inputs = (len(bits) - 1).bit_length()
    tables = {"O5": bits[:32], "O6": bits} if cell["type"] == "LUT6_2" else {"O": bits}
    return {(f"I{i}", output) for output, part in tables.items() for i in range(inputs)
            if all(part[k] == part[k ^ 1 << i] for k in range(len(part)) if k ^ 1 << i < len(part))}


def graph_of(module: dict[str, Any], scale: float) -> Graph:
    """The graph of a flat module of yosys's JSON (:func:`read_netlist`), its delays in ps times
    ``scale``.

    Raises
    ------
    :exc:`ValueError`
        If a cell's delays are not known, or a register uses the falling edge.
    """
    graph = Graph()
    drivers: dict[int | str, _Driver] = {}
    # Flattening leaves marks that are no cells.
    cells = [(name, cell, _known(name, cell)) for name, cell in module["cells"].items()
             if cell["type"] != "$scopeinfo"]
    for name, cell, _ in cells:
        read = set()
        for port, _, bit in pins(cell["connections"]):
            if cell["port_directions"][port] == "output":
                drivers[bit] = _Driver(cell["type"], name, port)
            else:
                read.add(bit)
        for bit in read:
            graph.readers[bit] = graph.readers.get(bit, 0) + 1
    for name, port in module["ports"].items():
        for _, pin, bit in pins({name: port["bits"]}):
            if port["direction"] == "output":
                graph.readers[bit] = graph.readers.get(bit, 0) + 1
                graph.ends.append(Arc(bit, False, 0, "", pin, ""))
            else:
                graph.inputs[bit] = Arc(None, True, CLOCK_TO_OUTPUT * scale, "", "", pin)

    for name, cell, known in cells:
        inputs: dict[str, dict[int, tuple[bool, float]]] = {}
        outputs: dict[str, list[int]] = {}
        for port, pin, bit in pins(cell["connections"]):
            if cell["port_directions"][port] != "output":
                local, extra = _reach(drivers, cell, port, pin, bit)
                inputs.setdefault(port, {})[bit] = inputs.setdefault(pin, {})[bit] = local, extra
                if port in known.setup:
                    graph.ends.append(Arc(bit, local, (known.setup[port] + extra) * scale, name,
                                           pin, ""))
            elif bit in graph.readers:
                outputs.setdefault(pin, []).append(bit)
                if pin != port:
                    outputs.setdefault(port, []).append(bit)
                if port in known.clock:
                    graph.registers[bit] = Arc(None, True, known.clock[port] * scale, name, "",
                                                pin)
        ignored = _false_arcs(cell)
        for (pin, output), delay in known.through.items():
            if (pin, output) in ignored:
                continue
            for target in outputs.get(output, ()):
                graph.through.setdefault(target, []).extend(
                    Arc(bit, local, (delay + extra) * scale, name, pin, output)
                    for bit, (local, extra) in inputs.get(pin, {}).items())
        if known.internal:
            graph.ends.append(Arc(None, True, known.internal * scale, name, "(internal)", ""))
    return graph


def order_of(graph: Graph, kinds: dict[str, str]) -> list[int]:
    """Every bit that an end waits for, after those that it waits for itself.

    Parameters
    ----------
    kinds : :class:`dict`
        Type of each cell, for the message.

    Raises
    ------
    :exc:`ValueError`
        If there is a combinational loop.
    """
    order: list[int] = []
    done: set[int] = set()
    waiting: dict[int, Iterator[Arc]] = {}
    for end in graph.ends:
        pending = [] if end.source is None or end.source in done else [end.source]
        while pending:
            bit = pending[-1]
            sources = waiting.setdefault(bit, iter(graph.through.get(bit, ())))
            for arc in sources:
                assert arc.source is not None
                if arc.source in waiting:
                    loop = pending[pending.index(arc.source):]
                    names = [next(a for a in graph.through[b] if a.source in waiting).cell
                             for b in loop]
                    raise ValueError("timing: combinational loop through "
                                     + ", ".join(f"{name} ({kinds[name]})" for name in names[:4])
                                     + (f" and {len(names) - 4} more" if len(names) > 4 else ""))
                if arc.source not in done:
                    pending.append(arc.source)
                    break
            else:
                del waiting[bit]
                done.add(bit)
                order.append(pending.pop())
    return order
