from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from networks import every_op, float_network, make_quantizer, random_pixels

from benchmarks.published import MEMORY_KB
from models import resnet
from models.calibrate import calibrate, observe
from models.floatnet import FloatNetwork
from models.golden import GoldenNetwork
from models.network import INPUT, conv_bytes
from models.quantize import Quantizer, assign, fold, level_one, multiplier


def test_fold():
    """Folded weights and bias give what convolution and batch norm give."""
    network = float_network(every_op())
    x = torch.randn(2, 3, 18, 18, generator=torch.Generator().manual_seed(1))
    weights, bias = fold(network)["stem"]
    expected = network.norm("stem")(network.layer("stem")(x)).double()
    found = torch.nn.functional.conv2d(x.double(), torch.from_numpy(weights),
                                       torch.from_numpy(bias), 2, 2)
    assert torch.allclose(found, expected, atol=1e-5)


def test_level_one_per_channel():
    weights = np.array([[1.0, -2.0], [0.5, 0.25], [0.0, 1e-9]])
    q, scale = level_one(weights, np.zeros(3), input_scale=0.1, per_tensor=False)
    assert scale.tolist() == [2 / 127, 0.5 / 127, 2 / 127 / 1024]
    assert q.tolist() == [[64, -127], [127, 64], [0, 0]]


def test_level_one_per_tensor():
    q, scale = level_one(np.array([[1.0], [2.0]]), np.zeros(2), input_scale=0.1, per_tensor=True)
    assert scale.tolist() == [2 / 127] * 2
    assert q.tolist() == [[64], [127]]


def test_level_one_all_zero():
    q, scale = level_one(np.zeros((2, 3)), np.ones(2), input_scale=1.0, per_tensor=False)
    assert scale.tolist() == [1, 1]
    assert not q.any()


@pytest.mark.parametrize("per_tensor", [False, True])
def test_large_bias_raises_the_scale(per_tensor):
    """A dead channel with a large bias: |b'| stays below 2**30."""
    topology = every_op()
    quantizer = make_quantizer(topology, per_tensor=per_tensor)
    weights, bias = quantizer.folded["conv1"]
    weights[1] = 1e-9
    bias[1] = 3e6
    layer = quantizer.layer("conv1", "int8")
    assert 2**29 < abs(int(layer.bias[1])) < 2**30


@given(st.lists(st.fractions(Fraction(1, 2**30), Fraction(2**14)), min_size=1, max_size=5))
def test_multiplier(ratios):
    real = np.array([float(r) for r in ratios])
    m, shift = multiplier(real)
    assert m.dtype == np.uint16
    assert 2**15 <= m.max() < 2**16
    for value, ratio in zip(m, real, strict=True):
        assert abs(int(value) - Fraction(float(ratio)) * 2**shift) <= Fraction(1, 2)


@pytest.mark.parametrize("ratio", [2.0**-32, 2.0**16])
def test_multiplier_out_of_range(ratio):
    with pytest.raises(ValueError, match=r"^requantization ratio must be 2\^-31 to 2\^15, found"):
        multiplier(np.array([ratio]))


def test_bias_folds_the_zero_point():
    quantizer = make_quantizer(every_op())
    layer = quantizer.layer("conv2", "pot5")
    x = quantizer.activations["conv1"]
    _, bias = quantizer.folded["conv2"]
    for c in range(6):
        b = round(bias[c] / (x.scale * layer.weight_scale[c]))
        assert layer.bias[c] == b - x.zero_point * int(layer.weights[c].sum())


def test_residual_multiplier():
    """m_r·2^k / 2^n is the ratio of the scales, to 16 bits."""
    quantizer = make_quantizer(every_op())
    layer = quantizer.layer("conv2", "int8")
    ratio = quantizer.activations["short"].scale / quantizer.activations["conv2"].scale
    found = layer.residual_multiplier * 2.0**(layer.residual_shift - layer.shift)
    assert abs(found / ratio - 1) <= 2**-16
    assert 2**15 <= layer.residual_multiplier < 2**16


@pytest.mark.parametrize(("scheme", "critical", "expected"), [
    ("quant8", (), {"stem": "int8", "conv2": "int8", "fc2": "int8"}),
    ("doubleq", (), {"stem": "pot4", "conv2": "pot4", "fc2": "pot4"}),
    ("doubleqext", ("conv2",), {"stem": "pot4", "conv2": "int8", "fc2": "int8"})])
def test_assign(scheme, critical, expected):
    assigned = assign(every_op(), scheme=scheme, fmt="pot4", critical=critical)
    assert {name: assigned[name] for name in expected} == expected
    assert "pool1" not in assigned


@pytest.mark.parametrize(("options", "message"), [
    ({"scheme": "triple"}, "scheme must be one of quant8, doubleq, doubleqext, not 'triple'"),
    ({"scheme": "doubleq", "fmt": "int8"}, "takes a power-of-two format, not 'int8'"),
    ({"scheme": "doubleqext", "critical": ("fc1",)}, "must be convolutions .* not fc1"),
    ({"scheme": "doubleq", "critical": ("stem",)}, "of a doubleqext network, not stem")])
def test_assign_refused(options, message):
    with pytest.raises(ValueError, match=message):
        assign(every_op(), **options)


# Tables 3 and 4 print only the memory. These are the critical layers of ResNet-20, each set a
# part of the next as in Algorithm 1, whose memory is what they print.
ROWS = [
    ["stem", "layer1.2.conv2", "layer2.2.conv2"], ["layer3.2.conv1"], ["layer3.1.conv1"],
    ["layer3.0.conv1"], ["layer3.0.conv2", "layer3.1.conv2", "layer3.2.conv2", "layer2.1.conv1",
                         "layer3.0.shortcut"]]


def test_paper_memory_resnet20():
    topology = resnet.build("resnet20")

    def kilobytes(scheme, critical=()):
        assigned = assign(topology, scheme=scheme, critical=tuple(critical))
        return round(sum(conv_bytes(topology, assigned).values()) / 1000, 2)

    paper = MEMORY_KB["resnet20"]
    assert (kilobytes("quant8"),) == paper["quant8"] == (270.26,)
    assert (kilobytes("doubleq"),) == paper["doubleq"] == (168.91,)
    critical = []
    for expected, added in zip(paper["doubleqext"], ROWS, strict=True):
        critical += added
        assert kilobytes("doubleqext", critical) == expected


@pytest.mark.parametrize("model", ["mnist", "resnet56"])
def test_paper_memory(model):
    topology = resnet.build(model)
    for scheme in ("quant8", "doubleq"):
        [expected] = MEMORY_KB[model][scheme]
        assigned = assign(topology, scheme=scheme)
        assert round(sum(conv_bytes(topology, assigned).values()) / 1000, 2) == expected
    if model == "mnist":
        weights = sum(node.weight_count for node in topology.convs)
        assert (weights * 4 / 1000,) == MEMORY_KB[model]["float"]


@pytest.mark.parametrize("options", [
    {"model": "resnet20", "shortcut": "zero", "width": 4},
    {"model": "resnet18", "width": 4, "input_shape": (3, 64, 64)},
    {"model": "mnist"}, {"model": "resnet56", "width": 3, "input_shape": (3, 8, 8)}])
@pytest.mark.parametrize("scheme", ["quant8", "doubleq"])
def test_every_network_quantizes(options, scheme):
    topology = resnet.build(**options)
    quantizer = make_quantizer(topology)
    network = quantizer.network(assign(topology, scheme=scheme), scheme=scheme)
    pixels = random_pixels(topology.input_shape, images=1)
    assert GoldenNetwork(network).logits(pixels).shape == (1, topology.classes)


def test_dead_network():
    """All weights zero: every layer still has positive scales, and the logits are the bias."""
    topology = resnet.build("resnet8")
    network = FloatNetwork(topology).eval()
    with torch.no_grad():
        for node in topology.weighted:
            network.layer(node.name).weight.zero_()
        network.layer("fc").bias.copy_(torch.arange(10))
    activations = calibrate(topology, observe(network, lambda: [torch.zeros(1, 1, 8, 8)]),
                            method="mse")
    quantizer = Quantizer(topology, fold(network), activations, (0.0,), (1.0,))
    result = quantizer.network(assign(topology, scheme="doubleq"), scheme="doubleq")
    logits = GoldenNetwork(result).logits(random_pixels(topology.input_shape, images=2))
    assert (logits * result.logit_scale == np.arange(10)).all()


def test_input_is_exact_at_zero():
    quantizer = make_quantizer(every_op())
    network = quantizer.network(assign(every_op(), scheme="quant8"), scheme="quant8")
    params = network.output(INPUT)
    assert -128 <= params.zero_point <= 127
    for mean, std, row in zip(quantizer.mean, quantizer.std, network.table, strict=True):
        real = (np.arange(256) / 255 - mean) / std
        found = (row.astype(int) - params.zero_point) * params.scale
        assert (np.abs(found - real) <= params.scale).all()
