"""What errors of a layer's weights do to the logits.

With f the float network after a layer and v a random direction of the logits, an error e of the
layer's output y moves the logits along v by Σ g·e over channels and pixels, g = ∂(v·f(y)) / ∂y.
Errors of the pixels of an image add up or cancel in this sum, and where a rectifier is off they do
not count. An error d of channel o's weights is e = d·x at each pixel, so that what reaches the
logits is, in the mean square (Gauss–Newton), in proportion to d Gₒ dᵀ,

1. Gₒ = E h hᵀ / E Σ gₒ²,  h = Σ gₒ·(x − E x) over the pixels of an image.

In these units Gₒ would be cov(x) if errors of different pixels were independent. Since a channel's
estimate is noisy, the second-order matrix taken is

2. Hₒ = COVARIANCE·cov(x) + LAYER·G + CHANNEL·Gₒ,  G the mean of Gₒ, weighted with E Σ gₒ².
"""

from functools import cached_property

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from models.floatnet import FloatNetwork
from models.network import Node

__all__ = ["DIRECTIONS", "Curvature", "gradients"]

COVARIANCE, LAYER, CHANNEL = 0.1, 0.5, 0.4
# Of the logits, for each image.
DIRECTIONS = 4


def gradients(float_network: FloatNetwork, node: Node, y: Tensor, tensors: dict[str, Tensor],
              rng: np.random.Generator) -> Tensor:
    """g along random directions, [N, :data:`DIRECTIONS`, C, H, W]. Directions are independent
    signs less their mean, since a constant added to all logits changes nothing.

    Parameters
    ----------
    y : Tensor
        Output of ``node`` before its rectifier, [N, C, H, W].
    tensors : dict of Tensor
        Whatever else later layers read, real values.
    """
    order = float_network.topology.order
    with torch.enable_grad():
        y = y.detach().requires_grad_()
        live = {**tensors, node.name: F.relu(y) if node.relu else y}
        for later in order[order.index(node) + 1:]:
            live[later.name] = float_network.compute(later, live)
        logits = live[order[-1].name].flatten(1)
        signs = rng.choice([-1.0, 1.0], (DIRECTIONS, *logits.shape))
        directions = torch.from_numpy(signs - signs.mean(2, keepdims=True)).float()
        return torch.stack([torch.autograd.grad((logits * v).sum(), y, retain_graph=True)[0]
                            for v in directions], dim=1)


class Curvature:
    """Sums that make up the matrices of equation 1.

    Parameters
    ----------
    mean : Tensor
        E x, float32 [taps].
    out : :class:`int`
        Output channels.
    """

    def __init__(self, mean: Tensor, out: int) -> None:
        self._mean = mean
        self._sums = torch.zeros(out, len(mean), len(mean))
        self._sizes = np.zeros(out)

    def add(self, g: Tensor, x: Tensor) -> None:
        """Adds images: g [N, directions, out, pixels], x [N·pixels, taps]."""
        h = torch.matmul(g, (x.unflatten(0, (len(g), -1)) - self._mean)[:, None]).flatten(0, 1)
        self._sums.baddbmm_(h.permute(1, 2, 0), h.transpose(0, 1))
        self._sizes += (g.double() ** 2).sum((0, 1, 3)).numpy()

    def hessian(self, channel: int, covariance: np.ndarray) -> np.ndarray:
        """Equation 2, float64 [taps, taps]; ``covariance`` if the logits do not depend on the
        channel."""
        if self._sizes[channel] == 0:
            return covariance
        return (COVARIANCE * covariance + LAYER * self._layer
                + CHANNEL * self._sums[channel].double().numpy() / self._sizes[channel])

    @cached_property
    def _layer(self) -> np.ndarray:
        return self._sums.sum(0, dtype=torch.float64).numpy() / self._sizes.sum()
