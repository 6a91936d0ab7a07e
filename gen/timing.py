"""Static timing analysis of a mapped netlist: an **estimate** of its delay.

The cells' delays are published ones (:mod:`gen.arcs`). Where they will lie is not known before
place and route, so nets have a stated delay:

- none where driver and reader share a slice or a dedicated line: from a LUT to its carry chain or
  MUXF; from a LUT, MUXF or carry chain to the D of a flip-flop; along a column of carry chains or
  DSP slices;
- otherwise 0.3 ns + 0.1 ns · log2(n) for a net that n cells or ports read. With a LUT this makes
  0.4 to 1.1 ns a level; the vendor's reports of routed −1 parts have 0.4 to 1.3.

Inputs are taken to come from flip-flops outside, outputs to go to some. There is one clock, without
skew. A path that a design never uses counts like any other.
"""

import itertools
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from gen.arcs import CLOCK_TO_OUTPUT, ROUTE_THROUGH, Arcs, arcs

__all__ = ["NET_NS", "NET_NS_PER_DOUBLING", "NOTE", "analyze", "condense", "read_netlist"]

NET_NS, NET_NS_PER_DOUBLING = 0.3, 0.1
"""Delay of a net between slices with one reader, and what each doubling of its readers adds."""

NOTE = ("An estimate before place and route: published cell delays of an Artix-7 -1; nets of "
        f"{NET_NS} ns, {NET_NS_PER_DOUBLING} ns more for each doubling of their readers (the range "
        "is for nets twice and half as slow); inputs and outputs registered outside.")

_SLOW_NETS, _FAST_NETS = 2.0, 0.5
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


class _Arc(NamedTuple):
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
class _Graph:
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

    through: dict[int, list[_Arc]] = field(default_factory=dict)
    registers: dict[int, _Arc] = field(default_factory=dict)
    inputs: dict[int, _Arc] = field(default_factory=dict)
    ends: list[_Arc] = field(default_factory=list)
    readers: dict[int, int] = field(default_factory=dict)


class _Driver(NamedTuple):
    kind: str
    cell: str
    port: str


_OUTSIDE = _Driver("", "", "")
_DSP_COLUMN = {"PCIN", "ACIN", "BCIN", "CARRYCASCIN", "MULTSIGNIN"}


def _pins(connections: dict[str, list[int | str]]) -> Iterator[tuple[str, str, int]]:
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


def _graph(module: dict[str, Any], scale: float) -> _Graph:
    graph = _Graph()
    drivers: dict[int | str, _Driver] = {}
    # Flattening leaves marks that are no cells.
    cells = [(name, cell, _known(name, cell)) for name, cell in module["cells"].items()
             if cell["type"] != "$scopeinfo"]
    for name, cell, _ in cells:
        read = set()
        for port, _, bit in _pins(cell["connections"]):
            if cell["port_directions"][port] == "output":
                drivers[bit] = _Driver(cell["type"], name, port)
            else:
                read.add(bit)
        for bit in read:
            graph.readers[bit] = graph.readers.get(bit, 0) + 1
    for name, port in module["ports"].items():
        for _, pin, bit in _pins({name: port["bits"]}):
            if port["direction"] == "output":
                graph.readers[bit] = graph.readers.get(bit, 0) + 1
                graph.ends.append(_Arc(bit, False, 0, "", pin, ""))
            else:
                graph.inputs[bit] = _Arc(None, True, CLOCK_TO_OUTPUT * scale, "", "", pin)

    for name, cell, known in cells:
        inputs: dict[str, dict[int, tuple[bool, float]]] = {}
        outputs: dict[str, list[int]] = {}
        for port, pin, bit in _pins(cell["connections"]):
            if cell["port_directions"][port] != "output":
                local, extra = _reach(drivers, cell, port, pin, bit)
                inputs.setdefault(port, {})[bit] = inputs.setdefault(pin, {})[bit] = local, extra
                if port in known.setup:
                    graph.ends.append(_Arc(bit, local, (known.setup[port] + extra) * scale, name,
                                           pin, ""))
            elif bit in graph.readers:
                outputs.setdefault(pin, []).append(bit)
                if pin != port:
                    outputs.setdefault(port, []).append(bit)
                if port in known.clock:
                    graph.registers[bit] = _Arc(None, True, known.clock[port] * scale, name, "",
                                                pin)
        ignored = _false_arcs(cell)
        for (pin, output), delay in known.through.items():
            if (pin, output) in ignored:
                continue
            for target in outputs.get(output, ()):
                graph.through.setdefault(target, []).extend(
                    _Arc(bit, local, (delay + extra) * scale, name, pin, output)
                    for bit, (local, extra) in inputs.get(pin, {}).items())
        if known.internal:
            graph.ends.append(_Arc(None, True, known.internal * scale, name, "(internal)", ""))
    return graph


def _order(graph: _Graph, kinds: dict[str, str]) -> list[int]:
    """Every bit that an end waits for, after those that it waits for itself."""
    order: list[int] = []
    done: set[int] = set()
    waiting: dict[int, Iterator[_Arc]] = {}
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


class _Nets:
    """Delays in ps of a graph's nets, ``factor`` times the stated ones."""

    def __init__(self, graph: _Graph, factor: float) -> None:
        by_readers = {n: 1000 * factor * (NET_NS + NET_NS_PER_DOUBLING * math.log2(n))
                      for n in set(graph.readers.values())}
        self.delays = {bit: by_readers[n] for bit, n in graph.readers.items()}

    def before(self, arc: _Arc) -> float:
        """Of the net that leads to ``arc``."""
        return 0.0 if arc.local or arc.source is None else self.delays[arc.source]


def _slowest(graph: _Graph, order: list[int], starts: dict[int, _Arc], nets: _Nets,
             internal: bool) -> tuple[float, list[_Arc]]:
    """Delay in ps, and the arcs, of the slowest path from ``starts`` to an end; 0 if there is none.

    Cells' ``internal`` paths are among them if so."""
    times: dict[int, float] = {}
    last: dict[int, _Arc] = {}
    for bit in order:
        best, via = -1.0, None
        if bit in starts:
            best, via = starts[bit].delay, starts[bit]
        for arc in graph.through.get(bit, ()):
            if arc.source in times:
                time = times[arc.source] + arc.delay
                if not arc.local:
                    time += nets.delays[arc.source]
                if time > best:
                    best, via = time, arc
        if via is not None:
            times[bit], last[bit] = best, via

    best, path = 0.0, []
    for end in graph.ends:
        if end.source is None:
            time = end.delay if internal else 0.0
        else:
            time = times.get(end.source, -math.inf) + nets.before(end) + end.delay
        if time > best:
            best, path = time, [end]
    while path and path[-1].source is not None:
        path.append(last[path[-1].source])
    return best, path[::-1]


def _names(module: dict[str, Any], bits: set[int]) -> dict[int, str]:
    """Name of each of ``bits`` in the design: the one deepest in its hierarchy."""
    names: dict[int, str] = {}
    for name, net in module["netnames"].items():
        if net["hide_name"]:
            continue
        for _, pin, bit in _pins({name: net["bits"]}):
            if bit in bits and (bit not in names
                                or pin.count(".") > names[bit].count(".")):
                names[bit] = pin
    return names


def _describe(module: dict[str, Any], path: list[_Arc], nets: _Nets) -> dict[str, Any] | None:
    """A path in ns, see :func:`analyze`."""
    if not path:
        return None
    # The bit that an arc drives is the source of the next one.
    targets = [arc.source for arc in path[1:]] + [None]
    names = _names(module, {bit for bit in targets if bit is not None})
    steps, total = [], 0.0
    for arc, target in zip(path, targets, strict=True):
        total += nets.before(arc) + arc.delay
        steps.append({
            "cell": arc.cell or None,
            "type": module["cells"][arc.cell]["type"] if arc.cell else "port",
            "pin": arc.pin or None,
            "output": arc.output or None,
            "net": None if target is None else names.get(target),
            "net_ns": round(nets.before(arc) / 1000, 3),
            "cell_ns": round(arc.delay / 1000, 3),
            "at_ns": round(total / 1000, 3),
        })
    return {
        "delay_ns": round(total / 1000, 3),
        "levels": max(len(path) - 2, 0),
        "start": _register(module, path[0]) if path[0].cell else path[0].output,
        "end": f"{_register(module, path[-1])}.{path[-1].pin}" if path[-1].cell else path[-1].pin,
        "steps": steps,
    }


def _register(module: dict[str, Any], arc: _Arc) -> str:
    """Name of an arc's cell by what it drives, as a netlist's own names are numbers."""
    cell = module["cells"][arc.cell]
    driven = [bit for port, pin, bit in _pins(cell["connections"])
              if cell["port_directions"][port] == "output" and arc.output in ("", pin)]
    names = _names(module, set(driven))
    return next((names[bit] for bit in driven if bit in names), arc.cell)


def analyze(module: dict[str, Any], *, scale: float = 1.0) -> dict[str, Any]:
    """The estimated delay of a netlist. It takes time and memory in proportion to its cells.

    Parameters
    ----------
    module : :class:`dict`
        A flat module of yosys's JSON, see :func:`read_netlist`.
    scale : :class:`float`
        Multiplies all delays, to estimate a device of another family.

    Returns
    -------
    :class:`dict`
        ``delay_ns`` of the slowest path, ``fmax_estimate_mhz`` (its inverse) and
        ``fmax_estimate_range_mhz`` (for nets twice and half as slow), null without any path;
        ``scale``; ``net_ns`` and ``net_ns_per_doubling`` as scaled; ``note``; ``paths``, the
        slowest that start at a ``register`` and at an ``input``, each null or: ``delay_ns``,
        ``levels`` (cells between start and end), ``start`` and ``end`` (a register is named by what
        it drives), and ``steps``. A step is the way to and through a cell: ``cell`` (null at a
        port), ``type``, ``pin``, ``output``, ``net`` (name of the net driven, null if it has none
        in the design), ``net_ns`` (to the pin), ``cell_ns``, and ``at_ns``, the sum so far. The
        first is the clock to output of a register, also outside, the last the setup of one.

    Raises
    ------
    :exc:`ValueError`
        If a cell's delays are not known, a register uses the falling edge, or there is a
        combinational loop.
    """
    graph = _graph(module, scale)
    order = _order(graph, {name: cell["type"] for name, cell in module["cells"].items()})
    starts = {"register": graph.registers, "input": graph.inputs}

    def slowest(nets: _Nets) -> dict[str, tuple[float, list[_Arc]]]:
        return {kind: _slowest(graph, order, bits, nets, kind == "register")
                for kind, bits in starts.items()}

    def fmax(delay_ps: float) -> float | None:
        return round(1e6 / delay_ps, 1) if delay_ps else None

    stated = _Nets(graph, scale)
    found = slowest(stated)
    delay = max(time for time, _ in found.values())
    extremes = [max(time for time, _ in slowest(_Nets(graph, scale * factor)).values())
                for factor in (_SLOW_NETS, _FAST_NETS)]
    return {
        "delay_ns": round(delay / 1000, 3) or None,
        "fmax_estimate_mhz": fmax(delay),
        "fmax_estimate_range_mhz": [fmax(extreme) for extreme in extremes],
        "scale": scale,
        "net_ns": NET_NS * scale,
        "net_ns_per_doubling": NET_NS_PER_DOUBLING * scale,
        "note": NOTE + (f"; all times {scale}, for another device" if scale != 1 else ""),
        "paths": {kind: _describe(module, path, stated) for kind, (_, path) in found.items()},
    }


def condense(path: dict[str, Any]) -> str:
    """The steps of a path in one line, equal ones in a row as one."""
    parts = [f"{path['start']} ({path['steps'][0]['type']})"]
    for kind, steps in itertools.groupby(path["steps"][1:-1], key=lambda step: step["type"]):
        number = len(list(steps))
        parts.append(kind if number == 1 else f"{number} {kind}")
    return " → ".join([*parts, f"{path['end']} ({path['steps'][-1]['type']})"])
