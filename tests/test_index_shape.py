import pytest
from amaranth import Module, unsigned
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from gen.index_shape import index_shape, wrapped
from tests.amaranth_testing import combinational


@pytest.mark.parametrize(("count", "bits"), [(1, 1), (2, 1), (3, 2), (4, 2), (5, 3), (1024, 10)])
def test_index_shape(count, bits):
    assert index_shape(count) == unsigned(bits)


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 6, 7, 8])
def test_wrapped(count):
    class Wrapped(wiring.Component):
        value: In(range(16))
        o: Out(4)

        def elaborate(self, platform):
            m = Module()
            m.d.comb += self.o.eq(wrapped(self.value, count))
            return m

    cases = [{"value": value} for value in range(2 * count)]
    assert combinational(Wrapped(), cases, "o") == [value % count for value in range(2 * count)]
