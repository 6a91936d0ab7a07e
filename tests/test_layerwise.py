from dataclasses import replace

import numpy as np
import pytest
import torch
from networks import MEAN, STD, every_op, make_quantizer, random_pixels

from models.evaluate import evaluate
from models.fakequant import FakeQuantized
from models.golden import GoldenNetwork
from models.layerwise import Difference, compare_layers
from models.network import INPUT
from models.quantize import assign

IMAGES = 60


def quantized(shortcut="conv", fmt="pot5"):
    topology = every_op(shortcut=shortcut)
    assigned = assign(topology, scheme="doubleq", fmt=fmt)
    return make_quantizer(topology).network(assigned, scheme="doubleq")


def compare(network):
    topology = network.topology
    labels = np.random.default_rng(1).integers(0, topology.classes, IMAGES)
    pixels = random_pixels(topology.input_shape, images=IMAGES)
    found = compare_layers(network, pixels, labels, mean=MEAN, std=STD)
    return {row.name: row for row in found}, pixels, labels


@pytest.mark.parametrize("shortcut", ["conv", "zero"])
@pytest.mark.parametrize("fmt", ["pot5", "pot3"])
def test_same_input(shortcut, fmt):
    """One code at most. Convolutions: measured in up to 15 codes of 10,000; average pooling of
    four pixels, which often falls on the middle of two codes: 1 of 100; so does the input here."""
    rows, _, _ = compare(quantized(shortcut, fmt))
    for row in rows.values():
        assert row.same_input.largest <= 1, row.name
        assert row.same_input.percent > {INPUT: 90, "pool2": 98}.get(row.name, 99.5), row.name
        assert row.same_input.equal >= row.end_to_end.equal, row.name


@pytest.mark.parametrize("shortcut", ["conv", "zero"])
def test_from_fake_quantized_to_integer(shortcut):
    """The first row is the fake-quantized network and the last the integer one."""
    network = quantized(shortcut)
    rows, pixels, labels = compare(network)
    assert list(rows) == [INPUT, *(node.name for node in network.topology.order)]
    golden = GoldenNetwork(network)
    integer = evaluate(lambda part: torch.from_numpy(golden.logits(part)), pixels, labels)
    assert rows["fc2"].accuracy == integer
    fake, grid = FakeQuantized(network), network.input
    assert rows[INPUT].accuracy == evaluate(
        lambda part: fake((golden.input(part) - grid.zero_point) * grid.scale), pixels, labels)


def test_between():
    """Integers up to a layer in the middle, fake-quantized after it."""
    network = quantized()
    rows, pixels, labels = compare(network)
    golden, fake, order = GoldenNetwork(network), FakeQuantized(network), network.topology.order
    middle = [node.name for node in order].index("conv2")

    def logits(part):
        names = [INPUT, *(node.name for node in order[:middle + 1])]
        q = golden.run(part, keep=names)
        tensors = {name: (q[name] - network.output(name).zero_point) * network.output(name).scale
                   for name in names}
        for node in order[middle + 1:]:
            tensors[node.name] = fake.compute(node, tensors)
        return tensors["fc2"].flatten(1)

    assert rows["conv2"].accuracy == evaluate(logits, pixels, labels)


def test_a_wrong_multiplier_shows_in_its_layer():
    network = quantized()
    layer = network.layers["conv2"]
    wrong = replace(layer, multiplier=(layer.multiplier * 0.95).astype(np.uint16))
    rows, _, _ = compare(replace(network, layers={**network.layers, "conv2": wrong}))
    assert [name for name, row in rows.items() if row.same_input.largest > 1] == ["conv2"]


def test_difference():
    found = Difference()
    found.add(torch.tensor([1.0, 2, 3]), torch.tensor([1.0, 2, 5]))
    found.add(torch.tensor([-4.0]), torch.tensor([-3]))
    assert found == Difference(codes=4, equal=2, largest=2)
    assert found.percent == 50
