"""What each part of a synthesized core takes, from its mapped netlist."""

import re
from collections import Counter

from gen.core_estimate import PARTS
from gen.synth import count

__all__ = ["parts"]

_MODULE = re.compile(r"^module (\S+?) ?\(")
# Cells and modules, with parameters or without.
_INSTANCE = re.compile(r"^  (\S+) (?:#|\S+ )\($")
_PREFIXES = {"array_": "arrays", "requantizer": "requantizers", "writer": "writer",
             "weight_memory": "weights", "sequencer": "sequencer"}


def parts(netlist: str, top: str) -> dict[str, dict[str, float]]:
    """Resources of each of :data:`PARTS` of the module ``top`` of ``netlist``, which is the
    Verilog that ``gen.synth`` writes of a synthesis that is not flattened.

    Raises
    ------
    :exc:`ValueError`
        If there is no such module.
    """
    modules: dict[str, Counter[str]] = {}
    for line in netlist.splitlines():
        if found := _MODULE.match(line):
            inside = modules.setdefault(found[1], Counter())
        elif found := _INSTANCE.match(line):
            inside[found[1]] += 1
    if top not in modules:
        raise ValueError(f"netlist must have a module {top}, found {', '.join(modules) or 'none'}")
    cells: dict[str, Counter[str]] = {part: Counter() for part in PARTS}

    def walk(module: str, part: str, times: int) -> None:
        for name, number in modules[module].items():
            if name in modules:
                walk(name, next((inner for prefix, inner in _PREFIXES.items()
                                 if name.startswith(prefix)), part), times * number)
            else:
                cells[part][name] += times * number

    walk(top, "rest", 1)
    return {part: {kind: count(cells[part])[kind] for kind in ("lut", "ff", "dsp", "bram36")}
            for part in PARTS}
