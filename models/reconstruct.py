"""Calibrated rounding: weights chosen so that a layer's output, not each weight, is approximated.

For every layer in turn, with x its inputs as the quantized network before it produces them and t
the outputs that the float network has there (less what the quantized residual will add), the
integers p, the scale s and the bias b of an output channel minimize

1. E‖s·p·x + b − t‖² = (s·p − w*) H (s·p − w*)ᵀ + const,  b = E t − s·p·E x,

with H = cov(x) + λI and w* the least-squares weights, drawn to the float ones as far as what they
gain on one half of the images does not hold on the other. This is second order and uses no labels.
The steps are those of :mod:`models.solve`.

Where an image has few output pixels and most of the error arises, in the last convolutions, H is
instead each channel's own second-order matrix of the logits' error (:mod:`models.curvature`).
"""

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from models import formats
from models.curvature import DIRECTIONS, Curvature, gradients
from models.evaluate import Pixels, normalized
from models.floatnet import FloatNetwork, add_residual
from models.golden import GoldenNetwork
from models.layer import QParams
from models.network import INPUT, Node, Topology
from models.quantize import Quantizer
from models.solve import Moments, least_squares, solve

__all__ = ["affordable", "held_bytes", "reconstruct"]

BATCH = 50
# Bytes of tensors held: 800 images of ResNet-34 at 224×224, 16,000 of ResNet-20.
MEMORY = 4_000_000_000
PIXELS = 256
# Layers of at most so many output pixels, and matrices of so many bytes, weigh what reaches the
# logits; with fewer gradients a tap they would follow the images' noise.
CURVED_PIXELS = 64
CURVED_BYTES = 100_000_000
CURVED_SAMPLES = 8


def _sampled(shape: tuple[int, int, int], rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Rows and columns of at most :data:`PIXELS` output pixels of an image."""
    _, height, width = shape
    chosen = np.sort(rng.permutation(height * width)[:PIXELS])
    rows, columns = np.divmod(chosen, width)
    return torch.from_numpy(rows), torch.from_numpy(columns)


def _observations(node: Node, q: Tensor, params: QParams, rows: Tensor, columns: Tensor) -> Tensor:
    """Real inputs of output pixels, [pixels, taps], taps in the order kernel row, kernel column,
    input channel."""
    x = (q.float() - params.zero_point) * params.scale
    if node.op == "fc":
        return x.flatten(1)
    x = F.pad(x, (node.padding,) * 4)
    width = x.shape[3]
    x = x.permute(0, 2, 3, 1).flatten(1, 2).contiguous()
    start = rows * node.stride * width + columns * node.stride
    return torch.cat([x[:, start + (i * width + j)] for i in range(node.kernel)
                      for j in range(node.kernel)], dim=2).flatten(0, 1)


def _storage_order(node: Node) -> np.ndarray:
    """Taps in the order in which weights are kept (input channel, kernel row, kernel column), by
    their place among those of :func:`_observations`."""
    if node.op == "fc":
        return np.arange(node.in_channels)
    taps = np.arange(node.kernel ** 2 * node.in_channels)
    return taps.reshape(node.kernel ** 2, node.in_channels).T.reshape(-1)


def _in_storage_order(moments: Moments, node: Node) -> Moments:
    """Moments with the taps as weights are kept."""
    order = _storage_order(node)
    return Moments(moments.gram[np.ix_(order, order)], moments.cross[:, order], moments.x[order],
                   moments.t, moments.count)


class _Tensors:
    """The tensors of all calibration images that are still read: real ones of the float network,
    int8 ones of the quantized network, by layer and batch."""

    def __init__(self, float_network: FloatNetwork, golden: GoldenNetwork, quantizer: Quantizer,
                 pixels: Pixels, count: int) -> None:
        self.float_network, self.quantizer = float_network, quantizer
        self.real: dict[str, list[Tensor]] = {INPUT: []}
        self.q: dict[str, list[Tensor]] = {INPUT: []}
        for start in range(0, count, BATCH):
            part = pixels[start:min(start + BATCH, count)]
            self.real[INPUT].append(normalized(part, quantizer.mean, quantizer.std))
            self.q[INPUT].append(golden.input(part).to(torch.int8))
        self.batches = len(self.q[INPUT])

    def targets(self, node: Node, batch: int) -> Tensor:
        """Output of the float layer before its rectifier, which goes into :attr:`real`."""
        y = self.float_network.compute(
            replace(node, relu=False), {name: self.real[name][batch] for name in node.reads})
        self.real.setdefault(node.name, []).append(F.relu(y) if node.relu else y)
        return y

    def moments(self, node: Node, rng: np.random.Generator) -> tuple[Moments, Moments]:
        """Moments of a layer with weights over one half of the images, and over the other."""
        rows, columns = _sampled(self.float_network.topology.shapes[node.name], rng)
        taps = math.prod(node.weight_shape[1:])
        halves = [Moments.empty(taps, node.out_channels) for _ in range(2)]
        for batch in range(self.batches):
            t = self.targets(node, batch)
            if node.residual is not None:
                params = self.quantizer.qparams(node.residual.tensor)
                r = self.q[node.residual.tensor][batch].float() - params.zero_point
                t = t - add_residual(torch.zeros_like(t), r * params.scale, node)
            x = _observations(node, self.q[node.input][batch], self.quantizer.qparams(node.input),
                              rows, columns)
            middle = len(t) // 2 * len(rows)
            t = t[:, :, rows, columns].transpose(1, 2).flatten(0, 1)
            halves[0].add(x[:middle], t[:middle])
            halves[1].add(x[middle:], t[middle:])
        first, second = (_in_storage_order(half, node) for half in halves)
        return first, second

    def curvature(self, node: Node, weights: np.ndarray, moments: Moments,
                  rng: np.random.Generator) -> Curvature | None:
        """Curvature at the outputs of ``weights``; None if the layer is too large, or the images
        too few."""
        _, height, width = self.float_network.topology.shapes[node.name]
        taps = weights[0].size
        samples = DIRECTIONS * sum(map(len, self.q[node.input]))
        if (node.op == "fc" or height * width > CURVED_PIXELS or samples < CURVED_SAMPLES * taps
                or len(weights) * taps ** 2 * torch.float32.itemsize > CURVED_BYTES):
            return None
        _, _, mean_x, mean_t = moments.centered()
        bias = torch.from_numpy(mean_t - weights.reshape(len(weights), -1) @ mean_x).float()
        kernel = torch.from_numpy(weights).float()
        order = _storage_order(node)
        rows, columns = (torch.from_numpy(places) for places in np.divmod(
            np.arange(height * width), width))
        found = Curvature(torch.from_numpy(mean_x).float(), len(weights))
        for batch in range(self.batches):
            real = {}
            for name, parts in self.q.items():
                params = self.quantizer.qparams(name)
                real[name] = (parts[batch].float() - params.zero_point) * params.scale
            y = F.conv2d(real[node.input], kernel, bias, node.stride, node.padding)
            if node.residual is not None:
                y = add_residual(y, real[node.residual.tensor], node)
            x = _observations(node, self.q[node.input][batch], self.quantizer.qparams(node.input),
                              rows, columns)
            found.add(gradients(self.float_network, node, y, real, rng).flatten(3), x[:, order])
        return found

    def advance(self, node: Node, golden: GoldenNetwork) -> None:
        """Computes the quantized layer and forgets the tensors that nothing reads any more."""
        self.q[node.name] = [golden.compute(node, {
            name: self.q[name][batch].float() for name in node.reads}).to(torch.int8)
            for batch in range(self.batches)]
        for name in self.float_network.topology.released[node.name]:
            del self.q[name], self.real[name]


def held_bytes(topology: Topology) -> int:
    """The most that :func:`reconstruct` holds of one image's tensors at a time, in bytes."""
    held, most = {INPUT}, 0
    for node in topology.order[:-1]:
        held.add(node.name)
        most = max(most, sum(math.prod(topology.shapes[name]) for name in held))
        held -= set(topology.released[node.name])
    return most * (torch.float32.itemsize + torch.int8.itemsize)


def affordable(topology: Topology, count: int) -> int:
    """As many of ``count`` images as :func:`reconstruct` can hold in :data:`MEMORY`; at least
    one."""
    return min(count, max(1, MEMORY // held_bytes(topology)))


@torch.no_grad()
def reconstruct(float_network: FloatNetwork, quantizer: Quantizer, pixels: Pixels, count: int,
                assigned: dict[str, str], *, alternatives: tuple[str, ...] = (),
                progress: Callable[[float], None] = lambda share: None) -> Quantizer:
    """``quantizer`` with calibrated integers for every layer in its format of ``assigned``.

    Layers are taken in order of computation, each on what the quantized layers before it make of
    the images. The tensors of all images that a later layer still reads are held at a time:
    :func:`held_bytes` of each.

    Parameters
    ----------
    float_network : :class:`FloatNetwork`
        In evaluation mode.
    quantizer : :class:`Quantizer`
        Gives the quantization of activations, which stays as it is.
    pixels : array
        Calibration images, uint8, of which the first ``count`` are used; never labels.
    assigned : dict
        Format of every layer that has weights.
    alternatives : tuple of :class:`str`
        Formats that every convolution is solved for, too, on the same inputs.
    progress : callable
        Told the share of the layers that is done.
    """
    topology = float_network.topology
    rng = np.random.default_rng(0)
    network = quantizer.network(assigned, scheme="doubleqext")
    golden = GoldenNetwork(network)
    tensors = _Tensors(float_network, golden, quantizer, pixels, count)
    order = topology.order
    for step, node in enumerate(order):
        if node.weighted:
            halves = tensors.moments(node, rng)
            best = least_squares(halves, quantizer.folded[node.name][0])
            moments = halves[0] + halves[1]
            curvature = tensors.curvature(node, best, moments, rng)
            wanted = {assigned[node.name], *(alternatives if node.op == "conv" else ())}
            fits = {(node.name, name): solve(
                moments, best, formats.get(name),
                per_tensor=quantizer.per_tensor or node is topology.nodes[-1],
                curvature=curvature)
                for name in sorted(wanted)}
            quantizer = replace(quantizer, fits={**quantizer.fits, **fits})
            network = quantizer.with_layer(network, node.name, assigned[node.name])
            golden = GoldenNetwork(network, like=golden)
        else:
            for batch in range(tensors.batches):
                tensors.targets(node, batch)
        if node is not order[-1]:
            tensors.advance(node, golden)
        progress((step + 1) / len(order))
    return quantizer
