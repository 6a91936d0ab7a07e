"""Activations against equations 3 and 4 of ``models.golden``, written out here."""

import itertools
import random

import pytest

from gen.requantizer import Requantizer, RequantizerRanges
from tests.amaranth_testing import simulate

NARROW = RequantizerRanges(accumulator=5, bias=4, total=28, shifts=range(15, 18),
                           residual_shifts=range(0, 3))
WIDE = RequantizerRanges(accumulator=24, bias=22, total=42, shifts=range(20, 26),
                         residual_shifts=range(7, 11))


def requantized(ranges, layer, acc, bias, multiplier, residual):
    shift = layer["shift"] + ranges.shifts[0]
    added = (residual * layer["residual_multiplier"]
             << layer["residual_shift"] + ranges.residual_shifts[0])
    total = (acc + bias) * multiplier + added + (1 << shift - 1)
    return max(-128, min(127, (total >> shift) + layer["zero"]))


def check(ranges, layer, cases, *, dsp=False):
    """A new accumulator in every cycle, of one layer."""
    dut = Requantizer(ranges=ranges, dsp=dsp)
    found, biased = [], []

    async def testbench(ctx):
        for name, value in layer.items():
            ctx.set(getattr(dut, name), value)
        for cycle in range(len(cases) + dut.LATENCY):
            for name, value in zip(("acc", "bias", "multiplier", "residual"),
                                   cases[min(cycle, len(cases) - 1)], strict=True):
                ctx.set(getattr(dut, name), value)
            if 1 <= cycle <= len(cases):
                biased.append(ctx.get(dut.biased))
            if cycle >= dut.LATENCY:
                found.append(ctx.get(dut.y))
            await ctx.tick()

    simulate(dut, testbench)
    assert biased == [acc + bias for acc, bias, _, _ in cases]
    assert found == [requantized(ranges, layer, *case) for case in cases]
    assert len(set(found)) > 1


@pytest.mark.parametrize("dsp", [False, True])
@pytest.mark.parametrize(("shift", "residual_shift"), [(0, 0), (1, 2), (2, 1)])
def test_exhaustive(shift, residual_shift, dsp):
    """Every accumulator with every residual."""
    layer = {"shift": shift, "zero": -3, "residual_multiplier": 40_000,
             "residual_shift": residual_shift}
    check(NARROW, layer, list(itertools.product(range(-12, 12), (-4, 3), (1 << 15, (1 << 16) - 1),
                                                range(-256, 256, 3))), dsp=dsp)


@pytest.mark.parametrize("layer", [
    {"shift": 0, "zero": 0, "residual_multiplier": 0, "residual_shift": 0},
    {"shift": 5, "zero": 127, "residual_multiplier": 65535, "residual_shift": 3},
    {"shift": 3, "zero": -128, "residual_multiplier": 32768, "residual_shift": 1}])
def test_wide(layer):
    """Accumulators as wide as there are, around 0, and where the result is about to saturate."""
    rng = random.Random(0)
    shift = layer["shift"] + WIDE.shifts[0]
    cases = []
    for _ in range(1500):
        multiplier = rng.choice([1 << 15, (1 << 16) - 1, rng.randrange(1 << 15, 1 << 16)])
        residual = rng.choice([-256, 255, 0, rng.randrange(-256, 256)])
        bias = rng.choice([-(1 << 20), (1 << 20) - 1, rng.randrange(-(1 << 20), 1 << 20)])
        near = (rng.choice([-128, 127, 0]) - layer["zero"] << shift) // multiplier - bias
        acc = rng.choice([-(1 << 22), (1 << 22) - 1, near + rng.randrange(-3, 4),
                          rng.randrange(-(1 << 22), 1 << 22)])
        cases.append((max(-(1 << 22), min((1 << 22) - 1, acc)), bias, multiplier, residual))
    check(WIDE, layer, cases)
