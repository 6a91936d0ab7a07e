# amaranth: UnusedElaboratable=no

import random

import pytest
from amaranth import ResetInserter, Signal

from gen.array import Array
from gen.parameters import ArrayParameters
from gen.structures import STRUCTURES
from tests.amaranth_testing import random_vectors, simulate

# Slices (of one sum), lanes, pipeline, and the share of cycles without a vector.
SIZES = [(1, 1, 1, 0), (1, 9, 1, 0.4), (2, 3, 0, 0.4), (5, 3, 2, 0), (2, 16, 2, 0.4),
         (1, 17, 1, 0)]
PAIRS = [(name, scheme) for name, structure in STRUCTURES.items() for scheme in structure.ENCODINGS]


def stream_vectors(dut, vectors, *, gap, seed=0, reset=None, reset_at=None):
    """Streams ``vectors``, each with ``first`` and ``last``, with idle cycles between them, in
    which the payload is random.

    Returns
    -------
    sampled : :class:`list` of :class:`int`
        The clock edge at which each vector is sampled.
    outputs : :class:`list` of pairs
        The clock edges at which ``o.valid`` is high, with the accumulators.
    """
    rng, parameters = random.Random(seed), dut.parameters
    sampled, outputs = [], []
    garbage = [vector[0] for vector in random_vectors(
        rng, STRUCTURES[parameters.structure], parameters.scheme, slices=parameters.slices,
        lanes=parameters.lanes, count=8)]

    def payload(vector, first, last):
        fields = {"x": vector["x"], "w": vector["w"], "first": first, "last": last}
        return fields if vector["mode"] is None else {**fields, "mode": vector["mode"]}

    async def testbench(ctx):
        waiting = list(vectors)
        edge, idle = 0, 0
        while idle < dut.latency + 2:
            idle = 0 if waiting else idle + 1
            valid = bool(waiting) and rng.random() >= gap
            vector = waiting.pop(0) if valid else {**rng.choice(garbage), "first": 1, "last": 1}
            ctx.set(dut.i.valid, valid)
            ctx.set(dut.i.payload, payload(vector, vector["first"], vector["last"]))
            if reset is not None:
                ctx.set(reset, edge == reset_at)
            if valid:
                sampled.append(edge)
            _, _, done, acc = await ctx.tick().sample(dut.o.valid, dut.o.payload.acc)
            if done:
                outputs.append((edge, list(acc)))
            edge += 1

    simulate(dut if reset is None else ResetInserter(reset)(dut), testbench)
    return sampled, outputs


def accumulations(parameters, *, count, seed=0, longest=4):
    """Random vectors with ``first`` and ``last``, and the sums of each accumulation."""
    rng = random.Random(seed)
    vectors = random_vectors(rng, STRUCTURES[parameters.structure], parameters.scheme,
                             slices=parameters.slices, lanes=parameters.lanes, count=count)
    totals, total, first = [], [], True
    for k, passes in enumerate(vectors):
        last = rng.randrange(longest) == 0 or k == count - 1
        for a_pass in passes:
            a_pass["first"], a_pass["last"] = first and a_pass is passes[0], False
        passes[-1]["last"] = last
        before = [0] * parameters.slices if first else total
        total = [a + b for a, b in zip(before, passes[-1]["sums"], strict=True)]
        if last:
            totals.append(total)
        first = last
    return [a_pass for passes in vectors for a_pass in passes], totals


@pytest.mark.parametrize(("structure", "scheme"), PAIRS)
@pytest.mark.parametrize(("slices", "lanes", "pipeline", "gap"), SIZES)
def test_sums_and_cycles(structure, scheme, slices, lanes, pipeline, gap):
    cls = STRUCTURES[structure]
    parameters = ArrayParameters(
        scheme=scheme, slices=slices * cls.SUMS, lanes=lanes, structure=structure,
        tree=cls.TREES[-1], dsp=cls.DSP[0], pipeline=pipeline, accumulator_bits=24)
    dut = Array(parameters)
    vectors, totals = accumulations(parameters, count=40)
    sampled, outputs = stream_vectors(dut, vectors, gap=gap)
    lasts = [edge for edge, vector in zip(sampled, vectors, strict=True) if vector["last"]]
    assert outputs == [(edge + dut.latency, total)
                       for edge, total in zip(lasts, totals, strict=True)]
    if not gap:
        assert sampled == list(range(len(vectors)))


def test_accumulator_full():
    """Sums reach both ends of the narrowest sufficient accumulator."""
    parameters = ArrayParameters(scheme="quant8", slices=2, lanes=3, accumulator_bits=21)
    vector = {"x": [-128] * 3, "w": [[127] * 3, [-127] * 3], "mode": None}
    count = 21  # 21 · 3 · 16256 = 1024128 < 2^20 = 1048576 < 22 · 3 · 16256
    vectors = [{**vector, "first": k == 0, "last": k == count - 1} for k in range(count)]
    _, outputs = stream_vectors(Array(parameters), vectors, gap=0)
    assert [acc for _, acc in outputs] == [[-1024128, 1024128]]


def test_reset_drops_what_is_under_way():
    parameters = ArrayParameters(scheme="doubleq", slices=1, lanes=2, accumulator_bits=24)
    vectors, totals = accumulations(parameters, count=12, longest=1)
    dut, reset_at = Array(parameters), 6
    sampled, outputs = stream_vectors(dut, vectors, gap=0, reset=Signal(), reset_at=reset_at)
    kept = [k for k, edge in enumerate(sampled)
            if edge + dut.latency <= reset_at or edge > reset_at]
    assert 0 < len(kept) < len(vectors)
    assert outputs == [(sampled[k] + dut.latency, totals[k]) for k in kept]


@pytest.mark.parametrize(("lanes", "pipeline", "latency"), [
    (16, 1, 6), (9, 1, 6), (1, 1, 2), (16, 0, 2), (16, 2, 4), (17, 2, 4), (64, 1, 8),
])
def test_latency(lanes, pipeline, latency):
    dut = Array(ArrayParameters(scheme="doubleq", slices=1, lanes=lanes, pipeline=pipeline))
    assert dut.latency == latency


def test_accumulator_too_narrow():
    with pytest.raises(ValueError, match=r"^Slice accumulator width must be at least the 20 bits "
                                         r"of dot_paper_doubleq_16_binary_p1, not 19$"):
        Array(ArrayParameters(scheme="doubleq", slices=2, lanes=16, accumulator_bits=19))
