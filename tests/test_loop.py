"""Loops within loops, against Python's."""

import itertools
import random

import pytest
from amaranth import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from gen.loop import loop
from tests.amaranth_testing import simulate


class Loops(wiring.Component):
    """Two loops; with each step the inner one ends, the outer one advances."""

    start: In(1)
    advance: In(1)
    inner_count: In(3)
    outer_count: In(2)
    inner: Out(3)
    outer: Out(2)
    done: Out(1)

    def elaborate(self, platform):
        m = Module()
        inner, next_outer = loop(m, "inner", self.inner_count, start=self.start,
                                 advance=self.advance)
        outer, done = loop(m, "outer", self.outer_count, start=self.start, advance=next_outer)
        m.d.comb += [self.inner.eq(inner), self.outer.eq(outer), self.done.eq(done)]
        return m


@pytest.mark.parametrize(("outer", "inner"), [(1, 1), (1, 2), (2, 1), (3, 7), (2, 5)])
def test_nested(outer, inner):
    """Twice through, with pauses, and begun anew in the middle of it."""
    rng, dut = random.Random(0), Loops()
    steps = 2 * list(itertools.product(range(outer), range(inner)))
    found, ends = [], []

    async def testbench(ctx):
        ctx.set(dut.outer_count, outer)
        ctx.set(dut.inner_count, inner)
        for attempt in (steps[:outer * inner // 2], steps):
            ctx.set(dut.start, 1)
            await ctx.tick()
            ctx.set(dut.start, 0)
            found.clear()
            ends.clear()
            while len(found) < len(attempt):
                advance = rng.randrange(2)
                ctx.set(dut.advance, advance)
                if advance:
                    found.append((ctx.get(dut.outer), ctx.get(dut.inner)))
                    ends.append(ctx.get(dut.done))
                else:
                    assert not ctx.get(dut.done)
                await ctx.tick()
            ctx.set(dut.advance, 0)

    simulate(dut, testbench)
    assert found == steps
    assert ends == 2 * ([0] * (outer * inner - 1) + [1])
