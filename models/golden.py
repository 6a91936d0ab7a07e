"""The golden model: what the hardware must compute, in integers.

Equations (DESIGN.md, section 3; all values are integers, >> is an arithmetic shift):

1. *Input.* q = table[channel][pixel].
2. *Convolution, fully connected.* acc = Σ q_x·w + b'; outside the image q_x = z_x.
3. *Residual.* r = ((q_r − z_r)·m_r) << k; zero in channels that the residual does not reach.
4. *Requantize.* y = clamp(z_y + ((acc·m + r + 2^(n−1)) >> n), −128, 127).
5. *Max pooling.* y = max q_x; outside the image never wins.
6. *Average pooling.* acc = Σ q_x − N·z_x over the N pixels of the window, then (4).
7. *Logits.* acc of the last layer.

Sums of (2) run in float32 where 128·Σ|w| < 2^24 in every channel, so that each partial sum is an
integer that float32 holds exactly, and in float64 elsewhere; (3), (4) and the bias are int64.
"""

from collections.abc import Callable, Iterable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from models.network import INPUT, Layer, Network, Node

__all__ = ["GoldenNetwork"]


class GoldenNetwork:
    """Computes a quantized network exactly.

    Activations are held as integers in float32 tensors, ready for the next convolution.

    Parameters
    ----------
    network : :class:`Network`
        The artefact.
    like : :class:`GoldenNetwork` or None
        Another one, whose tensors are shared where the layers are the same objects.
    """

    def __init__(self, network: Network, *, like: "GoldenNetwork | None" = None) -> None:
        self.network = network
        self._table = torch.from_numpy(network.table.astype(np.float32))
        self._weights: dict[str, Tensor] = {}
        for node in network.topology.weighted:
            layer = network.layers[node.name]
            if like is not None and like.network.layers.get(node.name) is layer:
                self._weights[node.name] = like._weights[node.name]
                continue
            exact = 128 * int(layer.magnitude.max()) < 1 << 24
            self._weights[node.name] = torch.from_numpy(
                layer.weights.astype(np.float32 if exact else np.float64))

    def input(self, pixels: np.ndarray) -> Tensor:
        """Equation 1: uint8 pixels [N, C, H, W] to activations of the same shape."""
        index = torch.from_numpy(pixels.astype(np.int64))
        channels = torch.arange(index.shape[1])[:, None, None]
        return self._table[channels, index]

    def accumulate(self, node: Node, q: Tensor) -> Tensor:
        """Σ q·w without bias (equation 2), as whole numbers in a float tensor.

        Parameters
        ----------
        q : Tensor
            Activations that the layer reads, [N, C, H, W].

        Returns
        -------
        Tensor
            Shape [N, out, H', W'], float32 or float64; exact.
        """
        weights = self._weights[node.name]
        q = q.to(weights.dtype)
        if node.op == "fc":
            return F.linear(q.flatten(1), weights)[:, :, None, None]
        if node.padding:
            q = F.pad(q, (node.padding,) * 4, value=self.network.output(node.input).zero_point)
        return F.conv2d(q, weights, stride=node.stride)

    def accumulators(self, node: Node, q: Tensor) -> Tensor:
        """acc of equations 2 and 6, int64, shape [N, out, H', W']."""
        if node.op == "avgpool":
            zero = self.network.output(node.input).zero_point
            total = F.avg_pool2d(q.double(), node.kernel, node.stride, divisor_override=1)
            return total.long() - node.kernel ** 2 * zero
        bias = self.network.layers[node.name].bias
        assert bias is not None
        return self.accumulate(node, q).long().add_(torch.from_numpy(bias)[:, None, None])

    def _requantize(self, node: Node, layer: Layer, acc: Tensor, residual: Tensor | None) -> Tensor:
        """Equations 3 and 4; ``acc`` is overwritten."""
        assert layer.output is not None and layer.multiplier is not None
        acc.mul_(torch.from_numpy(layer.multiplier.astype(np.int64))[:, None, None])
        if residual is not None:
            assert node.residual is not None
            zero = self.network.output(node.residual.tensor).zero_point
            stride, offset = node.residual.stride, node.residual.offset
            r = residual[:, :, ::stride, ::stride].long().sub_(zero)
            r.mul_(layer.residual_multiplier << layer.residual_shift)
            acc[:, offset:offset + r.shape[1]] += r
        acc.add_(1 << (layer.shift - 1)).bitwise_right_shift_(layer.shift)
        return acc.add_(layer.output.zero_point).clamp_(-128, 127).float()

    def compute(self, node: Node, tensors: dict[str, Tensor]) -> Tensor:
        """Output of one layer: activations, or int64 logits of shape [N, classes, 1, 1] for the
        last one.

        Parameters
        ----------
        tensors : dict of Tensor
            The activations that the layer reads, by name.
        """
        q = tensors[node.input]
        if node.op == "maxpool":
            return F.max_pool2d(q, node.kernel, node.stride, node.padding)
        acc = self.accumulators(node, q)
        layer = self.network.layers[node.name]
        if layer.output is None:
            return acc
        residual = None if node.residual is None else tensors[node.residual.tensor]
        return self._requantize(node, layer, acc, residual)

    def run(self, pixels: np.ndarray, *, keep: Iterable[str] = ()) -> dict[str, Tensor]:
        """Computes a batch.

        Parameters
        ----------
        pixels : array
            uint8, shape [N, C, H, W].
        keep : iterable of :class:`str`
            Layers whose outputs are wanted, :data:`INPUT` for the network's.

        Returns
        -------
        dict of Tensor
            The wanted activations, and under the name of the last layer the int64 logits.
        """
        kept = set(keep)
        topology = self.network.topology
        tensors = {INPUT: self.input(pixels)}
        for node in topology.order:
            tensors[node.name] = self.compute(node, tensors)
            for name in set(topology.released[node.name]) - kept:
                del tensors[name]
        return tensors

    @torch.inference_mode()
    def logits(self, pixels: np.ndarray, *, batch: int = 32,
               progress: Callable[[int], None] | None = None) -> np.ndarray:
        """Logits of any number of images, computed ``batch`` at a time so that the intermediate
        tensors stay in the processor's caches.

        Parameters
        ----------
        pixels : array
            uint8, shape [N, C, H, W].
        progress : callable
            Told the number of images after each batch.

        Returns
        -------
        array
            int32, shape [N, classes].
        """
        last = self.network.topology.nodes[-1].name
        parts = []
        for start in range(0, len(pixels), batch):
            part = pixels[start:start + batch]
            parts.append(self.run(part)[last].flatten(1).to(torch.int32).numpy())
            if progress is not None:
                progress(len(part))
        return np.concatenate(parts)
