"""The golden model against DESIGN.md's equations, computed here once more, one pixel at a time, in
Python integers."""

import numpy as np
import pytest
import torch
from networks import every_op, make_quantizer, random_pixels

from models import resnet
from models.golden import GoldenNetwork
from models.layer import Layer, QParams
from models.network import INPUT, Network, Node, Topology
from models.quantize import assign


def clamp(value):
    return max(-128, min(127, value))


def reference(network, pixels):
    """Activations of all layers of one image, [C, H, W], as lists of Python integers in arrays."""
    topology = network.topology
    table = network.table.astype(object)
    tensors = {INPUT: np.array([[[table[c][p] for p in row] for row in plane]
                                for c, plane in enumerate(pixels)], object)}
    for node in topology.order:
        x, layer = tensors[node.input], network.layers[node.name]
        zero = network.output(node.input).zero_point
        channels, height, width = topology.shapes[node.name]
        y = np.zeros((channels, height, width), object)
        weights = layer.weights.astype(object) if node.weighted else None
        for c, i, j in np.ndindex(channels, height, width):
            if node.op == "fc":
                window = list(x.reshape(-1))
                acc = sum(q * w for q, w in zip(window, weights[c], strict=True))
                acc += int(layer.bias[c])
            else:
                rows = [i * node.stride - node.padding + d for d in range(node.kernel)]
                columns = [j * node.stride - node.padding + d for d in range(node.kernel)]
                inside = [(r, s) for r in rows for s in columns
                          if 0 <= r < x.shape[1] and 0 <= s < x.shape[2]]
                if node.op == "maxpool":
                    y[c, i, j] = max(x[c, r, s] for r, s in inside)
                    continue
                if node.op == "avgpool":
                    acc = sum(x[c, r, s] for r, s in inside) - node.kernel ** 2 * zero
                else:
                    acc = int(layer.bias[c])
                    for d, r in enumerate(rows):
                        for e, s in enumerate(columns):
                            for k in range(x.shape[0]):
                                q = x[k, r, s] if (r, s) in inside else zero
                                acc += q * weights[c, k, d, e]
            if layer.output is None:
                y[c, i, j] = acc
                continue
            r = 0
            if node.residual is not None:
                source = tensors[node.residual.tensor]
                k = c - node.residual.offset
                if 0 <= k < source.shape[0]:
                    q = source[k, i * node.residual.stride, j * node.residual.stride]
                    z = network.output(node.residual.tensor).zero_point
                    r = ((q - z) * layer.residual_multiplier) << layer.residual_shift
            m = int(layer.multiplier[c if len(layer.multiplier) > 1 else 0])
            rounded = (acc * m + r + (1 << (layer.shift - 1))) >> layer.shift
            y[c, i, j] = clamp(layer.output.zero_point + rounded)
        tensors[node.name] = y
    return tensors


@pytest.mark.parametrize("shortcut", ["conv", "zero"])
@pytest.mark.parametrize(("scheme", "fmt", "critical"), [
    ("quant8", "pot5", ()), ("doubleq", "pot5", ()), ("doubleq", "pot3", ()),
    ("doubleqext", "pot4", ("conv1", "conv3"))])
def test_every_layer(shortcut, scheme, fmt, critical):
    topology = every_op(shortcut=shortcut)
    quantizer = make_quantizer(topology)
    network = quantizer.network(assign(topology, scheme=scheme, fmt=fmt, critical=critical),
                                scheme=scheme)
    pixels = random_pixels(topology.input_shape, images=2, seed=3)
    names = [INPUT, *(node.name for node in topology.nodes)]
    golden = GoldenNetwork(network).run(pixels, keep=names)
    for image in range(2):
        expected = reference(network, pixels[image])
        for name in names:
            assert golden[name][image].long().tolist() == expected[name].tolist(), name


def test_batches_and_single_images_agree():
    topology = resnet.build("resnet8")
    network = make_quantizer(topology).network(assign(topology, scheme="doubleq"), scheme="doubleq")
    pixels = random_pixels(topology.input_shape, images=5)
    golden = GoldenNetwork(network)
    together = golden.logits(pixels, batch=4)
    assert together.dtype == np.int32
    assert (together == np.concatenate([golden.logits(image[None]) for image in pixels])).all()


@pytest.mark.parametrize("taps", [1023, 1040])
def test_exact_beyond_float32(taps):
    """Sums up to and over 2**24: the latter are computed in float64."""
    topology = Topology("wide", (taps, 1, 1), (Node("fc", "fc", INPUT, taps, 2),))
    codes = np.full((2, taps), 127, np.int8)
    codes[1, 0] = 126
    layer = Layer(format="int8", codes=codes, weight_scale=(1.0, 1.0),
                  bias=np.array([1, -1], np.int32))
    table = np.full((taps, 256), -128, np.int8)
    table[:, 1] = 127
    network = Network(topology, "quant8", {"fc": layer}, QParams(1.0, 0), table)
    pixels = np.zeros((1, taps, 1, 1), np.uint8)
    assert GoldenNetwork(network).logits(pixels).tolist() == [
        [-128 * 127 * taps + 1, -128 * (127 * taps - 1) - 1]]
    pixels[0, ::2] = 1
    expected = [int(sum((127 if i % 2 == 0 else -128) * int(w) for i, w in enumerate(row))) + b
                for row, b in zip(codes, (1, -1), strict=True)]
    assert GoldenNetwork(network).logits(pixels).tolist() == [expected]


def test_shared_tensors():
    topology = every_op()
    quantizer = make_quantizer(topology)
    network = quantizer.network(assign(topology, scheme="doubleq"), scheme="doubleq")
    first = GoldenNetwork(network)
    second = GoldenNetwork(network, like=first)
    assert all(second._weights[name] is weights for name, weights in first._weights.items())


def test_never_calls_a_float_quantizer(monkeypatch):
    topology = every_op()
    network = make_quantizer(topology).network(assign(topology, scheme="quant8"), scheme="quant8")
    for name in ("round", "quantize_per_tensor", "fake_quantize_per_tensor_affine"):
        monkeypatch.setattr(torch, name, None)
    GoldenNetwork(network).logits(random_pixels(topology.input_shape, images=1))
