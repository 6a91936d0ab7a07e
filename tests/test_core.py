# amaranth: UnusedElaboratable=no
"""A core at its ports: streams that stall, images of the wrong length, loads, reset."""

import random
import re
from dataclasses import replace

import numpy as np
import pytest
from amaranth import ResetInserter, Signal
from amaranth.sim import Simulator

from gen.core import Core
from gen.core_parameters import CoreParameters, core_for, core_from_pes
from gen.export import required_accumulator_bits
from gen.export_core import export_core
from gen.loader import load_image
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


def quantized(topology, scheme="doubleq", **options):
    return make_quantizer(topology, **options).network(
        assign(topology, scheme=scheme), scheme=scheme)


@pytest.fixture(scope="module")
def network():
    return quantized(TINY)


@pytest.fixture(scope="module")
def core(network):
    return Core(network, core_from_pes(32, groups=2, scheme="doubleq", accumulator_bits=24))


@pytest.fixture(scope="module")
def loadable(network):
    return make_loadable(network)


def make_loadable(network):
    return Core(network, core_from_pes(32, groups=2, scheme="doubleq", accumulator_bits=24,
                                       weights="load"))


def words(core):
    """Words of a core's load, and ``last`` with the last one."""
    image = load_image(core.contents)
    return [(int.from_bytes(image[k:k + 4], "little"), k + 4 == len(image))
            for k in range(0, len(image), 4)]


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


def test_few_classes():
    """Two, of the four channels of a tile: what comes for the others is no logit."""
    network = quantized(replace(TINY, nodes=(*TINY.nodes[:-1], Node("fc", "fc", "pool", 3, 2))))
    array = ArrayParameters(scheme="doubleq", slices=4, lanes=4, accumulator_bits=24)
    pixels = random_pixels(TINY.input_shape, images=2)
    found, _ = run(Core(network, CoreParameters(array=array)),
                   [item for image in pixels for item in stream(image)], logits=4)
    assert found == [(value, k == 1) for row in GoldenNetwork(network).logits(pixels).tolist()
                     for k, value in enumerate(row)]


@pytest.mark.parametrize("parameters", [{"pes": 32, "groups": 2}, {"pes": 64}])
def test_latency(network, parameters):
    """From the first byte that is taken to the last logit."""
    core = Core(network, core_from_pes(scheme="doubleq", accumulator_bits=24, **parameters))
    [pixels] = random_pixels(TINY.input_shape, images=1)
    cycles = {}

    async def feed(ctx):
        ctx.set(core.enable, 1)
        ctx.set(core.pixels.valid, 1)
        for value, last in stream(pixels):
            ctx.set(core.pixels.p.data, value)
            ctx.set(core.pixels.p.last, last)
            await ctx.tick().until(core.pixels.ready)
        ctx.set(core.pixels.valid, 0)

    async def watch(ctx):
        ctx.set(core.logits.ready, 1)
        for cycle in range(core.latency + 10):
            _, _, taken, given = await ctx.tick().sample(
                core.pixels.ready & core.pixels.valid, core.logits.valid & core.logits.p.last)
            if taken:
                cycles.setdefault("first byte", cycle)
            if given:
                cycles["last logit"] = cycle

    simulator = Simulator(core)
    simulator.add_clock(1e-8)
    simulator.add_testbench(feed, background=True)
    simulator.add_testbench(watch)
    simulator.run()
    assert cycles["last logit"] - cycles["first byte"] == core.latency


@pytest.mark.parametrize(("wrong", "flag"), [
    (lambda good: [*good[:7], (0, True)], "short"),
    (lambda good: [*((value, False) for value, _ in good), (1, False), (2, True)], "long")])
def test_images_of_the_wrong_length(network, core, wrong, flag):
    """Are dropped and noticed, and the next one is right."""
    pixels = random_pixels(TINY.input_shape, images=2)
    found, flags = run(core, wrong(stream(pixels[0])) + stream(pixels[1]), logits=5)
    assert found == expected(network, pixels[1:])
    assert {name for name in ("short", "long") if flags[name]} == {flag}


async def offer(ctx, port, data):
    """Hands ``data`` to a stream."""
    ctx.set(port.valid, 1)
    for value, last in data:
        ctx.set(port.p.data, value)
        ctx.set(port.p.last, last)
        await ctx.tick().until(port.ready)
    ctx.set(port.valid, 0)


def run_loads(core, steps, *, cycles=600):
    """Does ``steps`` one after the other: ("load", words), ("image", bytes), or ("wait", None),
    until nothing has come for some cycles. Gives the logits, with ``loaded`` and ``load_error``
    after each step."""
    found, flags = [], []

    async def act(ctx):
        ctx.set(core.enable, 1)
        for kind, data in steps:
            if kind == "wait":
                await ctx.tick().repeat(cycles)
            else:
                await offer(ctx, core.load if kind == "load" else core.pixels, data)
            flags.append((ctx.get(core.loaded), ctx.get(core.load_error), len(found)))

    async def take(ctx):
        ctx.set(core.logits.ready, 1)
        async for _, _, valid, value, last in ctx.tick().sample(
                core.logits.valid, core.logits.p.data, core.logits.p.last):
            if valid:
                found.append((value, last))

    async def never_while_loading(ctx):
        """An image is computed only with a complete load."""
        async for _, _, busy, loaded, taken in ctx.tick().sample(
                core.busy, core.loaded, core.load.valid & core.load.ready):
            assert not busy or (loaded and not taken)

    simulator = Simulator(core)
    simulator.add_clock(1e-8)
    simulator.add_testbench(act)
    simulator.add_testbench(take, background=True)
    simulator.add_testbench(never_while_loading, background=True)
    simulator.run()
    return found, flags


@pytest.mark.parametrize("chunk", [1024, 8])
def test_images_wait_for_a_load(network, loadable, chunk, monkeypatch):
    """Into one block memory and into several; the next image is received meanwhile."""
    monkeypatch.setattr("gen.weights.CHUNK", chunk)
    assert len(loadable.contents["pot5"].rows) > 4 * 8
    first, second = random_pixels(TINY.input_shape, images=2)
    found, flags = run_loads(loadable, [
        ("image", stream(first)), ("wait", None), ("load", words(loadable)),
        ("image", stream(second)), ("wait", None)])
    assert [flag[2] for flag in flags[:2]] == [0, 0]
    assert flags[-1] == (1, 0, 10)
    assert found == expected(network, np.stack([first, second]))


@pytest.mark.parametrize("wrong", [
    lambda good: [*good[:7], (0, True)],
    lambda good: [*((value, False) for value, _ in good), (1, False), (2, True)]])
def test_loads_of_the_wrong_length(network, loadable, wrong):
    """Are noticed, and images wait for one that is right."""
    pixels = random_pixels(TINY.input_shape, images=1)
    found, flags = run_loads(loadable, [
        ("load", wrong(words(loadable))), ("image", stream(pixels[0])), ("wait", None),
        ("load", words(loadable)), ("wait", None)])
    assert [flag[1:] for flag in flags] == [(1, 0)] * 3 + [(0, 0), (0, 5)]
    assert found == expected(network, pixels)


@pytest.mark.parametrize("at", [0.0, 0.5, 1.0])
def test_a_damaged_load(network, loadable, at):
    """One bit is wrong, of the first word, one amid them, or the last: it is noticed, images wait,
    and a right load makes all good."""
    pixels = random_pixels(TINY.input_shape, images=2)
    damaged = words(loadable)
    number = round(at * (len(damaged) - 1))
    damaged[number] = (damaged[number][0] ^ 1 << 4, damaged[number][1])
    found, flags = run_loads(loadable, [
        ("load", words(loadable)), ("image", stream(pixels[0])), ("wait", None),
        ("load", damaged), ("image", stream(pixels[1])), ("wait", None),
        ("load", words(loadable)), ("wait", None)])
    assert flags == [(1, 0, 0), (1, 0, 0), (1, 0, 5), (0, 1, 5), (0, 1, 5), (0, 1, 5), (1, 0, 5),
                     (1, 0, 10)]
    assert found == expected(network, pixels)


def test_another_load(network, loadable):
    """The weights of another network, while an image is computed: they count from the next one."""
    other = quantized(TINY, rounding="log")
    first, second = random_pixels(TINY.input_shape, images=2)
    assert expected(network, second[None]) != expected(other, second[None])
    found, flags = run_loads(loadable, [
        ("load", words(loadable)), ("image", stream(first)), ("image", stream(second)[:-1]),
        ("load", words(make_loadable(other))), ("image", stream(second)[-1:]), ("wait", None),
        ("load", words(loadable)), ("image", stream(second)), ("wait", None)])
    assert flags[2] == (1, 0, 0)
    assert flags[-1] == (1, 0, 15)
    assert found == (expected(network, first[None]) + expected(other, second[None])
                     + expected(network, second[None]))


@pytest.mark.parametrize(("field", "value", "message"), [
    ("accumulator", 19, "accumulator must have 20 bits for this network, the core's has 19"),
    ("bias", 17, "bias must have 18 bits for this network, the core's has 17"),
    ("total", 35, "total must have 36 bits for this network, the core's has 35"),
    ("shifts", range(18, 23), "shifts must be 18 to 23 for this network, the core's are 18 to 22"),
    ("residual_shifts", range(6, 8),
     "residual_shifts must be 7 to 7 for this network, the core's are 6 to 7"),
])
def test_requantizers_that_do_not_suffice(network, loadable, field, value, message):
    ranges = replace(loadable.program.requantizer, **{field: value})
    with pytest.raises(ValueError, match=f"^requantizer {message}$"):
        Core(network, loadable.parameters, ranges=ranges)


def test_loaded_core_is_as_fast(core, loadable):
    assert loadable.image_cycles == core.image_cycles


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
    ({"groups": 0}, "core groups must be an integer from 1 to 16, not 0"),
    ({"groups": 17}, "core groups must be an integer from 1 to 16, not 17"),
    ({"requantizers": 3}, "core requantizers must be a divisor of the 4 slices of an array, not 3"),
    ({"weights": "flash"}, "core weights must be one of rom, load, not 'flash'"),
])
def test_parameters_refused(knobs, message):
    array = ArrayParameters(scheme="doubleq", slices=4, lanes=16)
    with pytest.raises(ValueError, match=f"^{message}$"):
        CoreParameters(array=array, **knobs)


@pytest.mark.parametrize(("pes", "groups", "shape"), [
    (16, None, (1, 1)), (64, None, (4, 1)), (256, None, (16, 1)), (512, None, (16, 2)),
    (1024, None, (16, 4)), (64, 2, (2, 2)), (4096, None, (16, 16)), (768, None, (16, 3)),
    (96, None, (2, 3)), (192, 6, (2, 6))])
def test_core_from_pes(pes, groups, shape):
    parameters = core_from_pes(pes, groups=groups, scheme="doubleq")
    assert (parameters.channels, parameters.groups) == shape
    assert parameters.pes == pes


@pytest.mark.parametrize(("scheme", "structure"), [
    ("doubleq", "merged"), ("doubleq", "dual"), ("doubleqext", "dual")])
def test_core_for_a_network(scheme, structure):
    """One bit less in the accumulators is not enough."""
    network = quantized(TINY, scheme)
    parameters = core_for(network, 16, structure=structure)
    assert (parameters.pes, parameters.array.scheme) == (16, scheme)
    Core(network, parameters)
    bits = parameters.array.accumulator_bits
    with pytest.raises(ValueError, match=rf"at least the {bits} bits|needs accumulators of {bits}"):
        Core(network, replace(parameters, array=replace(parameters.array,
                                                        accumulator_bits=bits - 1)))


@pytest.mark.parametrize(("pes", "groups"), [(0, None), (24, None), (8192, None), (272, None),
                                             (64, 3), (64, 64)])
def test_core_from_pes_refused(pes, groups):
    with pytest.raises(ValueError, match=r"^core pes must be 16 lanes times .* groups, not \d+$"):
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


@pytest.mark.parametrize(("scheme", "structure", "cycles"), [
    ("doubleq", "merged", 1), ("doubleq", "dual", 0.5), ("quant8", "terms", 4)])
def test_least_cycles(scheme, structure, cycles):
    """Of a layer's multiplications: two powers of two a cycle, or four cycles for 8 bits."""
    _, sidecar = export_core(quantized(TINY, scheme), core_from_pes(
        16, scheme=scheme, structure=structure, accumulator_bits=24))
    for layer in sidecar["layers"]:
        assert layer["pe_cycles"] == layer["macs"] * cycles < layer["cycles"] * 16
    assert sum(layer["pe_cycles"] for layer in sidecar["layers"]) == sidecar["macs"] * cycles


@pytest.mark.parametrize(("least", "block"), [(0, True), (1 << 20, False)])
def test_biases_and_multipliers_in_block_memory(network, monkeypatch, least, block):
    """Where there are more of them than a LUT holds."""
    monkeypatch.setattr("gen.writer.LUT_ROWS", least)
    contents, sidecar = export_core(network, core_from_pes(16, scheme="doubleq",
                                                           accumulator_bits=20))
    [attributes] = re.findall(r"((?:^  \(\*.*\n)*)^  reg \[\d+:0\] constants \[",
                              contents[sidecar["verilog"]].decode(), re.MULTILINE)
    assert ('ram_style = "block"' in attributes) == block
