"""The float network of a topology, as a PyTorch module."""

from typing import cast

import torch.nn.functional as F
from torch import Tensor, nn

from models.topology import INPUT, Node, Topology

__all__ = ["FloatNetwork", "add_residual"]


def add_residual(y: Tensor, x: Tensor, node: Node) -> Tensor:
    """``y`` plus the residual of ``node``, made from the residual's tensor ``x``.

    Shapes: ``y`` [N, C, H, W]; ``x`` [N, C', H', W'] as :class:`models.topology.Residual` says.
    """
    assert node.residual is not None
    stride, offset = node.residual.stride, node.residual.offset
    x = x[:, :, ::stride, ::stride]
    if x.shape[1] == y.shape[1]:
        return y + x
    return y + F.pad(x, (0, 0, 0, 0, offset, y.shape[1] - offset - x.shape[1]))


class FloatNetwork(nn.Module):
    """A network in float32.

    ``layers`` holds, by layer name with ``_`` for ``.``, a convolution or fully connected layer,
    and in ``norms`` its batch norm.

    Parameters
    ----------
    topology : :class:`Topology`
        The graph.
    batch_norm : :class:`bool` or None
        Whether each convolution is followed by batch norm (else it has a bias). By default all
        networks but ``mnist`` are.
    """

    def __init__(self, topology: Topology, *, batch_norm: bool | None = None) -> None:
        super().__init__()
        self.topology = topology
        self.batch_norm = topology.model != "mnist" if batch_norm is None else batch_norm
        self.layers = nn.ModuleDict()
        self.norms = nn.ModuleDict()
        for node in topology.weighted:
            key = node.name.replace(".", "_")
            if node.op == "fc":
                self.layers[key] = nn.Linear(node.in_channels, node.out_channels)
            else:
                self.layers[key] = nn.Conv2d(
                    node.in_channels, node.out_channels, node.kernel, node.stride, node.padding,
                    bias=not self.batch_norm)
                if self.batch_norm:
                    self.norms[key] = nn.BatchNorm2d(node.out_channels)

    def layer(self, name: str) -> nn.Conv2d | nn.Linear:
        """The convolution or fully connected layer called ``name``."""
        return cast("nn.Conv2d | nn.Linear", self.layers[name.replace(".", "_")])

    def norm(self, name: str) -> nn.BatchNorm2d | None:
        """The batch norm after it, if any."""
        key = name.replace(".", "_")
        return cast(nn.BatchNorm2d, self.norms[key]) if key in self.norms else None

    def compute(self, node: Node, tensors: dict[str, Tensor]) -> Tensor:
        """Output of one layer, given the tensors it reads."""
        x = tensors[node.input]
        if node.op == "maxpool":
            y = F.max_pool2d(x, node.kernel, node.stride, node.padding)
        elif node.op == "avgpool":
            y = F.avg_pool2d(x, node.kernel, node.stride)
        elif node.op == "fc":
            y = self.layer(node.name)(x.flatten(1))[:, :, None, None]
        else:
            y = self.layer(node.name)(x)
            norm = self.norm(node.name)
            if norm is not None:
                y = norm(y)
        if node.residual is not None:
            y = add_residual(y, tensors[node.residual.tensor], node)
        return F.relu(y) if node.relu else y

    def forward(self, x: Tensor) -> Tensor:
        """Logits, shape [N, classes], of normalized images, shape [N, C, H, W], float32."""
        tensors = {INPUT: x}
        for node in self.topology.order:
            tensors[node.name] = self.compute(node, tensors)
            for name in self.topology.released[node.name]:
                del tensors[name]
        return tensors[node.name].flatten(1)
