"""Small networks with random numbers, for the tests."""

import numpy as np
import torch

from models.calibrate import calibrate, observe
from models.evaluate import normalized
from models.floatnet import FloatNetwork
from models.network import Network
from models.quantize import Quantizer, assign, fold
from models.topology import INPUT, Node, Residual, Topology

MEAN, STD = (0.5, 0.4, 0.45), (0.25, 0.2, 0.3)


def every_op(*, shortcut: str = "conv") -> Topology:
    """A small network with every kind of layer: strided stem, both poolings, FC, both shortcuts."""
    residual = Residual("short") if shortcut == "conv" else Residual("pool1", 2, 1)
    tail = [Node("short", "conv", "pool1", 4, 6, 1, 2)] if shortcut == "conv" else []
    return Topology(f"every_op_{shortcut}", (3, 18, 18), (
        Node("stem", "conv", INPUT, 3, 4, 5, 2, 2, relu=True),
        Node("pool1", "maxpool", "stem", 4, 4, 3, 1, 1),
        Node("conv1", "conv", "pool1", 4, 5, 3, 2, 1, relu=True),
        Node("conv2", "conv", "conv1", 5, 6, 3, 1, 1, relu=True, residual=residual),
        *tail,
        Node("conv3", "conv", "conv2", 6, 6, 3, 1, 1, residual=Residual("conv2")),
        Node("pool2", "avgpool", "conv3", 6, 6, 2, 2),
        Node("fc1", "fc", "pool2", 24, 8, relu=True),
        Node("fc2", "fc", "fc1", 8, 5)))


def float_network(topology: Topology, *, seed: int = 0) -> FloatNetwork:
    """A float network with random weights and batch norm statistics, in evaluation mode."""
    generator = torch.Generator().manual_seed(seed)
    network = FloatNetwork(topology).eval()
    for name, value in network.state_dict().items():
        if name.startswith("norms") and value.ndim:
            value.copy_(torch.rand(value.shape, generator=generator) * 0.8
                        + (0.4 if "weight" in name or "var" in name else -0.4))
        elif value.is_floating_point():
            value.copy_(torch.randn(value.shape, generator=generator) * 0.2)
    return network


def random_pixels(shape: tuple[int, ...], *, images: int, seed: int = 0) -> np.ndarray:
    """Random images, uint8 [N, C, H, W]."""
    return np.random.default_rng(seed).integers(0, 256, (images, *shape), dtype=np.uint8)


def make_quantizer(topology: Topology, **options: object) -> Quantizer:
    """A quantizer of random weights, calibrated on random images."""
    network = float_network(topology)
    channels = topology.input_shape[0]
    mean, std = MEAN[:channels], STD[:channels]
    x = normalized(random_pixels(topology.input_shape, images=4), mean, std)
    activations = calibrate(topology, observe(network, lambda: [x]), method="max")
    return Quantizer(topology, fold(network), activations, mean, std,
                     **options)  # type: ignore[arg-type]


def make_networks(topology: Topology, critical: dict[str, tuple[str, ...]]) -> dict[str, Network]:
    """An artefact of random weights for each scheme, with these layers critical."""
    quantizer = make_quantizer(topology)
    return {scheme: quantizer.network(
        assign(topology, scheme=scheme, critical=names), scheme=scheme)
        for scheme, names in critical.items()}


def trained_like(topology: Topology, *, seed: int = 0) -> FloatNetwork:
    """A float network whose activations stay in range at any depth: weights of He et al.,
    *Delving Deep into Rectifiers*, and the batch norm statistics of random images."""
    generator = torch.Generator().manual_seed(seed)
    network = FloatNetwork(topology)
    for node in topology.weighted:
        weight = network.layer(node.name).weight
        torch.nn.init.kaiming_normal_(weight, generator=generator)
        norm = network.norm(node.name)
        if norm is not None:
            norm.momentum = 1.0
    channels = topology.input_shape[0]
    with torch.no_grad():
        network.train()(normalized(random_pixels(topology.input_shape, images=8, seed=seed + 1),
                                   MEAN[:channels], STD[:channels]))
    return network.eval()
