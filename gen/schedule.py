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
from dataclasses import dataclass, replace

import numpy as np

from gen.core_parameters import CoreParameters
from models import formats
from models.network import INPUT, Layer, Network, Node

__all__ = ["Operation", "Schedule", "Tensor", "make_schedule"]


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


class _Memory:
    """Places tensors: the lowest addresses that nothing alive occupies."""

    def __init__(self, reserved: int) -> None:
        self.reserved = self.depth = reserved
        self.alive: dict[str, tuple[int, int]] = {}

    def place(self, name: str, size: int) -> int:
        base = self.reserved
        for start, length in sorted(self.alive.values()):
            if base + size <= start:
                break
            base = max(base, start + length)
        self.alive[name] = base, size
        self.depth = max(self.depth, base + size)
        return base

    def release(self, names: tuple[str, ...]) -> None:
        for name in names:
            self.alive.pop(name, None)


def _refuse(node: Node, reason: str) -> ValueError:
    return ValueError(f"layer {node.name!r}: {reason}")


def _order(network: Network, node: Node, tensors: dict[str, Tensor]) -> tuple[int, ...]:
    """Channels in the order in which the output of ``node`` is stored."""
    if not node.weighted:
        return tensors[node.input].order
    if node.residual is None:
        return tuple(range(node.out_channels))
    reached = [channel + node.residual.offset
               for channel in tensors[node.residual.tensor].order]
    return (*reached, *(c for c in range(node.out_channels) if c not in set(reached)))


def _arranged(weights: np.ndarray, source: Tensor, order: tuple[int, ...], packed: int
              ) -> np.ndarray:
    """Weights [out, in, rows, columns] with channels in the order of the memory: [places of the
    output, rows, columns, places of the input]; of a packed input, one column."""
    weights = weights[list(order)]
    if packed > 1:
        out, _, rows, _ = weights.shape
        return weights.transpose(0, 2, 3, 1).reshape(out, rows, 1, -1)
    return weights[:, list(source.order)].transpose(0, 2, 3, 1)


class _Builder:
    """Builds a schedule layer by layer."""

    def __init__(self, network: Network, parameters: CoreParameters, latency: int) -> None:
        self.network, self.parameters, self.latency = network, parameters, latency
        topology = network.topology
        strides = [stride for node in topology.nodes if topology.shapes[node.name][2] > 1
                   for stride in (node.stride, node.residual.stride if node.residual else 1)]
        # Neighbouring columns of all groups lie in different banks, and so does the one after a
        # pair's.
        widest = max(1 << (max(strides, default=1) - 1).bit_length(), parameters.activations)
        alone = parameters.groups == 1 and parameters.activations == 1
        self.banks = 1 if alone else parameters.groups * widest
        self.weights: dict[str, list[np.ndarray]] = {}
        self.biases: list[np.ndarray] = []
        self.multipliers: list[np.ndarray] = []
        self.tensors: dict[str, Tensor] = {}
        self.operations: list[Operation] = []

    def _tensor(self, name: str, order: tuple[int, ...], height: int, width: int, zero: int
                ) -> Tensor:
        blocks = -(-len(order) // self.parameters.wide)
        columns = -(-width // self.banks)
        base = self.memory.place(name, height * columns * blocks)
        return Tensor(name, order, height, width, blocks, columns, base, zero)

    def input(self) -> int:
        """Places the input; gives the columns that a word packs."""
        topology, wide = self.network.topology, self.parameters.wide
        readers = [node for node in topology.nodes if INPUT in node.reads]
        channels, height, width = topology.input_shape
        packed = 1
        self.memory = _Memory(0)
        if len(readers) == 1 and readers[0].op == "conv" and readers[0].input == INPUT:
            node = readers[0]
            if -(-channels * node.kernel // wide) < node.kernel * -(-channels // wide):
                packed, width = node.kernel, topology.shapes[node.name][2]
        elif any(node.op == "maxpool" or node.residual for node in readers):
            raise _refuse(readers[0], "the input of a network must be read by convolutions or "
                                      "fully connected layers")
        self.tensors[INPUT] = self._tensor(INPUT, tuple(range(channels * packed)), height, width,
                                           self.network.input.zero_point)
        self.memory.reserved = self.tensors[INPUT].size
        del self.memory.alive[INPUT]
        return packed

    def _weight_rows(self, fmt: str, arranged: np.ndarray, *, pair: bool) -> int:
        """Stores arranged weights; gives their first row."""
        channels, wide, lanes = self.parameters.channels, self._wide(fmt), self.parameters.lanes
        out, rows, columns, places = arranged.shape
        steps = (rows, -(-columns // 2), 2) if pair else (rows, columns, -(-places // wide))
        tiles = -(-out // channels)
        padded = np.zeros((tiles * channels, rows, steps[1] * 2 if pair else columns,
                           lanes if pair else steps[2] * wide), np.int64)
        padded[:out, :, :columns, :places] = arranged
        vectors = math.prod(steps) // (2 if pair else 1)
        cut = self._in_lanes(fmt, padded.reshape(tiles, channels, vectors, wide))
        return self._store(fmt, cut.transpose(0, 2, 1, 3).reshape(-1, channels, wide))

    def _in_lanes(self, fmt: str, vectors: np.ndarray) -> np.ndarray:
        """Weights of vectors [..., activations] in the order of the lanes' words, each of which
        takes one from every part of a vector."""
        taps = self.parameters.taps(fmt)
        parts = vectors.reshape(*vectors.shape[:-1], taps, self.parameters.lanes)
        return np.swapaxes(parts, -1, -2).reshape(vectors.shape)

    def _store(self, fmt: str, values: np.ndarray) -> int:
        memory = self.weights.setdefault(fmt, [])
        first = sum(map(len, memory))
        memory.append(formats.get(fmt).encode(values))
        return first

    def _wide(self, fmt: str) -> int:
        return self.parameters.lanes * self.parameters.taps(fmt)

    def _requantize_rows(self, bias: np.ndarray, multiplier: np.ndarray, order: tuple[int, ...]
                         ) -> int:
        channels = self.parameters.channels
        first = sum(map(len, self.biases))
        for memory, values in [(self.biases, bias), (self.multipliers, multiplier)]:
            padded = np.zeros(-(-len(order) // channels) * channels, np.int64)
            padded[:len(order)] = values[list(order)]
            memory.append(padded.reshape(-1, channels))
        return first

    def _identity(self) -> tuple[str, int, int]:
        """Format, weight and first row of weights that give each lane to a channel of its own, for
        each part of a word that is a tile."""
        parameters = self.parameters
        fmt = min(self.network.formats.values(), key=lambda name: (
            formats.get(name).values[formats.get(name).values > 0].min(), name))
        value = int(formats.get(fmt).values[formats.get(fmt).values > 0].min())
        unit = value * np.eye(parameters.wide, dtype=np.int64)
        if self._halves(fmt):
            unit = unit.reshape(2, parameters.lanes, 2, parameters.lanes).sum(2)
        rows = unit.reshape(-1, parameters.channels, self._wide(fmt))
        return fmt, value, self._store(fmt, self._in_lanes(fmt, rows))

    def _halves(self, fmt: str) -> bool:
        """Whether weights of a format come one a lane where activations come two."""
        return self.parameters.taps(fmt) < self.parameters.activations

    def _interval(self, vectors: int, residual: bool) -> int:
        parameters = self.parameters
        least = parameters.channels // parameters.requantizers
        return max(vectors + residual, least, self.latency - 1 if residual else 0)

    def add(self, node: Node, packed: int) -> None:
        """Schedules a layer."""
        network, parameters = self.network, self.parameters
        topology, layer = network.topology, network.layers[node.name]
        source = self.tensors[node.input]
        order = _order(network, node, self.tensors)
        _, height, width = topology.shapes[node.name]
        kernel, stride, padding = ((node.kernel,) * 2, (node.stride,) * 2, (node.padding,) * 2)
        residual = self.tensors[node.residual.tensor] if node.residual else None
        multiplier, shift, passes, fmt = layer.multiplier, layer.shift, 1, layer.format
        pair = False
        blocks, tiles = source.blocks, -(-len(order) // parameters.channels)
        row = 0
        if node.weighted:
            assert fmt is not None and layer.bias is not None
            weights = layer.weights.astype(np.int64)
            if node.op == "fc":
                kernel = (source.height, source.width)
                padding = (0, 0)
                weights = weights.reshape(-1, len(source.order), *kernel)
            here = packed if node.input == INPUT else 1
            if here > 1:
                kernel, stride, padding = (kernel[0], 1), (stride[0], 1), (padding[0], 0)
            pair = (parameters.taps(fmt) == 2 and kernel[1] > 1
                    and len(source.order) <= parameters.lanes)
            row = self._weight_rows(fmt, _arranged(weights, source, order, here), pair=pair)
            if pair:
                kernel = (kernel[0], -(-kernel[1] // 2))
            blocks = -(-len(source.order) // self._wide(fmt))
            passes = parameters.array.encoding(fmt).passes
            bias = layer.bias.astype(np.int64)
        elif node.op == "avgpool":
            fmt, value, row = self._identity()
            assert multiplier is not None
            bias = np.full(len(order), -value * node.kernel ** 2 * source.zero)
            multiplier = np.full(len(order), int(multiplier[0]))
            shift += value.bit_length() - 1
            passes, blocks = parameters.array.encoding(fmt).passes, 1
        else:
            bias = np.full(len(order), -source.zero)
            multiplier, shift, blocks = np.full(len(order), 1 << 15), 15, 1
        if multiplier is None:
            multiplier = np.zeros(len(order))
        output = None
        if node is not topology.nodes[-1]:
            output = self._tensor(node.name, order, height, width,
                                  network.output(node.name).zero_point)
            self.tensors[node.name] = output
        operation = Operation(
            node=node, layer=layer, kind="conv" if node.weighted else node.op, source=source,
            output=output, residual=residual, kernel=kernel, stride=stride, padding=padding,
            size=(height, width), column_groups=-(-width // parameters.groups), tiles=tiles,
            blocks=blocks, passes=passes, weight_row=row, format=fmt, shift=shift,
            requantize_row=self._requantize_rows(bias, multiplier.astype(np.int64), order),
            halves=fmt is not None and self._halves(fmt), pair=pair, interval=0)
        interval = self._interval(operation.vectors, residual is not None)
        self.operations.append(replace(operation, interval=interval))
        self.memory.release(topology.released[node.name])


def make_schedule(network: Network, parameters: CoreParameters, *, latency: int) -> Schedule:
    """Schedules a network.

    Parameters
    ----------
    latency : :class:`int`
        Cycles of an array, from a vector to its sums.

    Raises
    ------
    :exc:`ValueError`
        If a layer cannot be mapped: its name and why.
    """
    for node in network.topology.weighted:
        try:
            parameters.array.encoding(network.layers[node.name].format or "")
        except ValueError as error:
            raise _refuse(node, str(error)) from None
        needed = network.layers[node.name].accumulator_bits(with_bias=False)
        if needed > parameters.array.accumulator_bits:
            raise _refuse(node, f"needs accumulators of {needed} bits, the core has "
                                f"{parameters.array.accumulator_bits}")
    builder = _Builder(network, parameters, latency)
    packed = builder.input()
    for node in network.topology.order:
        builder.add(node, packed)
    return Schedule(
        network=network, parameters=parameters, operations=tuple(builder.operations),
        input=builder.tensors[INPUT], packed=packed, banks=builder.banks,
        depth=builder.memory.depth,
        weights={name: np.concatenate(rows) for name, rows in builder.weights.items()},
        biases=np.concatenate(builder.biases), multipliers=np.concatenate(builder.multipliers))
