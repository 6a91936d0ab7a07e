import numpy as np
import pytest
import torch
from networks import MEAN, STD, every_op, float_network, random_pixels

from models import data, pipeline, reconstruct, resnet
from models.calibrate import calibrate, observe
from models.evaluate import normalized
from models.golden import GoldenNetwork
from models.network import INPUT, Node
from models.quantize import Quantizer, assign, fold
from models.reconstruct import _in_storage_order, _observations, held_bytes
from models.solve import Moments


@pytest.mark.parametrize("node", [
    Node("a", "conv", INPUT, 3, 4, 3, 2, 1), Node("a", "conv", INPUT, 3, 4, 1, 2),
    Node("a", "conv", INPUT, 3, 4, 5, 1, 2)])
def test_observations_are_what_the_convolution_sees(node):
    q = torch.randint(-128, 128, (2, 3, 9, 9), generator=torch.Generator().manual_seed(0))
    from models.layer import QParams
    params = QParams(0.5, 7)
    weights = torch.randn(node.weight_shape, generator=torch.Generator().manual_seed(1))
    y = torch.nn.functional.conv2d((q.float() - 7) * 0.5, weights, None, node.stride, node.padding)
    rows, columns = torch.tensor([0, 1, y.shape[2] - 1]), torch.tensor([0, 2, 1])
    x = _observations(node, q, params, rows, columns)
    found = Moments.empty(x.shape[1], 1)
    found.add(x, torch.ones(len(x), 1))
    total = _in_storage_order(found, node).x @ weights.reshape(4, -1).double().numpy().T
    expected = y[:, :, rows, columns].sum((0, 2)).double().numpy()
    assert np.allclose(total, expected, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("shortcut", ["conv", "zero"])
@pytest.mark.parametrize("fmt", ["pot5", "pot3"])
def test_network_comes_closer(shortcut, fmt):
    """Calibrated integers bring the logits of images that were not calibrated on closer to the
    float network's than rounding each weight, on every kind of layer."""
    topology = every_op(shortcut=shortcut)
    network = float_network(topology)
    pixels = random_pixels(topology.input_shape, images=160)
    x = normalized(pixels, MEAN, STD)
    activations = calibrate(topology, observe(network, lambda: [x[:80]]), method="mse")
    plain = Quantizer(topology, fold(network), activations, MEAN, STD)
    assigned = assign(topology, scheme="doubleq", fmt=fmt)
    better = reconstruct.reconstruct(network, plain, pixels, 80, assigned)
    with torch.inference_mode():
        reference = network(x[80:]).numpy()

    def distance(quantizer):
        result = quantizer.network(assigned, scheme="doubleq")
        logits = GoldenNetwork(result).logits(pixels[80:]) * result.logit_scale
        return ((logits - reference) ** 2).mean()

    assert distance(better) < 0.5 * distance(plain)
    again = reconstruct.reconstruct(network, plain, pixels, 80, assigned)
    assert again.network(assigned, scheme="doubleq").hash == better.network(
        assigned, scheme="doubleq").hash


@pytest.fixture
def held(monkeypatch):
    """Bytes of calibration images' tensors held while each layer is computed."""
    sizes = []

    class Watched(reconstruct._Tensors):
        def advance(self, node, golden):
            kept = [*self.real.values(), *self.q.values()]
            computed = sum(part.numel() for part in self.real[node.name])
            sizes.append(computed + sum(part.nbytes for parts in kept for part in parts))
            super().advance(node, golden)

    monkeypatch.setattr(reconstruct, "_Tensors", Watched)
    return sizes


@pytest.mark.parametrize("shortcut", ["conv", "zero"])
def test_held_bytes(held, shortcut):
    """What is predicted, to the byte."""
    topology = every_op(shortcut=shortcut)
    network, pixels = float_network(topology), random_pixels(topology.input_shape, images=70)
    x = normalized(pixels, MEAN, STD)
    activations = calibrate(topology, observe(network, lambda: [x]), method="mse")
    plain = Quantizer(topology, fold(network), activations, MEAN, STD)
    reconstruct.reconstruct(network, plain, pixels, 70, assign(topology, scheme="doubleq"))
    assert max(held) == 70 * held_bytes(topology)


def test_more_images_take_no_more_memory(held, monkeypatch):
    """What is held stays within bounds, and the artefact says how many images that were."""
    train = data.load("digits", "train")
    network = float_network(resnet.build("resnet8"))
    monkeypatch.setattr(reconstruct, "MEMORY", 30 * held_bytes(network.topology) + 99)
    for images, used in [(20, 20), (30, 30), (200, 30)]:
        held.clear()
        result = pipeline.quantize(network, train, pipeline.Recipe(
            scheme="doubleq", rounding="calibrated", calibration_images=images))
        assert max(held) == used * held_bytes(network.topology)
        assert (result.about["calibrated_on"], result.about["rounded_on"]) == (images, used)
