# amaranth: UnusedElaboratable=no

import random

import pytest

from gen.dot import STRUCTURES
from gen.slice import Slice
from tests.amaranth_testing import random_vectors, simulate


def make(*, bits=24, lanes=3, scheme="doubleq", pipeline=1):
    dot = STRUCTURES["paper"](scheme=scheme, lanes=lanes, pipeline=pipeline)
    return Slice(dot=dot, accumulator_bits=bits)


@pytest.mark.parametrize("pipeline", [0, 1, 2])
def test_accumulates(pipeline):
    dut, rng = make(pipeline=pipeline), random.Random(pipeline)
    vectors = random_vectors(rng, dut.dot.ENCODINGS["doubleq"], slices=1, lanes=3, count=60)
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
            f"dot_paper_{scheme}_{lanes}_p1, not {bits - 1}$")):
        make(scheme=scheme, lanes=lanes, bits=bits - 1)
