"""Maps layers onto an array: which activations and codes enter it, and which sums must come out.

Lanes run over the taps of one output (input channels, kernel rows, kernel columns, in C order),
slices over output channels. One output takes as many consecutive vectors as its taps fill, each as
often as the layer's weights need passes; the lanes and slices left over get zero weights.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from models import codes
from models.golden import GoldenNetwork
from models.network import Node
from rtl import RTL

__all__ = ["LayerJob", "map_layer"]


@dataclass(frozen=True)
class LayerJob:
    """Work of one layer for an array of S slices of P lanes.

    Parameters
    ----------
    layer : :class:`str`
        Name of the layer.
    mode : :class:`int` or None
        Value of the mode bit, None for arrays without.
    x : array
        int8, shape [outputs, steps, P · activations of a lane]: of each output pixel.
    w : array
        Words, int64, shape [tiles, steps, S, P], tiles being groups of S channels.
    expected : array
        Σ q·w of the golden model, int64, shape [tiles, outputs, S].
    channels : :class:`int`
        Output channels.
    pixels : array
        int64, shape [outputs]: image · height · width + row · width + column of each output.
    macs : :class:`int`
        Multiply-accumulates of the layer, without the idle lanes.
    """

    layer: str
    mode: int | None
    x: np.ndarray
    w: np.ndarray
    expected: np.ndarray
    channels: int
    pixels: np.ndarray
    macs: int

    @property
    def vectors(self) -> int:
        """Vectors that enter the array."""
        return len(self.w) * self.x.shape[0] * self.x.shape[1]

    def arrays(self) -> dict[str, np.ndarray]:
        """What the bench reads."""
        return {"x": self.x, "w": self.w, "expected": self.expected}


def _patches(golden: GoldenNetwork, node: Node, q: Tensor) -> Tensor:
    """The activations of each output: [N, outputs, taps]."""
    if node.op == "fc":
        return q.flatten(1)[:, None, :]
    zero = golden.network.output(node.input).zero_point
    padded = F.pad(q, (node.padding,) * 4, value=zero)
    return F.unfold(padded, node.kernel, stride=node.stride).transpose(1, 2)


def _encoding(node: Node, fmt: str, rtl: RTL) -> dict[str, Any]:
    encodings = rtl.sidecar["encodings"]
    if fmt not in encodings:
        raise ValueError(f"layer {node.name!r}: has {fmt} weights, {rtl.top} takes "
                         f"{', '.join(encodings)}")
    return encodings[fmt]


def map_layer(golden: GoldenNetwork, node: Node, q: Tensor, rtl: RTL, *,
              outputs: int | None = None) -> LayerJob:
    """Maps a layer with weights.

    Parameters
    ----------
    q : Tensor
        Activations that the layer reads, [N, C, H, W].
    outputs : :class:`int` or None
        At most so many output pixels, evenly spread over the images; None for all.

    Raises
    ------
    :exc:`ValueError`
        If the array cannot take the layer's format, or its accumulators are too narrow.
    """
    layer = golden.network.layers[node.name]
    assert layer.format is not None
    encoding = _encoding(node, layer.format, rtl)
    slices, lanes = rtl.parameters["slices"], rtl.parameters["lanes"]
    width = rtl.parameters["accumulator_bits"]
    needed = layer.accumulator_bits(with_bias=False)
    if needed > width:
        raise ValueError(f"layer {node.name!r}: needs accumulators of {needed} bits, {rtl.top} "
                         f"has {width}")

    patches = _patches(golden, node, q)
    sums = golden.accumulate(node, q).long().flatten(2).transpose(1, 2)  # [N, outputs, channels]
    patches, sums = patches.flatten(0, 1), sums.flatten(0, 1)
    every = np.arange(len(patches))
    chosen = every if outputs is None or outputs >= len(every) else np.unique(
        np.linspace(0, len(every) - 1, outputs).astype(int))
    x, expected = patches[torch.from_numpy(chosen)], sums[torch.from_numpy(chosen)]

    taps, channels = x.shape[1], expected.shape[1]
    wide = lanes * encoding["taps"]
    steps, tiles = -(-taps // wide), -(-channels // slices)
    weights = np.zeros((tiles * slices, steps * wide), np.int64)
    weights[:channels, :taps] = layer.weights.reshape(channels, taps)
    words = codes.get(encoding["code"]).encode(weights)  # [passes, channels, steps · lanes]
    # Words of zero add nothing: a layer whose weights need fewer passes gets fewer.
    while len(words) > 1 and not words[-1].any():
        words = words[:-1]
    passes = len(words)
    words = words.reshape(passes, tiles, slices, steps, lanes).transpose(1, 3, 0, 2, 4)
    x = F.pad(x, (0, steps * wide - taps)).reshape(-1, steps, wide)
    copies = rtl.sidecar["activations"] // encoding["taps"]
    x = x.repeat_interleave(copies, -1).repeat_interleave(passes, 1)
    expected = F.pad(expected, (0, tiles * slices - channels))
    return LayerJob(
        layer=node.name, mode=encoding["mode"],
        x=x.numpy().astype(np.int8),
        w=words.reshape(tiles, steps * passes, slices, lanes).copy(),
        expected=expected.numpy().reshape(-1, tiles, slices).transpose(1, 0, 2).copy(),
        channels=channels, pixels=chosen, macs=taps * channels * len(chosen))
