"""Logits in any number, taken at any pace."""

import random

import pytest

from gen.logits import LogitsBuffer
from tests.amaranth_testing import simulate


@pytest.mark.parametrize(("classes", "lanes"), [(10, 4), (5, 1), (8, 4), (3, 4), (1, 1)])
@pytest.mark.parametrize("bits", [20, 32, 35])
@pytest.mark.parametrize("stall", [0, 0.6])
def test_logits(classes, lanes, bits, stall):
    """Two images; what comes for no class, in a tile that is larger, is dropped."""
    rng, dut = random.Random(classes), LogitsBuffer(classes=classes, lanes=lanes, bits=bits)
    limit = 1 << min(bits, 32) - 1
    images = [[-limit, limit - 1, *(rng.randrange(-limit, limit) for _ in range(14))]
              for _ in range(2)]
    found = []

    async def testbench(ctx):
        for logits in images:
            assert ctx.get(dut.free)
            for first in range(0, 16 // lanes * lanes, lanes):
                ctx.set(dut.valid, 1)
                ctx.set(dut.i, logits[first:first + lanes])
                ctx.set(dut.done, first + lanes >= 16 // lanes * lanes)
                await ctx.tick()
            ctx.set(dut.valid, 0)
            ctx.set(dut.done, 0)
            while not ctx.get(dut.free):
                ready = rng.random() >= stall
                ctx.set(dut.o.ready, ready)
                _, _, valid, value, last = await ctx.tick().sample(
                    dut.o.valid, dut.o.p.data, dut.o.p.last)
                if valid and ready:
                    found.append((value, last))

    simulate(dut, testbench)
    assert found == [(value, k == classes - 1) for logits in images
                     for k, value in enumerate(logits[:classes])]
