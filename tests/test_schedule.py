# amaranth: UnusedElaboratable=no
"""The schedule, interpreted in plain Python on the memory as its docstring describes it."""

import numpy as np
import pytest

from gen.build_schedule import make_schedule
from gen.core import Core
from gen.core_parameters import core_for, core_from_pes
from models import formats
from models.golden import GoldenNetwork
from models.network import INPUT
from models.quantize import assign
from models.resnet import build
from tests.networks import every_op, make_quantizer, random_pixels


class Interpreter:
    """Memory and program of a core, an address at a time."""

    def __init__(self, schedule):
        self.schedule, self.parameters = schedule, schedule.parameters
        self.memory = np.full((schedule.banks, schedule.depth, self.parameters.wide), 99)

    def address(self, tensor, y, x, block):
        return (x % self.schedule.banks,
                tensor.base + block
                + (y * tensor.columns + x // self.schedule.banks) * tensor.blocks)

    def read(self, tensor, y, x, block, pad):
        if not (0 <= y < tensor.height and 0 <= x < tensor.width):
            return np.full(self.parameters.wide, pad)
        return self.memory[self.address(tensor, y, x, block)]

    def receive(self, image):
        """An image [C, H, W] of activations."""
        schedule, tensor = self.schedule, self.schedule.input
        first = schedule.operations[0].node
        for y in range(tensor.height):
            for x in range(tensor.width):
                window = []
                for k in range(schedule.packed):
                    column = x * first.stride + k - first.padding if schedule.packed > 1 else x
                    inside = 0 <= column < image.shape[2]
                    window += list(image[:, y, column]) if inside else [tensor.zero] * len(image)
                window += [tensor.zero] * (tensor.blocks * self.parameters.wide - len(window))
                for block, word in enumerate(np.array(window).reshape(tensor.blocks, -1)):
                    self.memory[self.address(tensor, y, x, block)] = word

    def run(self, operation):
        """Accumulators (with bias) of the last layer; the others are written."""
        o, parameters = operation, self.parameters
        channels, groups = parameters.channels, parameters.groups
        part = parameters.wide // channels
        logits = []
        for y in range(o.size[0]):
            for x in range(o.column_groups * groups):
                for tile in range(o.tiles):
                    acc = self.accumulate(o, y, x, tile)
                    row = o.requantize_row + tile
                    acc = acc + self.schedule.biases[row]
                    if o.output is None:
                        logits += acc.tolist()
                        continue
                    residual = 0
                    if o.residual is not None and tile * channels < len(o.residual.order):
                        stride = o.node.residual.stride
                        word = self.read(o.residual, y * stride, x * stride, tile // part,
                                         o.residual.zero)
                        q = word.reshape(part, channels)[tile % part] - o.residual.zero
                        residual = q * o.layer.residual_multiplier << o.layer.residual_shift
                    total = acc * self.schedule.multipliers[row] + residual
                    shifted = (total + (1 << o.shift - 1)) >> o.shift
                    q = np.clip(shifted + o.output.zero, -128, 127)
                    bank, address = self.address(o.output, y, x, tile // part)
                    self.memory[bank, address].reshape(part, channels)[tile % part] = q
        return np.array(logits)

    def vector(self, o, y, x, block):
        """The activations of a vector; of a tile of single channels if it is no convolution."""
        parameters = self.parameters
        pad = -128 if o.kind == "maxpool" else o.source.zero
        part, lanes = parameters.wide // parameters.channels, parameters.lanes
        half = block % 2 if o.kind == "conv" else block % part * parameters.channels // lanes
        word = block // part if o.kind != "conv" else block // 2 if o.halves else block
        found = self.read(o.source, y, x, word, pad)
        if parameters.activations == 1 or o.kind == "maxpool":
            return found
        low, high = found.reshape(2, lanes)
        if o.halves:
            return (low, high)[half]
        beside = self.read(o.source, y, x + 1, word, pad)[:lanes]
        return np.stack([low, beside if o.pair else high], 1).reshape(-1)

    def accumulate(self, o, y, x, tile):
        parameters = self.parameters
        part = parameters.wide // parameters.channels
        words = [self.vector(o, y * o.stride[0] + ky - o.padding[0],
                             x * o.stride[1] + kx * (1 + o.pair) - o.padding[1],
                             tile if o.kind != "conv" else block)
                 for ky in range(o.kernel[0]) for kx in range(o.kernel[1])
                 for block in range(o.blocks)]
        if o.kind == "maxpool":
            return np.max(words, 0).reshape(part, -1)[tile % part]
        codes = self.schedule.weights[o.format]
        total = 0
        for k, word in enumerate(words):
            row = o.weight_row + (tile * len(words) + k if o.kind == "conv" else tile % part)
            total += formats.get(o.format).decode(codes[row]).astype(int) @ word
        return total


def check(network, pes, pixels, **knobs):
    """Every word written, and the logits."""
    schedule = make_schedule(network, core_from_pes(pes, scheme=network.scheme, **knobs), latency=6)
    golden = GoldenNetwork(network)
    for image in pixels:
        tensors = golden.run(image[None], keep={INPUT, *network.topology.shapes})
        tensors = {name: value[0].numpy().astype(int) for name, value in tensors.items()}
        interpreter = Interpreter(schedule)
        interpreter.receive(tensors[INPUT])
        for operation in schedule.operations:
            logits = interpreter.run(operation)
            tensor = operation.output
            if tensor is None:
                expected = tensors[operation.node.name].reshape(-1)
                assert np.array_equal(logits[:len(expected)], expected)
                continue
            expected = tensors[tensor.name]
            for y in range(tensor.height):
                for x in range(tensor.width):
                    found = np.concatenate([interpreter.read(tensor, y, x, block, None)
                                            for block in range(tensor.blocks)])
                    assert np.array_equal(found[:len(tensor.order)],
                                          expected[list(tensor.order), y, x])
                    written = operation.tiles * schedule.parameters.channels
                    assert set(found[len(tensor.order):written]) <= {tensor.zero}
    return schedule


NETWORKS = {
    "every op": lambda: every_op(),
    "every op, zero shortcuts": lambda: every_op(shortcut="zero"),
    "zero shortcuts": lambda: build("resnet20", width=8, input_shape=(3, 8, 8), shortcut="zero"),
    "conv shortcuts": lambda: build("resnet20", input_shape=(3, 8, 8)),
}


@pytest.fixture(scope="module", params=NETWORKS)
def quantizer(request):
    return make_quantizer(NETWORKS[request.param]())


@pytest.mark.parametrize("scheme", ["quant8", "doubleq"])
def test_every_word(quantizer, scheme):
    """Of every tensor, and the logits."""
    network = quantizer.network(assign(quantizer.topology, scheme=scheme), scheme=scheme)
    pixels = random_pixels(network.topology.input_shape, images=1)
    for pes in (16, 64, 512, 768, 1024):
        check(network, pes, pixels)


def test_every_word_of_pairs(quantizer):
    """Two powers of two a lane: pairs of columns and whole words, never half words."""
    network = quantizer.network(assign(quantizer.topology, scheme="doubleq"), scheme="doubleq")
    pixels = random_pixels(network.topology.input_shape, images=1)
    for pes in (16, 96, 128, 512):
        schedule = check(network, pes, pixels, structure="dual")
        assert not any(operation.halves for operation in schedule.operations)
        assert any(operation.pair for operation in schedule.operations)


def test_two_powers_of_two_a_lane_take_at_most_three_fifths_of_the_cycles():
    """Of ResNet-20 for CIFAR-10, with any weights: those of the schedule's sets."""
    quantizer = make_quantizer(build("resnet20"))
    network = quantizer.network(assign(quantizer.topology, scheme="doubleq"), scheme="doubleq")

    def cycles(structure):
        core = core_for(network, 512, structure=structure, target="xc7", tree="ternary")
        return Core(network, core).image_cycles

    assert cycles("dual") <= 0.6 * cycles("merged")


def test_every_word_of_two_activations_a_lane(quantizer):
    """Pairs of columns, whole words, and half words."""
    convs = [node.name for node in quantizer.topology.convs]
    network = quantizer.network(
        assign(quantizer.topology, scheme="doubleqext", critical=tuple(convs[2::3])),
        scheme="doubleqext")
    pixels = random_pixels(network.topology.input_shape, images=1)
    for pes in (16, 96, 128, 512):
        schedule = check(network, pes, pixels, structure="dual")
        assert {operation.halves for operation in schedule.operations} == {True, False}
        assert any(operation.pair for operation in schedule.operations)
