"""Simulation of components, and plain integer references."""

import random
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from amaranth.sim import Simulator

from models import formats

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


def pipelined(dut: Any, cases: Iterable[dict[str, Any]], output: str, *, latency: int) -> list[Any]:
    """As :func:`combinational`, with a new case in every cycle and each output taken exactly
    ``latency`` cycles after its inputs."""
    cases, values = list(cases), []

    async def testbench(ctx):
        for cycle in range(len(cases) + latency):
            for name, value in cases[min(cycle, len(cases) - 1)].items():
                ctx.set(getattr(dut, name), value)
            if cycle >= latency:
                values.append(_plain(ctx.get(getattr(dut, output))))
            if latency:
                await ctx.tick()

    simulate(dut, testbench)
    return values


def _plain(value: Any) -> Any:
    return list(value) if hasattr(value, "shape") else value


def random_vectors(rng: random.Random, encodings: dict[str, Any], *, slices: int, lanes: int,
                   count: int) -> list[dict[str, Any]]:
    """Vectors of random activations and weights, the first ones extreme.

    Each is a dict with ``x`` [lanes], ``w`` (codes, [slices][lanes]), ``mode``, and ``sums``
    ([slices]), which plain integer arithmetic gives.
    """
    vectors = []
    names = sorted(encodings)
    for k in range(count):
        name = names[k % len(names)]
        encoding, values = encodings[name], formats.get(name).values.tolist()
        corner = k // len(names)
        if corner < 2:
            x, weights = [-128] * lanes, [[values[-corner]] * lanes for _ in range(slices)]
        else:
            x = [rng.randrange(-128, 128) for _ in range(lanes)]
            weights = [[rng.choice(values) for _ in range(lanes)] for _ in range(slices)]
        codes = formats.get(encoding.code).encode(np.array(weights))
        vectors.append({
            "x": x, "w": codes.tolist(), "mode": encoding.mode,
            "sums": [sum(a * b for a, b in zip(x, row, strict=True)) for row in weights]})
    return vectors
