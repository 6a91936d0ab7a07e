"""Simulation of components, and plain integer references."""

import random
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from amaranth.sim import Simulator

from models import codes, formats

PERIOD = 1e-8  # s


def simulate(dut: Any, testbench: Callable) -> None:
    """Runs ``testbench`` on ``dut``, in a domain ``sync`` if it has one."""
    simulator = Simulator(dut)
    simulator.add_clock(PERIOD, if_exists=True)
    simulator.add_testbench(testbench)
    simulator.run()


def combinational(dut: Any, cases: Iterable[dict[str, Any]], output: str) -> list[Any]:
    """The value of ``output`` for each case: a value for each input."""
    values = []

    async def testbench(ctx):
        for case in cases:
            for name, value in case.items():
                ctx.set(getattr(dut, name), value)
            values.append(ctx.get(getattr(dut, output)))

    simulate(dut, testbench)
    return values


def pipelined(dut: Any, cases: Iterable[dict[str, Any]], *outputs: str, latency: int) -> list[Any]:
    """As :func:`combinational`, with a new case in every cycle and each output taken exactly
    ``latency`` cycles after its inputs; a tuple where there are several."""
    cases, values = list(cases), []

    async def testbench(ctx):
        for cycle in range(len(cases) + latency):
            for name, value in cases[min(cycle, len(cases) - 1)].items():
                ctx.set(getattr(dut, name), value)
            if cycle >= latency:
                found = tuple(_plain(ctx.get(getattr(dut, output))) for output in outputs)
                values.append(found if len(outputs) > 1 else found[0])
            if latency:
                await ctx.tick()

    simulate(dut, testbench)
    return values


def _plain(value: Any) -> Any:
    return [_plain(element) for element in value] if hasattr(value, "shape") else value


def redundant_sums(dut: Any, cases: Iterable[dict[str, Any]]) -> list[list[int]]:
    """As :func:`pipelined`, the sums of a dot product: addends and carries added up."""
    names = ["addends"] + ["carries"] * ("carries" in dut.signature.members)
    return [[sum(addends) + carries.bit_count() for addends, carries in
             zip(found[0], found[1] if len(found) > 1 else [0] * dut.SUMS, strict=True)]
            for found in (value if len(names) > 1 else (value,)
                          for value in pipelined(dut, cases, *names, latency=dut.latency))]


def random_vectors(rng: random.Random, structure: Any, scheme: str, *, slices: int, lanes: int,
                   count: int) -> list[list[dict[str, Any]]]:
    """Vectors of random activations and weights for a structure, the first ones extreme.

    Each is given as its passes, dicts with ``x`` [lanes · activations], ``w`` (words,
    [slices][lanes]) and ``mode``; the last one also has ``sums`` ([slices]) of all of them, which
    plain integer arithmetic gives.
    """
    vectors, encodings = [], structure.ENCODINGS[scheme]
    names = sorted(encodings)
    for k in range(count):
        name = names[k % len(names)]
        encoding, values = encodings[name], formats.get(name).values.tolist()
        corner, wide = k // len(names), lanes * encoding.taps
        if corner < 2:
            x, weights = [-128] * wide, [[values[-corner]] * wide for _ in range(slices)]
        else:
            x = [rng.randrange(-128, 128) for _ in range(wide)]
            weights = [[rng.choice(values) for _ in range(wide)] for _ in range(slices)]
        copies = structure.ACTIVATIONS // encoding.taps
        passes = [{"x": [value for value in x for _ in range(copies)], "w": words.tolist(),
                   "mode": encoding.mode}
                  for words in codes.get(encoding.code).encode(np.array(weights))]
        passes[-1]["sums"] = [sum(a * b for a, b in zip(x, row, strict=True)) for row in weights]
        vectors.append(passes)
    return vectors
