"""Products against Python's, every cycle a new pair of factors."""

import itertools
import random

import pytest
from amaranth import Module, Shape, signed, unsigned
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from gen.multiply import multiply, multiply_latency
from tests.amaranth_testing import pipelined


class Product(wiring.Component):
    def __init__(self, x, y, dsp):
        self.dsp = dsp
        super().__init__({"x": In(x), "y": In(y), "product": Out(signed(64))})

    def elaborate(self, platform):
        m = Module()
        m.d.comb += self.product.eq(multiply(m, "p", self.x, self.y, dsp=self.dsp))
        return m


def values(shape):
    least = -(1 << shape.width - 1) if shape.signed else 0
    return range(least, least + (1 << shape.width))


def check(x, y, pairs, dsp):
    cases = [{"x": a, "y": b} for a, b in pairs]
    found = pipelined(Product(x, y, dsp), cases, "product", latency=multiply_latency(y))
    assert found == [a * b for a, b in pairs]


@pytest.mark.parametrize("dsp", [False, True])
@pytest.mark.parametrize("y", [unsigned(n) for n in range(1, 6)] + [signed(n) for n in range(1, 6)],
                         ids=str)
def test_exhaustive(y, dsp):
    x = signed(4)
    check(x, y, list(itertools.product(values(x), values(y))), dsp)


@pytest.mark.parametrize(("x", "y"), [(signed(24), unsigned(16)), (signed(17), signed(9)),
                                      (signed(32), unsigned(16)), (signed(8), signed(8))], ids=str)
def test_wide(x, y):
    rng = random.Random(0)
    corners = [[shape[0], shape[-1], 0, 1, *rng.choices(shape, k=4)]
               for shape in (values(x), values(y))]
    check(x, y, [*itertools.product(*corners),
                 *zip(rng.choices(values(x), k=500), rng.choices(values(y), k=500), strict=True)],
          False)


def test_latency():
    """Two digits of two bits a cycle; a factor without a sign has one more."""
    assert [multiply_latency(Shape.cast(y)) for y in (signed(4), signed(5), unsigned(4), 16)] == [
        1, 2, 2, 5]
