# amaranth: UnusedElaboratable=no

import random

import pytest

from gen.tree import TREES, AdderTree
from tests.amaranth_testing import pipelined

PRODUCTS = range(-128 * 127, 128 * 127 + 1)
UNEQUAL = (range(-5, 4), range(0, 2), range(-16384, 16385), range(7, 8), range(0, 300))


@pytest.mark.parametrize("ranges", [(PRODUCTS,) * n for n in (1, 2, 3, 9, 16, 17)] + [UNEQUAL],
                         ids=lambda ranges: str(len(ranges)))
@pytest.mark.parametrize("pipeline", [0, 1, 2, 3])
@pytest.mark.parametrize("tree", TREES)
@pytest.mark.parametrize("share", [0, 0.5, 1])
def test_sum(ranges, tree, pipeline, share):
    """Of terms, and of carries: none, some, and as many as terms."""
    rng, count = random.Random(len(ranges)), int(share * len(ranges))
    every = (1 << count) - 1
    cases = [([values[0] for values in ranges], 0), ([values[-1] for values in ranges], every)]
    cases += [([rng.choice(values) for values in ranges], rng.getrandbits(count))
              for _ in range(50)]
    dut = AdderTree(ranges=ranges, carries=count, tree=tree, pipeline=pipeline)
    names = ["addends"] + ["carries_left"] * (dut.carry_count > 0)
    found = pipelined(dut, ({"terms": terms, **({"carries": carries} if count else {})}
                            for terms, carries in cases), *names, latency=dut.latency)
    sums = [sum(row[0]) + row[1].bit_count() if dut.carry_count else sum(row) for row in found]
    assert sums == [sum(terms) + carries.bit_count() for terms, carries in cases]
    assert (dut.range[0], dut.range[-1]) == tuple(sums[:2])
    assert len(dut.addend_ranges) == (2 if tree == "ternary" and len(ranges) % 2 == 0 else 1)
    assert dut.carry_count <= len(dut.addend_ranges)


@pytest.mark.parametrize(("tree", "terms", "pipeline", "latency"), [
    ("binary", 1, 1, 0), ("binary", 2, 1, 1), ("binary", 9, 1, 4), ("binary", 16, 1, 4),
    ("binary", 17, 1, 5), ("binary", 16, 2, 2), ("binary", 17, 2, 2), ("binary", 17, 0, 0),
    ("ternary", 2, 1, 0), ("ternary", 3, 1, 1), ("ternary", 8, 1, 2), ("ternary", 16, 1, 2),
    ("ternary", 17, 2, 1),
])
def test_latency(tree, terms, pipeline, latency):
    assert AdderTree(ranges=[PRODUCTS] * terms, tree=tree, pipeline=pipeline).latency == latency


@pytest.mark.parametrize(("ranges", "width"), [
    ([PRODUCTS] * 16, 19),  # 16 · 16256 < 2^18
    ([range(-16384, 16385)] * 16, 20),  # 16 · 16384 = 2^18
    ([range(0, 2)] * 7, 3),
])
def test_width(ranges, width):
    assert len(AdderTree(ranges=ranges, pipeline=1).addends[0]) == width


def test_name_tells_ranges_apart():
    names = {AdderTree(ranges=ranges, pipeline=pipeline, **knobs).module_name
             for ranges, pipeline, knobs in [
                 ([PRODUCTS] * 2, 1, {}), ([PRODUCTS] * 2, 2, {}), ([PRODUCTS] * 3, 1, {}),
                 (UNEQUAL, 1, {}), ([PRODUCTS] * 2, 1, {"carries": 1}),
                 ([PRODUCTS] * 2, 1, {"tree": "ternary"}), ([PRODUCTS] * 2, 1, {"target": "xc7"})]}
    assert len(names) == 7
    assert "adder_tree_binary_2_m16256_16256_c0_p1" in names


@pytest.mark.parametrize(("knobs", "message"), [
    ({"carries": -1}, "AdderTree carries must be a non-negative integer, not -1"),
    ({"tree": "wallace"}, "AdderTree tree must be one of binary, ternary, not 'wallace'"),
])
def test_unknown(knobs, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        AdderTree(**{"ranges": [PRODUCTS], "pipeline": 1, **knobs})


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
