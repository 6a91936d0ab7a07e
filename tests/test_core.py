# amaranth: UnusedElaboratable=no
"""A core at its ports: streams that stall, images of the wrong length, reset."""

import random

import pytest
from amaranth import ResetInserter, Signal
from amaranth.sim import Simulator

from gen.core import Core
from gen.core_parameters import CoreParameters, core_from_pes
from gen.export import required_accumulator_bits
from gen.export_core import export_core
from gen.parameters import ArrayParameters
from models.golden import GoldenNetwork
from models.quantize import assign
from models.resnet import build
from models.topology import INPUT, Node, Residual, Topology
from tests.networks import make_quantizer, random_pixels

TINY = Topology("tiny", (2, 5, 4), (
    Node("a", "conv", INPUT, 2, 3, 3, 1, 1, relu=True),
    Node("b", "conv", "a", 3, 3, 1, 1, 0, relu=True, residual=Residual("a")),
    Node("pool", "avgpool", "b", 3, 3, 4, 4),
    Node("fc", "fc", "pool", 3, 5)))


def quantized(topology, scheme="doubleq"):
    return make_quantizer(topology).network(assign(topology, scheme=scheme), scheme=scheme)


@pytest.fixture(scope="module")
def network():
    return quantized(TINY)


@pytest.fixture(scope="module")
def core(network):
    return Core(network, core_from_pes(32, groups=2, scheme="doubleq", accumulator_bits=24))


def stream(pixels):
    """Bytes of an image, and ``last`` with the last one."""
    data = pixels.transpose(1, 2, 0).reshape(-1).tolist()
    return [(value, k == len(data) - 1) for k, value in enumerate(data)]


def run(core, data, *, logits, gap=0.0, stall=0.0, seed=0, reset_at=None, limit=20000):
    """Streams ``data``; gives ``logits`` logits, with ``last``, and what the flags and the cycle
    counter were in the end."""
    rng = random.Random(seed)
    found, flags, reset = [], {}, Signal()
    dut = core if reset_at is None else ResetInserter(reset)(core)

    async def feed(ctx):
        ctx.set(core.enable, 1)
        waiting = list(data)
        while waiting:
            offer = rng.random() >= gap
            ctx.set(core.pixels.valid, offer)
            ctx.set(core.pixels.p.data, waiting[0][0] if offer else rng.randrange(256))
            ctx.set(core.pixels.p.last, waiting[0][1] if offer else rng.randrange(2))
            _, _, taken = await ctx.tick().sample(core.pixels.ready)
            if offer and taken:
                waiting.pop(0)
        ctx.set(core.pixels.valid, 0)

    async def take(ctx):
        for cycle in range(limit):
            ctx.set(reset, cycle == reset_at)
            ready = rng.random() >= stall
            ctx.set(core.logits.ready, ready)
            _, _, valid, value, last = await ctx.tick().sample(
                core.logits.valid, core.logits.p.data, core.logits.p.last)
            if valid and ready:
                found.append((value, last))
            if len(found) == logits:
                break
        flags.update(short=ctx.get(core.short), long=ctx.get(core.long),
                     cycles=ctx.get(core.cycles))

    simulator = Simulator(dut)
    simulator.add_clock(1e-8)
    simulator.add_testbench(feed, background=True)
    simulator.add_testbench(take)
    simulator.run()
    return found, flags


def expected(network, pixels):
    return [(value, k == 4) for row in GoldenNetwork(network).logits(pixels).tolist()
            for k, value in enumerate(row)]


@pytest.mark.parametrize(("gap", "stall"), [(0, 0), (0.5, 0), (0, 0.8), (0.3, 0.3)])
def test_streams(network, core, gap, stall):
    """Images in a row, whatever source and sink do; the next one is received meanwhile."""
    pixels = random_pixels(TINY.input_shape, images=4)
    found, flags = run(core, [item for image in pixels for item in stream(image)],
                       logits=20, gap=gap, stall=stall)
    assert found == expected(network, pixels)
    assert flags == {"short": 0, "long": 0, "cycles": core.image_cycles}


@pytest.mark.parametrize(("wrong", "flag"), [
    (lambda good: [*good[:7], (0, True)], "short"),
    (lambda good: [*((value, False) for value, _ in good), (1, False), (2, True)], "long")])
def test_images_of_the_wrong_length(network, core, wrong, flag):
    """Are dropped and noticed, and the next one is right."""
    pixels = random_pixels(TINY.input_shape, images=2)
    found, flags = run(core, wrong(stream(pixels[0])) + stream(pixels[1]), logits=5)
    assert found == expected(network, pixels[1:])
    assert {name for name in ("short", "long") if flags[name]} == {flag}


@pytest.mark.parametrize("reset_at", [50, 200, 290, 330])
def test_reset_at_any_time(network, core, reset_at):
    """What is under way is lost; the next image is right."""
    pixels = random_pixels(TINY.input_shape, images=2)
    found, _ = run(core, stream(pixels[0]), logits=1000, reset_at=reset_at, limit=reset_at + 2)
    assert len(found) < 5
    # A reset amid an image leaves its rest, which is then too short an image.
    found, _ = run(core, [(7, False)] * 3 + [(7, True)] + stream(pixels[1]), logits=5,
                   reset_at=2)
    assert found == expected(network, pixels[1:])


def test_disabled(core):
    pixels = random_pixels(TINY.input_shape, images=1)

    async def never(ctx):
        ctx.set(core.pixels.valid, 1)
        for value, last in stream(pixels[0]):
            ctx.set(core.pixels.p.data, value)
            ctx.set(core.pixels.p.last, last)
            await ctx.tick().until(core.pixels.ready)
        ctx.set(core.pixels.valid, 0)
        for _ in range(200):
            _, _, busy = await ctx.tick().sample(core.busy)
            assert not busy

    simulator = Simulator(core)
    simulator.add_clock(1e-8)
    simulator.add_testbench(never)
    simulator.run()


@pytest.mark.parametrize(("knobs", "message"), [
    ({"groups": 3}, "core groups must be a power of two, 1 to 16, not 3"),
    ({"groups": 32}, "core groups must be a power of two, 1 to 16, not 32"),
    ({"requantizers": 3}, "core requantizers must be a divisor of the 4 slices of an array, not 3"),
    ({"weights": "flash"}, "core weights must be one of rom, load, not 'flash'"),
])
def test_parameters_refused(knobs, message):
    array = ArrayParameters(scheme="doubleq", slices=4, lanes=16)
    with pytest.raises(ValueError, match=f"^{message}$"):
        CoreParameters(array=array, **knobs)


@pytest.mark.parametrize(("pes", "groups", "shape"), [
    (16, None, (1, 1)), (64, None, (4, 1)), (256, None, (16, 1)), (512, None, (16, 2)),
    (1024, None, (16, 4)), (64, 2, (2, 2)), (4096, None, (16, 16))])
def test_core_from_pes(pes, groups, shape):
    parameters = core_from_pes(pes, groups=groups, scheme="doubleq")
    assert (parameters.channels, parameters.groups) == shape
    assert parameters.pes == pes


@pytest.mark.parametrize(("pes", "groups"), [(0, None), (24, None), (8192, None), (48, None),
                                             (64, 3)])
def test_core_from_pes_refused(pes, groups):
    with pytest.raises(ValueError, match=r"^core pes must be .*, not \d+$"):
        core_from_pes(pes, groups=groups, scheme="doubleq")


def test_layers_that_cannot_be_mapped(network):
    with pytest.raises(ValueError, match=r"^layer 'a': structure 'paper' for quant8 takes the "
                                         r"formats int8, not 'pot5'$"):
        Core(network, core_from_pes(16, scheme="quant8"))
    large = quantized(build("resnet20", input_shape=(3, 8, 8)), "quant8")
    needed = required_accumulator_bits(large)
    with pytest.raises(ValueError, match=rf"^layer '[\w.]+': needs accumulators of {needed} bits, "
                                         rf"the core has {needed - 1}$"):
        Core(large, core_from_pes(16, scheme="quant8", accumulator_bits=needed - 1))


def test_same_bytes(network):
    parameters = core_from_pes(16, scheme="doubleq", accumulator_bits=20)
    assert export_core(network, parameters) == export_core(network, parameters)
