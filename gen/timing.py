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
import math
from typing import Any

from gen.timing_graph import Arc, Graph, graph_of, order_of, pins

__all__ = ["NET_NS", "NET_NS_PER_DOUBLING", "NOTE", "analyze", "condense"]

NET_NS, NET_NS_PER_DOUBLING = 0.3, 0.1
"""Delay of a net between slices with one reader, and what each doubling of its readers adds."""

NOTE = ("An estimate before place and route: published cell delays of an Artix-7 -1; nets of "
        f"{NET_NS} ns, {NET_NS_PER_DOUBLING} ns more for each doubling of their readers (the range "
        "is for nets twice and half as slow); inputs and outputs registered outside.")

_SLOW_NETS, _FAST_NETS = 2.0, 0.5


class _Nets:
    """Delays in ps of a graph's nets, ``factor`` times the stated ones."""

    def __init__(self, graph: Graph, factor: float) -> None:
        by_readers = {n: 1000 * factor * (NET_NS + NET_NS_PER_DOUBLING * math.log2(n))
                      for n in set(graph.readers.values())}
        self.delays = {bit: by_readers[n] for bit, n in graph.readers.items()}

    def before(self, arc: Arc) -> float:
        """Of the net that leads to ``arc``."""
        return 0.0 if arc.local or arc.source is None else self.delays[arc.source]


def _slowest(graph: Graph, order: list[int], starts: dict[int, Arc], nets: _Nets,
             internal: bool) -> tuple[float, list[Arc]]:
    """Delay in ps, and the arcs, of the slowest path from ``starts`` to an end; 0 if there is none.

    Cells' ``internal`` paths are among them if so."""
    times: dict[int, float] = {}
    last: dict[int, Arc] = {}
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
        for _, pin, bit in pins({name: net["bits"]}):
            if bit in bits and (bit not in names
                                or pin.count(".") > names[bit].count(".")):
                names[bit] = pin
    return names


def _describe(module: dict[str, Any], path: list[Arc], nets: _Nets) -> dict[str, Any] | None:
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


def _register(module: dict[str, Any], arc: Arc) -> str:
    """Name of an arc's cell by what it drives, as a netlist's own names are numbers."""
    cell = module["cells"][arc.cell]
    driven = [bit for port, pin, bit in pins(cell["connections"])
              if cell["port_directions"][port] == "output" and arc.output in ("", pin)]
    names = _names(module, set(driven))
    return next((names[bit] for bit in driven if bit in names), arc.cell)


def analyze(module: dict[str, Any], *, scale: float = 1.0) -> dict[str, Any]:
    """The estimated delay of a netlist. It takes time and memory in proportion to its cells.

    Parameters
    ----------
    module : :class:`dict`
        A flat module of yosys's JSON, see :func:`gen.timing_graph.read_netlist`.
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
    graph = graph_of(module, scale)
    order = order_of(graph, {name: cell["type"] for name, cell in module["cells"].items()})
    starts = {"register": graph.registers, "input": graph.inputs}

    def slowest(nets: _Nets) -> dict[str, tuple[float, list[Arc]]]:
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
