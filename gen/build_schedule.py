"""Builds the schedule of a network on a core, layer by layer."""

from dataclasses import replace

import numpy as np

from gen.core_parameters import CoreParameters
from gen.schedule import Operation, Schedule, Tensor
from gen.weight_rows import WeightRows, arranged
from models.network import INPUT, Network, Node

__all__ = ["make_schedule"]


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
        self.weights = WeightRows(parameters)
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

    def _requantize_rows(self, bias: np.ndarray, multiplier: np.ndarray, order: tuple[int, ...]
                         ) -> int:
        channels = self.parameters.channels
        first = sum(map(len, self.biases))
        for memory, values in [(self.biases, bias), (self.multipliers, multiplier)]:
            padded = np.zeros(-(-len(order) // channels) * channels, np.int64)
            padded[:len(order)] = values[list(order)]
            memory.append(padded.reshape(-1, channels))
        return first

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
            row = self.weights.add(fmt, arranged(weights, source, order, here), pair=pair)
            if pair:
                kernel = (kernel[0], -(-kernel[1] // 2))
            blocks = -(-len(source.order) // self.weights.wide(fmt))
            passes = parameters.array.encoding(fmt).passes
            bias = layer.bias.astype(np.int64)
        elif node.op == "avgpool":
            fmt, value, row = self.weights.add_identity(network.formats.values())
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
            halves=fmt is not None and self.weights.halves(fmt), pair=pair, interval=0)
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
        weights={name: np.concatenate(rows) for name, rows in builder.weights.stored.items()},
        biases=np.concatenate(builder.biases), multipliers=np.concatenate(builder.multipliers))
