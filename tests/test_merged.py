# amaranth: UnusedElaboratable=no

import itertools

import pytest

from gen.merged import AddingShifter, InvertingShifter, MergedDotProduct, group_sizes
from models import formats
from tests.amaranth_testing import combinational
from tests.equivalence import exported

WEIGHTS = formats.get("pot5").decode(list(range(32))).tolist()
CASES = list(itertools.product(enumerate(WEIGHTS), range(-128, 128)))


def weight_of(code):
    return {"exponent": code & 7, "nonzero": code >> 3 & 1, "sign": code >> 4}


def luts(component):
    """LUTs of what is mapped by hand."""
    text = exported(component)
    return sum(text.count(f"\n  {cell} #(") for cell in
               ["LUT1", "LUT2", "LUT3", "LUT4", "LUT5", "LUT6", "LUT6_2"])


def test_inverting_shifter():
    """All codes, also those that read as zero."""
    dut = InvertingShifter()
    found = combinational(dut, ({"x": x, "weight": weight_of(code)} for (code, _), x in CASES),
                          "sum")
    assert found == [weight * x - (code >> 4) for (code, weight), x in CASES]
    assert (min(found), max(found)) == (dut.range[0], dut.range[-1])


@pytest.mark.parametrize("values", [InvertingShifter().range, range(-2, 1)])
def test_adding_shifter(values):
    dut, found = AddingShifter(values=values), []
    for addend in (values[0], values[-1]):
        sums = combinational(dut, ({"x": x, "weight": weight_of(code), "addend": addend}
                                   for (code, _), x in CASES), "sum")
        assert sums == [addend + weight * x for (_, weight), x in CASES]
        found += sums
    assert (min(found), max(found)) == (dut.range[0], dut.range[-1])


def test_area_by_hand():
    first = InvertingShifter(target="xc7")
    assert luts(first) == 19
    second = AddingShifter(values=first.range, target="xc7")
    assert luts(second) == 8 + 16
    assert luts(AddingShifter(values=second.range, target="xc7")) == 8 + 17


@pytest.mark.parametrize(("lanes", "tree", "pipeline", "sizes"), [
    (1, "binary", 1, [1]), (2, "binary", 1, [2]), (3, "binary", 1, [2, 1]),
    (16, "binary", 1, [2] * 8), (16, "binary", 0, [2] * 8),
    (9, "ternary", 1, [2, 2, 2, 1, 1, 1]),  # six terms leave two, as five would leave one
    (16, "ternary", 1, [2] * 7 + [1] * 2),  # nine terms pass by no adder
    (32, "ternary", 1, [2] * 16),
    (16, "ternary", 2, [3, 3, 3, 3, 2, 2]), (16, "ternary", 3, [4] * 4),
])
def test_group_sizes(lanes, tree, pipeline, sizes):
    assert group_sizes(lanes, tree, pipeline) == sizes


def test_latency():
    """That of the tree, and one register of the groups before."""
    assert [MergedDotProduct(scheme="doubleq", lanes=16, tree="ternary", pipeline=pipeline).latency
            for pipeline in (0, 1, 2)] == [1, 3, 1]
