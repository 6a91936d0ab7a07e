"""The fake-quantized network: a float simulation of the quantized one.

Weights and activations are rounded to their grids but kept as reals, and scales are not yet
rounded to multipliers and shifts. What it differs from the golden model by is the cost of going to
integers.
"""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models import formats
from models.floatnet import add_residual
from models.layer import QParams
from models.network import INPUT, Network, Node
from models.rounding import round_weights

__all__ = ["FakeQuantized", "affine_weights"]


def affine_weights(weights: np.ndarray, *, fmt: str, rounding: str) -> np.ndarray:
    """Weights after the paper's affine quantization of a whole tensor (its equations 1 to 3):
    s = (max − min) / 255, q = round(w / s) + z, level two on q − z. For comparison only: the
    hardware takes symmetric weights.

    Parameters
    ----------
    weights : array
        Real weights, batch norm folded in.
    fmt, rounding : :class:`str`
        Weight format and level-two rounding.

    Returns
    -------
    array
        Real values of the quantized weights, of the same shape.
    """
    low, high = min(float(weights.min()), 0.0), max(float(weights.max()), 0.0)
    if low == high:
        return np.zeros_like(weights)
    scale = (high - low) / 255
    zero = np.rint(-128 - low / scale)
    q = np.clip(np.rint(weights / scale) + zero, -128, 127) - zero
    return round_weights(q, formats.get(fmt), rounding=rounding) * scale


class FakeQuantized(nn.Module):
    """Fake-quantized twin of an artefact.

    Parameters
    ----------
    network : :class:`Network`
        Gives the quantization of all activations.
    folded : dict or None
        Float weights and biases, batch norm folded in (:func:`models.quantize.fold`), from which
        :func:`affine_weights` makes the weights anew. By default they are the artefact's.
    affine_rounding : :class:`str`
        Level-two rounding for that.
    """

    def __init__(self, network: Network,
                 folded: dict[str, tuple[np.ndarray, np.ndarray]] | None = None, *,
                 affine_rounding: str = "nearest") -> None:
        super().__init__()
        self.network = network
        self._weights: dict[str, Tensor] = {}
        self._bias: dict[str, Tensor] = {}
        for node in network.topology.weighted:
            layer = network.layers[node.name]
            if folded is None:
                assert layer.weight_scale is not None and layer.bias is not None
                scale, x = np.array(layer.weight_scale), network.output(node.input)
                sums = layer.weights.reshape(len(scale), -1).sum(1, dtype=np.int64)
                bias = (layer.bias + x.zero_point * sums) * x.scale * scale
                weights = (layer.weights.T * scale).T
            else:
                weights, bias = folded[node.name]
                weights = affine_weights(weights, fmt=layer.format or "",
                                         rounding=affine_rounding)
            self._weights[node.name] = torch.from_numpy(weights).float()
            self._bias[node.name] = torch.from_numpy(bias).float()

    @staticmethod
    def quantized(x: Tensor, params: QParams) -> Tensor:
        """The nearest representable reals."""
        q = torch.round(x / params.scale).add_(params.zero_point).clamp_(-128, 127)
        return q.sub_(params.zero_point).mul_(params.scale)

    def compute(self, node: Node, tensors: dict[str, Tensor]) -> Tensor:
        """Output of one layer, real values on the grid of its quantization; logits are not
        rounded."""
        x = tensors[node.input]
        if node.op == "maxpool":
            return F.max_pool2d(x, node.kernel, node.stride, node.padding)
        if node.op == "avgpool":
            y = F.avg_pool2d(x, node.kernel, node.stride)
        elif node.op == "fc":
            y = F.linear(x.flatten(1), self._weights[node.name],
                         self._bias[node.name])[:, :, None, None]
        else:
            y = F.conv2d(x, self._weights[node.name], self._bias[node.name], node.stride,
                         node.padding)
        if node.residual is not None:
            y = add_residual(y, tensors[node.residual.tensor], node)
        if node.relu:
            y = F.relu(y)
        params = self.network.layers[node.name].output
        return y if params is None else self.quantized(y, params)

    def run(self, x: Tensor) -> dict[str, Tensor]:
        """Outputs of all layers for normalized images, float32 [N, C, H, W], by layer name."""
        tensors = {INPUT: self.quantized(x, self.network.input)}
        for node in self.network.topology.order:
            tensors[node.name] = self.compute(node, tensors)
        return tensors

    def forward(self, x: Tensor) -> Tensor:
        """Logits, shape [N, classes], of normalized images."""
        return self.run(x)[self.network.topology.nodes[-1].name].flatten(1)
