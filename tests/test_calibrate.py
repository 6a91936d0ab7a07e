import numpy as np
import pytest
import torch
from networks import every_op, float_network

from models import calibrate as c
from models.layer import QParams


def histogram(values):
    low, high = float(values.min()), float(values.max())
    return c.Histogram(low, high, np.histogram(values, c.BINS, (low, high))[0].astype(float))


LONG_TAIL = histogram(np.abs(np.random.default_rng(0).standard_normal(200_000)) ** 2)
SIGNED = histogram(np.random.default_rng(1).standard_normal(200_000))


@pytest.mark.parametrize(("low", "high", "scale", "zero"), [
    (0.0, 255.0, 1.0, -128), (-1.0, 254.0, 1.0, -127), (-255.0, 0.0, 1.0, 127),
    (1.0, 255.0, 1.0, -128), (0.0, 0.0, 1.0, -128)])
def test_range_to_qparams(low, high, scale, zero):
    assert c.range_to_qparams(low, high) == QParams(scale, zero)


def test_pixel_table_is_exact_at_the_grid():
    params, table = c.pixel_table((0.0,), (1 / 255,))
    assert params == QParams(1.0, -128)
    assert table[0].tolist() == list(range(-128, 128))


def test_observe():
    topology = every_op()
    network = float_network(topology)
    x = torch.randn(6, 3, 18, 18, generator=torch.Generator().manual_seed(0))
    found = c.observe(network, lambda: x.split(4))
    assert set(found) == {node.name for node in topology.nodes[:-1]}
    y = network.compute(topology["stem"], {"input": x})
    assert found["stem"].high == y.max().item()
    assert found["stem"].low == 0
    assert found["stem"].counts.sum() == y.numel()


def test_observe_holds_what_is_still_read(monkeypatch):
    topology = every_op()
    network, held = float_network(topology), {}
    compute = network.compute
    monkeypatch.setattr(network, "compute", lambda node, tensors: (
        held.setdefault(node.name, set(tensors)), compute(node, tensors))[1])
    c.observe(network, lambda: [torch.ones(1, 3, 18, 18)])
    assert held["conv2"] == {"conv1", "short"}
    assert held["fc1"] == {"pool2"}


def test_observe_not_finite():
    network = float_network(every_op())
    network.layer("conv1").weight.data[0] = float("nan")
    with pytest.raises(ValueError, match=r"^layer 'conv1': activations are not finite$"):
        c.observe(network, lambda: [torch.ones(1, 3, 18, 18)])


def test_observe_nothing():
    with pytest.raises(ValueError, match="at least one image"):
        c.observe(float_network(every_op()), lambda: [])


def run(hist, method, **options):
    topology = every_op()
    histograms = {node.name: hist for node in topology.nodes}
    return c.calibrate(topology, histograms, method=method, **options)["conv3"]


def squared_error(hist, params):
    x = hist.centers
    q = np.clip(np.rint(x / params.scale) + params.zero_point, -128, 127)
    return (hist.counts * ((q - params.zero_point) * params.scale - x) ** 2).sum()


@pytest.mark.parametrize(("hist", "tail"), [(LONG_TAIL, True), (SIGNED, False)])
def test_methods(hist, tail):
    found = {method: run(hist, method) for method in c.CALIBRATIONS}
    assert found["max"] == c.range_to_qparams(hist.low, hist.high)
    for method in ("percentile", "entropy", "mse"):
        assert (found[method].scale < found["max"].scale) or not tail
    errors = {method: squared_error(hist, params) for method, params in found.items()}
    assert errors["mse"] <= 1.01 * min(errors.values())


def test_percentile():
    wide, narrow = (run(LONG_TAIL, "percentile", percentile=p) for p in (99.999, 99.9))
    assert narrow.scale < wide.scale
    total = LONG_TAIL.counts.sum()
    kept = LONG_TAIL.counts[LONG_TAIL.centers < 255 * narrow.scale].sum() / total
    assert abs(kept - 0.999) < 1e-3
    assert run(LONG_TAIL, "percentile", percentile=100) == run(LONG_TAIL, "max")


def test_max_pooling_keeps_its_inputs_quantization():
    topology = every_op()
    network = float_network(topology)
    x = torch.randn(2, 3, 18, 18, generator=torch.Generator().manual_seed(0))
    params = c.calibrate(topology, c.observe(network, lambda: [x]), method="mse")
    assert params["pool1"] == params["stem"]
    assert params["stem"].zero_point == -128
    assert "fc2" not in params


@pytest.mark.parametrize(("options", "message"), [
    ({"method": "guess"}, "calibration must be one of max, percentile, entropy, mse, not 'guess'"),
    ({"method": "percentile", "percentile": 30.0}, "percentile must be above 50 .* not 30.0")])
def test_refused(options, message):
    with pytest.raises(ValueError, match=message):
        c.calibrate(every_op(), {}, **options)
