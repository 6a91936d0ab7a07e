# amaranth: UnusedElaboratable=no
import itertools
import random

import pytest
from amaranth import Shape

from gen.dsp2 import LOW_BITS, MAX_CHAIN, PackedChain, PackedDotProduct
from gen.export import write_array
from gen.parameters import ArrayParameters
from gen.synth import synthesize
from tests.amaranth_testing import pipelined


@pytest.mark.parametrize(("lanes", "delay"), [*itertools.product([1, 2, 3, 4], [0, 1, 3])])
def test_chain(lanes, delay):
    """Extreme and random sums, in every combination of their signs; each in its cycle."""
    rng, dut = random.Random(lanes), PackedChain(lanes=lanes, delay=delay)
    ends = [[-128] * lanes, [127] * lanes]
    cases = [{"x": x, "w": [[w0] * lanes, [w1] * lanes]}
             for x in ends for w0, w1 in itertools.product([-127, -1, 0, 1, 127], repeat=2)]
    cases += [{"x": [rng.randrange(-128, 128) for _ in range(lanes)],
               "w": [[rng.randrange(-127, 128) for _ in range(lanes)] for _ in range(2)]}
              for _ in range(200)]
    found = pipelined(dut, cases, "low", "high", "carry", latency=dut.latency)
    for case, (low, high, carry) in zip(cases, found, strict=True):
        sums = [sum(a * b for a, b in zip(case["x"], row, strict=True)) for row in case["w"]]
        assert [low, high + carry] == sums
        assert carry == (low < 0)
    assert {low for low, _, _ in found} >= {dut.low_range[0], dut.low_range[-1]}
    assert {high for _, high, _ in found} >= {dut.high_range[0], dut.high_range[-1]}


def test_low_field_is_wide_enough():
    widths = [Shape.cast(PackedChain(lanes=lanes).low_range).width for lanes in (1, MAX_CHAIN)]
    assert widths == [15, LOW_BITS]
    for lanes in (0, MAX_CHAIN + 1):
        with pytest.raises(ValueError, match=f"^PackedChain lanes must be 1 to 4, not {lanes}$"):
            PackedChain(lanes=lanes)


@pytest.mark.parametrize(("lanes", "sizes"), [
    (1, [1]), (4, [4]), (5, [2, 3]), (9, [3, 3, 3]), (16, [4] * 4), (17, [3, 3, 3, 4, 4])])
def test_chains(lanes, sizes):
    """As few as possible, of nearly the same length, and all of the same latency."""
    chains = PackedDotProduct(scheme="quant8", lanes=lanes).chains
    assert [chain.lanes for chain in chains] == sizes
    assert len({chain.latency for chain in chains}) == 1


@pytest.mark.parametrize(("target", "tree", "lut"), [
    ("portable", "binary", 5.5), ("xc7", "ternary", 3.5)])
def test_area(target, tree, lut, tmp_path):
    """Two MACs in a block; packing them takes no LUT, and the block has most of the registers."""
    write_array(ArrayParameters(scheme="quant8", structure="dsp2", slices=2, lanes=16, dsp=True,
                                target=target, tree=tree), tmp_path / "rtl")
    result = synthesize(tmp_path / "rtl", "xc7a100t")
    assert result["per_pe"]["dsp"] == 0.5
    assert result["per_pe"]["lut"] < lut
    assert result["per_pe"]["ff"] < 11
