from dataclasses import replace

import numpy as np
import pytest
import torch
from networks import MEAN, STD, every_op, make_quantizer, random_pixels

from models import resnet
from models.evaluate import Accuracy, evaluate, normalized
from models.fakequant import FakeQuantized, affine_weights
from models.golden import GoldenNetwork
from models.quantize import Fit, assign


def test_top1_and_top5():
    scores = torch.tensor([[9, 8, 7, 6, 5, 4], [9, 8, 7, 6, 5, 4], [9, 8, 7, 6, 5, 4.0]])
    pixels = np.zeros((3, 1, 1, 1), np.uint8)
    found = evaluate(lambda part: scores[:len(part)], pixels, np.array([0, 4, 5]), batch=3)
    assert (found.images, found.top1, found.top5) == (3, 1, 2)
    assert found.percent == (100 / 3, 200 / 3)


def test_ties_go_to_the_lower_class():
    found = evaluate(lambda part: torch.zeros(len(part), 10), np.zeros((3, 1, 1, 1), np.uint8),
                     np.array([0, 1, 9]), batch=2)
    assert found.rank.tolist() == [0, 1, 9]


def test_normalized():
    pixels = np.array([[[[0]], [[255]]]], np.uint8)
    found = normalized(pixels, (0.5, 0.25), (0.5, 0.25)).reshape(-1)
    assert found.tolist() == [-1.0, 3.0]


@pytest.mark.parametrize("shortcut", ["conv", "zero"])
def test_fake_quantized_follows_golden(shortcut):
    """Both round the same reals, so no activation differs by more than a few units."""
    topology = every_op(shortcut=shortcut)
    quantizer = make_quantizer(topology)
    network = quantizer.network(assign(topology, scheme="quant8"), scheme="quant8")
    pixels = random_pixels(topology.input_shape, images=3)
    names = [node.name for node in topology.nodes[:-1]]
    golden = GoldenNetwork(network).run(pixels, keep=names)
    fake = FakeQuantized(network).run(normalized(pixels, MEAN, STD))
    for name in names:
        params = network.output(name)
        q = fake[name] / params.scale + params.zero_point
        assert (q - golden[name]).abs().max() <= 5, name


def test_fake_quantized_takes_calibrated_biases():
    """Biases that were chosen with the weights, not the float network's."""
    topology = every_op()
    quantizer = make_quantizer(topology)
    assigned = assign(topology, scheme="quant8")
    weights, bias = quantizer.folded["fc2"]
    values = np.ones(weights.shape, np.int16)
    fit = Fit(values, np.full(5, 0.01), bias + 3)
    moved = replace(quantizer, fits={("fc2", "int8"): fit})
    network = moved.network(assigned, scheme="quant8")
    pixels = random_pixels(topology.input_shape, images=2)
    golden = GoldenNetwork(network).logits(pixels) * network.logit_scale
    fake = FakeQuantized(network)(normalized(pixels, MEAN, STD)).numpy()
    assert np.abs(golden - fake).max() < 0.1


def test_paired():
    ours, theirs = Accuracy(np.array([0, 0, 1, 0])), Accuracy(np.array([0, 1, 0, 1]))
    assert ours.paired(theirs) == (25.0, pytest.approx(100 * np.std([0, 1, -1, 1]) / 2))
    assert ours.paired(ours) == (0.0, 0.0)


def test_divergence_and_agreement():
    pixels, labels = np.zeros((2, 1, 1, 1), np.uint8), np.array([0, 1])
    reference = torch.log(torch.tensor([[0.5, 0.5], [0.2, 0.8]]))
    integers = torch.tensor([[1, 1], [3, 1]])
    found = evaluate(lambda part: integers, pixels, labels, reference=reference, scale=0.5)
    p = torch.softmax(integers * 0.5, 1)
    expected = (reference.exp() * (reference - p.log())).sum(1).mean()
    assert found.divergence == pytest.approx(float(expected))
    assert found.agreement == 50.0
    same = evaluate(lambda part: reference, pixels, labels, reference=reference)
    assert (same.divergence, same.agreement) == (0.0, 100.0)


def test_affine_weights():
    """Equations 1 to 3: asymmetric range, level two on q - z."""
    weights = np.array([-1.0, 0.0, 0.5, 1.55])
    scale = 2.55 / 255
    assert np.allclose(affine_weights(weights, fmt="int8", rounding="log"),
                       [-1.0, 0.0, 0.5, 1.55])
    assert np.allclose(affine_weights(weights, fmt="pot5", rounding="log") / scale,
                       [-128, 0, 64, 128])
    assert not affine_weights(np.zeros(3), fmt="pot5", rounding="log").any()


def test_affine_network():
    topology = resnet.build("resnet8", width=4)
    quantizer = make_quantizer(topology)
    network = quantizer.network(assign(topology, scheme="doubleq"), scheme="doubleq")
    x = normalized(random_pixels(topology.input_shape, images=2), MEAN[:1], STD[:1])
    symmetric = FakeQuantized(network)(x)
    affine = FakeQuantized(network, quantizer.folded, affine_rounding="log")(x)
    assert affine.shape == symmetric.shape
    assert not torch.equal(affine, symmetric)
