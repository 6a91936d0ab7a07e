import pytest
import torch

from models import resnet
from models.floatnet import FloatNetwork
from models.topology import INPUT, Node, Residual, Topology


@pytest.mark.parametrize(("model", "conv_weights", "classes", "input_shape"), [
    ("resnet20", 270256, 10, (3, 32, 32)),
    ("resnet32", 463792, 10, (3, 32, 32)),
    ("resnet44", 657328, 10, (3, 32, 32)),
    ("resnet56", 850864, 10, (3, 32, 32)),
    ("resnet110", 1721776, 10, (3, 32, 32)),
    ("resnet18", 11166912, 1000, (3, 224, 224)),
    ("resnet34", 21267648, 1000, (3, 224, 224)),
    ("mnist", 5250, 10, (1, 28, 28)),
    ("resnet8", 76432, 10, (1, 8, 8))])
def test_sizes(model, conv_weights, classes, input_shape):
    topology = resnet.build(model)
    assert sum(node.weight_count for node in topology.convs) == conv_weights
    assert topology.classes == classes
    assert topology.input_shape == input_shape


@pytest.mark.parametrize(("model", "options"), [
    ("resnet20", {}),
    ("resnet20", {"shortcut": "zero", "width": 5, "classes": 7}),
    ("resnet32", {"input_shape": (1, 30, 30)}),
    ("resnet18", {"input_shape": (3, 64, 64), "width": 8, "classes": 11}),
    ("resnet18", {"input_shape": (3, 32, 32), "width": 4, "shortcut": "zero"}),
    ("mnist", {"classes": 3})])
def test_forward(model, options):
    topology = resnet.build(model, **options)
    logits = FloatNetwork(topology).eval()(torch.zeros(2, *topology.input_shape))
    assert logits.shape == (2, topology.classes)


def test_paper_numbering():
    """The stem is 0, then each block's convolutions, then its shortcut."""
    names = [node.name for node in resnet.build("resnet20").convs]
    assert len(names) == 21
    assert names[:3] == ["stem", "layer1.0.conv1", "layer1.0.conv2"]
    assert names[7:10] == ["layer2.0.conv1", "layer2.0.conv2", "layer2.0.shortcut"]


def test_order_follows_edges():
    order = [node.name for node in resnet.build("resnet20").order]
    assert order.index("layer2.0.shortcut") < order.index("layer2.0.conv2")


@pytest.mark.parametrize(("call", "message"), [
    (lambda: resnet.build("resnet21"), "model must be one of resnet8, .*, not 'resnet21'"),
    (lambda: resnet.build("resnet20", wide=3), "model 'resnet20' has no option wide"),
    (lambda: resnet.build("resnet20", shortcut="none"),
     "shortcut must be conv or zero, not 'none'"),
    (lambda: resnet.resnet_cifar(depth=21), r"depth must be 6n \+ 2 with n at least 1, not 21"),
    (lambda: resnet.build("resnet20", input_shape=(3, 32, 16)),
     "images must be square and at least 4 pixels, not 32x16"),
    (lambda: resnet.build("resnet18", input_shape=(3, 16, 16)),
     "images must be square and at least 32 pixels, not 16x16"),
])
def test_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


FC = Node("fc", "fc", "a", 4, 2)
A = Node("a", "conv", INPUT, 1, 4)


@pytest.mark.parametrize(("nodes", "message"), [
    ((), "at least one layer"),
    ((A, A, FC), "layer 'a': name is used twice"),
    ((A,), "layer 'a': the last layer must be an fc without relu"),
    ((Node("a", "conv", "b", 1, 4), FC), "layer 'a': reads 'b', which is not a layer"),
    ((Node("a", "conv", "a", 1, 4), FC), "layer 'a': reads its own output"),
    ((Node("a", "conv", INPUT, 2, 4), FC), "layer 'a': in_channels is 2, its input 'input' has 1"),
    ((Node("a", "swish", INPUT, 1, 4), FC), "layer 'a': op must be one of"),
    ((Node("a", "conv", INPUT, 1, 4, 3, 1, 3), FC), "layer 'a': kernel and stride must be"),
    ((Node("a", "avgpool", INPUT, 1, 1, 3, 1, 1), FC), "layer 'a': average pooling takes no pad"),
    ((Node("a", "maxpool", INPUT, 1, 4), FC), "layer 'a': out_channels is 4, expected 1"),
    ((Node("a", "conv", INPUT, 1, 4, 3), FC), "layer 'a': output shape .* is empty"),
    ((Node("a", "conv", INPUT, 1, 4, residual=Residual(INPUT, 1, 4)), FC),
     "layer 'a': residual 'input' of 1 channels at 4 .* does not fit"),
])
def test_inconsistent_topology(nodes, message):
    with pytest.raises(ValueError, match=message):
        Topology("t", (1, 1, 1), nodes)
