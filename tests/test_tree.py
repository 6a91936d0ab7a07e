# amaranth: UnusedElaboratable=no

import random

import pytest

from gen.tree import AdderTree
from tests.amaranth_testing import pipelined

PRODUCTS = range(-128 * 127, 128 * 127 + 1)
UNEQUAL = (range(-5, 4), range(0, 2), range(-16384, 16385), range(7, 8), range(0, 300))


@pytest.mark.parametrize("ranges", [(PRODUCTS,) * n for n in (1, 2, 3, 9, 16, 17)] + [UNEQUAL],
                         ids=lambda ranges: str(len(ranges)))
@pytest.mark.parametrize("pipeline", [0, 1, 2, 3])
def test_sum(ranges, pipeline):
    rng = random.Random(len(ranges))
    cases = [[values[0] for values in ranges], [values[-1] for values in ranges]]
    cases += [[rng.choice(values) for values in ranges] for _ in range(50)]
    dut = AdderTree(ranges=ranges, pipeline=pipeline)
    sums = pipelined(dut, ({"terms": terms} for terms in cases), "sum", latency=dut.latency)
    assert sums == [sum(terms) for terms in cases]
    assert (dut.range[0], dut.range[-1]) == tuple(sums[:2])


@pytest.mark.parametrize(("terms", "pipeline", "latency"), [
    (1, 1, 0), (2, 1, 1), (9, 1, 4), (16, 1, 4), (17, 1, 5), (16, 2, 2), (17, 2, 2), (17, 0, 0),
])
def test_latency(terms, pipeline, latency):
    assert AdderTree(ranges=[PRODUCTS] * terms, pipeline=pipeline).latency == latency


@pytest.mark.parametrize(("ranges", "width"), [
    ([PRODUCTS] * 16, 19),  # 16 · 16256 < 2^18
    ([range(-16384, 16385)] * 16, 20),  # 16 · 16384 = 2^18
    ([range(0, 2)] * 7, 3),
])
def test_width(ranges, width):
    assert len(AdderTree(ranges=ranges, pipeline=1).sum) == width


def test_name_tells_ranges_apart():
    names = {AdderTree(ranges=ranges, pipeline=pipeline).module_name for ranges, pipeline in [
        ([PRODUCTS] * 2, 1), ([PRODUCTS] * 2, 2), ([PRODUCTS] * 3, 1), (UNEQUAL, 1)]}
    assert len(names) == 4
    assert "adder_tree_2_m16256_16256_p1" in names


@pytest.mark.parametrize(("ranges", "pipeline", "message"), [
    ([], 1, "AdderTree ranges must have at least one term, found none"),
    ([range(2, 2)], 1, r"AdderTree range must be contiguous and not empty, not range\(2, 2\)"),
    ([range(0, 9, 2)], 1,
     r"AdderTree range must be contiguous and not empty, not range\(0, 9, 2\)"),
    ([PRODUCTS], -1, "AdderTree pipeline must be a non-negative integer, not -1"),
    ([PRODUCTS], 1.0, r"AdderTree pipeline must be a non-negative integer, not 1\.0"),
])
def test_refused(ranges, pipeline, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        AdderTree(ranges=ranges, pipeline=pipeline)
