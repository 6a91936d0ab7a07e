import numpy as np
import pytest
import torch
from networks import MEAN, STD, every_op, float_network, random_pixels

from models import data, formats, pipeline, reconstruct, resnet
from models.calibrate import calibrate, observe
from models.evaluate import normalized
from models.golden import GoldenNetwork
from models.network import INPUT, Node
from models.quantize import Quantizer, assign, fold
from models.reconstruct import (
    Moments,
    _in_storage_order,
    _observations,
    held_bytes,
    least_squares,
    solve,
)


def moments_of(x, t):
    found = Moments.empty(x.shape[1], t.shape[1])
    for part in np.array_split(np.arange(len(x)), 3):
        found.add(torch.from_numpy(x[part]).float(), torch.from_numpy(t[part]).float())
    return found


@pytest.fixture(scope="module")
def problem():
    """Correlated inputs, float weights, and what they give."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((4000, 5)) @ rng.standard_normal((5, 24)) + 0.3 * rng.standard_normal(
        (4000, 24)) + 1
    weights = rng.standard_normal((6, 24)) * 0.1
    return x, weights, x @ weights.T + rng.standard_normal(6)


def error(fit, x, t):
    y = x @ (fit.values * fit.scale[:, None]).T + fit.bias
    return ((y - t) ** 2).mean(0)


@pytest.mark.parametrize("fmt", ["int8", "pot5", "pot4", "pot3"])
@pytest.mark.parametrize("per_tensor", [False, True])
def test_beats_rounding_each_weight(problem, fmt, per_tensor):
    """A smaller output error than the nearest values at the best of the same scales."""
    x, weights, t = problem
    spec = formats.get(fmt)
    fit = solve(moments_of(x, t), weights, spec, per_tensor=per_tensor)
    assert np.isin(fit.values, spec.values).all()
    assert len(set(fit.scale)) == (1 if per_tensor else 6)
    largest = np.abs(weights).max(1)
    if per_tensor:
        largest[:] = largest.max()
    plain = []
    for factor in 2.0 ** np.linspace(-2, 0.5, 41):
        scale = largest * factor / 127
        values = spec.values[np.abs((weights / scale[:, None])[..., None]
                                    - spec.values).argmin(-1)]
        y = x @ (values * scale[:, None]).T
        plain.append(((y - y.mean(0) - t + t.mean(0)) ** 2).mean(0))
    if per_tensor:
        assert error(fit, x, t).sum() < 0.7 * np.min([row.sum() for row in plain])
    else:
        assert (error(fit, x, t) < 0.9 * np.min(plain, axis=0)).all()


def test_bias_removes_the_mean_error(problem):
    x, weights, t = problem
    fit = solve(moments_of(x, t), weights, formats.get("pot3"), per_tensor=False)
    y = x @ (fit.values * fit.scale[:, None]).T + fit.bias
    assert np.allclose(y.mean(0), t.mean(0), atol=1e-4)


def test_exact_weights_are_found():
    """Where the float weights lie on the grid, they come back."""
    rng = np.random.default_rng(1)
    values = rng.choice(formats.get("pot4").values, (3, 10))
    values[:, 0] = 128
    x = rng.standard_normal((3000, 10))
    weights = values * 0.01
    fit = solve(moments_of(x, x @ weights.T), weights, formats.get("pot4"), per_tensor=False)
    # The same weights have a code at twice the scale, too, where no value is the smallest.
    assert np.allclose(fit.values * fit.scale[:, None], weights, rtol=1e-3)


@pytest.mark.parametrize(("count", "low", "high"), [(40, 0.0, 0.4), (40000, 0.98, 1.0)])
def test_least_squares_is_taken_as_far_as_it_holds(count, low, high):
    """Noise in the targets is not fitted from few observations; what the data show is."""
    rng = np.random.default_rng(2)
    x, weights = rng.standard_normal((count, 24)), rng.standard_normal((6, 24)) * 0.1
    better = weights + rng.standard_normal(weights.shape) * 0.05
    t = x @ better.T + rng.standard_normal((count, 6))
    first, second = (moments_of(x[part], t[part]) for part in
                     (slice(count // 2), slice(count // 2, None)))
    found = least_squares((first, second), weights)
    fitted = np.linalg.lstsq(x, t, rcond=None)[0].T
    share = ((found - weights) * (fitted - weights)).sum() / ((fitted - weights) ** 2).sum()
    assert low <= share <= high
    assert ((found - better) ** 2).sum() < ((fitted - better) ** 2).sum() * 1.05


def test_least_squares_of_one_image():
    x, weights = np.ones((6, 2)), np.ones((3, 2))
    assert least_squares((Moments.empty(2, 3), moments_of(x, x @ weights.T + 1)),
                         weights) is weights


def test_dead_channel_and_dead_input():
    x = np.zeros((100, 4))
    x[:, 0] = np.arange(100)
    weights = np.array([[1.0, 1, 1, 1], [0, 0, 0, 0]])
    fit = solve(moments_of(x, x @ weights.T), weights, formats.get("pot5"), per_tensor=False)
    assert not fit.values[1].any()
    assert (fit.scale > 0).all()
    assert np.isfinite(fit.bias).all()


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
