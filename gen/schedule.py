"""The schedule of a network on a core: program, tiling, memory map, and the cycles it takes.

*Words.* The activation memory holds words of :attr:`CoreParameters.wide` activations: channels of
one pixel. A tensor of ``C × H × W`` has ``blocks`` words a pixel; column *x* lies in bank
``x mod banks``, at address ``base + (y · columns + x div banks) · blocks + block`` there. Lanes
that have no channel hold the tensor's zero point, or anything where no tile reaches them: they only
ever meet weights of zero.

*Layers* run one after the other. A layer is computed in *sets*: :attr:`CoreParameters.groups`
neighbouring pixels of a row, by :attr:`CoreParameters.channels` output channels (a *tile*). A set
takes one *vector* for each row and column of the kernel and block of the input. Loops from the
outermost: rows, groups of columns, tiles, kernel rows, kernel columns, blocks, passes. Where the
output has a residual, one more read fetches it. Sets begin ``interval`` cycles apart, so that the
next one never overtakes the requantizers.

*The input* is packed while it is received, where that takes fewer vectors: a word then holds the
pixels under one row of the kernel of its reader, and the kernel has one column.

*Lanes of two activations* take the two halves of a word, as one activation each of a lane. Where
weights come one a lane, a vector is half a word, a block half of one, and each activation is given
twice. Where all channels lie in the lower half, a vector is that half of two neighbouring columns
instead (a *pair*), and the kernel has half as many.

*Average pooling* runs on the array as well: each channel is multiplied with one weight, the
smallest of a format; the multipliers of the layer make up for its value. *Max pooling* has a unit
of its own.

*Orders.* A zero-padding shortcut adds channel *c* to channel *c + offset*. The channels of such a
sum are stored in an order in which both have the same place, and the weights of whatever writes or
reads it are arranged accordingly.
"""

import math
from dataclasses import dataclass

import numpy as np

from gen.core_parameters import CoreParameters
from models import formats
from models.network import Layer, Network, Node

__all__ = ["Operation", "Schedule", "Tensor"]


@dataclass(frozen=True)
class Tensor:
    """Where a tensor lies in the activation memory.

    Parameters
    ----------
    name : :class:`str`
        The layer that makes it.
    order : tuple of :class:`int`
        Channel at each place of a pixel's words; the places after the last hold no channel.
    height, width : :class:`int`
        Pixels.
    blocks : :class:`int`
        Words a pixel.
    columns : :class:`int`
        Pixels of a row in each bank.
    base : :class:`int`
        First address in each bank.
    zero : :class:`int`
        Zero point.
    """

    name: str
    order: tuple[int, ...]
    height: int
    width: int
    blocks: int
    columns: int
    base: int
    zero: int

    @property
    def row(self) -> int:
        """Addresses from a row to the next."""
        return self.columns * self.blocks

    @property
    def size(self) -> int:
        """Addresses in each bank."""
        return self.height * self.row


@dataclass(frozen=True)
class Operation:
    """One layer as the core runs it.

    Parameters
    ----------
    node, layer
        The layer.
    kind : :class:`str`
        ``conv`` (also ``fc``), ``avgpool`` or ``maxpool``.
    source, output, residual : :class:`Tensor` or None
        Tensors; no output for the logits.
    kernel, stride, padding : pairs of :class:`int`
        Rows and columns; where the input is packed, not those of ``node``.
    size : pair of :class:`int`
        Rows and columns of the output.
    tiles, blocks, passes : :class:`int`
        Tiles of output channels, blocks of input words, and passes of the weights.
    weight_row, requantize_row : :class:`int`
        First row of its weights in the memory of its format, and of its biases and multipliers.
    halves, pair : :class:`bool`
        Whether a vector is half a word, or half of each of two columns.
    format : :class:`str` or None
        Of its weights, None for max pooling.
    interval : :class:`int`
        Cycles from set to set.
    shift : :class:`int`
        n of the requantization.
    """

    node: Node
    layer: Layer
    kind: str
    source: Tensor
    output: Tensor | None
    residual: Tensor | None
    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int]
    size: tuple[int, int]
    column_groups: int
    tiles: int
    blocks: int
    passes: int
    weight_row: int
    requantize_row: int
    halves: bool
    pair: bool
    format: str | None
    interval: int
    shift: int

    @property
    def vectors(self) -> int:
        """Vectors of a set."""
        return math.prod(self.kernel) * self.blocks * self.passes

    @property
    def sets(self) -> int:
        """Sets of the layer."""
        return self.size[0] * self.column_groups * self.tiles


@dataclass(frozen=True)
class Schedule:
    """What a core does for one image.

    Parameters
    ----------
    network : :class:`Network`
        The artefact.
    parameters : :class:`CoreParameters`
        The core.
    operations : tuple of :class:`Operation`
        The layers, in order of computation.
    input : :class:`Tensor`
        The packed input. No other tensor overlaps it, so that the next image can be received.
    packed : :class:`int`
        Columns under the kernel that the words of the input hold: 1 if it is not packed.
    depth : :class:`int`
        Addresses of each bank of the activation memory.
    weights : dict of array
        By format, the codes in the weight memory: [rows, channels, weights of a channel].
    biases, multipliers : array
        int64, [rows, channels].
    """

    network: Network
    parameters: CoreParameters
    operations: tuple[Operation, ...]
    input: Tensor
    packed: int
    banks: int
    depth: int
    weights: dict[str, np.ndarray]
    biases: np.ndarray
    multipliers: np.ndarray

    @property
    def weight_bits(self) -> int:
        """Bits of the weight memories, width times depth."""
        return sum(codes.size * formats.get(name).bits for name, codes in self.weights.items())

    @property
    def activation_bits(self) -> int:
        """Bits of the activation memory, width times depth."""
        return self.banks * self.depth * self.parameters.wide * 8

    @property
    def macs(self) -> int:
        """Multiply-accumulates of the network for an image."""
        topology = self.network.topology
        return sum(topology.macs(node.name) for node in topology.weighted)
