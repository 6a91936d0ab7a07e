# amaranth: UnusedElaboratable=no

import random

import pytest

from gen.slice import Slice
from gen.structures import STRUCTURES
from tests.amaranth_testing import random_vectors, simulate


def make(*, bits=24, lanes=3, scheme="doubleq", **knobs):
    dot = STRUCTURES["paper"](scheme=scheme, lanes=lanes, **knobs)
    return Slice(dot=dot, accumulator_bits=bits)


@pytest.mark.parametrize("pipeline", [0, 1, 2])
@pytest.mark.parametrize(("tree", "lanes"), [("binary", 3), ("ternary", 3), ("ternary", 4)])
def test_accumulates(tree, lanes, pipeline):
    dut, rng = make(tree=tree, lanes=lanes, pipeline=pipeline), random.Random(pipeline)
    vectors = [vector for [vector] in random_vectors(
        rng, dut.dot, "doubleq", slices=1, lanes=lanes, count=60)]
    control = [(rng.random() < 0.7, rng.random() < 0.3) for _ in vectors]
    control[0] = (True, True)
    expected, found, total = [], [], 0
    for vector, (enable, first) in zip(vectors, control, strict=True):
        if enable:
            total = vector["sums"][0] + (0 if first else total)
        expected.append(total)

    async def testbench(ctx):
        for cycle in range(len(vectors) + dut.latency):
            if cycle < len(vectors):
                ctx.set(dut.x, vectors[cycle]["x"])
                ctx.set(dut.w, vectors[cycle]["w"])
            at_accumulator = cycle - dut.dot.latency
            if 0 <= at_accumulator < len(vectors):
                ctx.set(dut.enable, control[at_accumulator][0])
                ctx.set(dut.first, control[at_accumulator][1])
            if cycle >= dut.latency:
                found.append(ctx.get(dut.acc[0]))
            await ctx.tick()

    simulate(dut, testbench)
    assert found == expected


@pytest.mark.parametrize(("scheme", "lanes", "bits"), [
    ("doubleq", 1, 16), ("doubleq", 64, 22), ("quant8", 1, 15), ("quant8", 64, 21),
])
def test_least_width(scheme, lanes, bits):
    assert len(make(scheme=scheme, lanes=lanes, bits=bits).acc[0]) == bits
    with pytest.raises(ValueError, match=(
            f"^Slice accumulator width must be at least the {bits} bits of "
            f"dot_paper_{scheme}_{lanes}_binary_p1, not {bits - 1}$")):
        make(scheme=scheme, lanes=lanes, bits=bits - 1)
