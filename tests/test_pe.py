import itertools

import pytest

from gen.pe import Mixed, Multiplier, Shifter
from models import formats
from tests.amaranth_testing import combinational

ACTIVATIONS = range(-128, 128)
INT8 = [(code, code) for code in range(-127, 128)]
POT5 = list(enumerate(formats.get("pot5").decode(list(range(32))).tolist()))


def weight_of(code):
    return {"exponent": code & 7, "nonzero": code >> 3 & 1, "sign": code >> 4}


@pytest.mark.parametrize(("make", "codes", "inputs"), [
    (Multiplier, INT8, lambda code: {"weight": code}),
    (Shifter, POT5, lambda code: {"weight": weight_of(code)}),
    (Mixed, INT8, lambda code: {"weight": code & 0xff, "mode": 0}),
    (Mixed, POT5, lambda code: {"weight": code | 0xe0, "mode": 1}),
], ids=["multiplier", "shifter", "mixed-multiplier", "mixed-shifter"])
def test_exhaustive(make, codes, inputs):
    dut = make()
    pairs = list(itertools.product(codes, ACTIVATIONS))
    products = combinational(dut, ({"x": x, **inputs(code)} for (code, _), x in pairs), "product")
    assert products == [weight * x for (_, weight), x in pairs]
    if make is not Mixed:
        assert (min(products), max(products)) == (dut.RANGE[0], dut.RANGE[-1])


def test_mixed_range_holds_both():
    assert range(-16384, 16385) == Mixed.RANGE
    assert min(Mixed.RANGE) == min(*Multiplier.RANGE, *Shifter.RANGE)
