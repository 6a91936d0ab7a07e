"""The program of a core: one row of numbers for each layer."""

from dataclasses import dataclass

from amaranth import Shape
from amaranth.lib import data

from gen.requantizer import RequantizerRanges
from gen.schedule import Operation, Schedule

__all__ = ["Program", "make_program"]


@dataclass(frozen=True)
class Program:
    """Fields of the program, each a number for every layer.

    Parameters
    ----------
    fields : dict of list of :class:`int`
        By name.
    requantizer : :class:`RequantizerRanges`
        What they need of the requantizers.
    """

    fields: dict[str, list[int]]
    requantizer: RequantizerRanges

    @property
    def layout(self) -> data.StructLayout:
        """A row: each field as wide as its values need, and at least a bit."""
        return data.StructLayout({
            name: Shape.cast(range(min(*values, 0), max(*values, 1) + 1))
            for name, values in self.fields.items()})

    def __len__(self) -> int:
        return len(next(iter(self.fields.values())))

    def row(self, index: int) -> dict[str, int]:
        """One row, by field."""
        return {name: values[index] for name, values in self.fields.items()}


def _ranges(schedule: Schedule) -> RequantizerRanges:
    accumulators, totals, shifts, residual_shifts = [], [], [], []
    for operation in schedule.operations:
        layer = operation.layer
        rows = slice(operation.requantize_row, operation.requantize_row + operation.tiles)
        if operation.kind == "conv":
            accumulators.append(layer.accumulator_bits())
        else:
            # Of a sum of N activations less N times a zero point, in units of one weight.
            unit = int(abs(schedule.biases[rows]).max()) + 128 * 128 * max(1, operation.vectors)
            accumulators.append(unit.bit_length() + 1)
        if operation.output is None:
            continue
        product = (1 << accumulators[-1] - 1) * int(schedule.multipliers[rows].max())
        residual = 255 * layer.residual_multiplier << layer.residual_shift
        totals.append((product + residual + (1 << operation.shift - 1)).bit_length() + 1)
        shifts.append(operation.shift)
        if operation.residual is not None:
            residual_shifts.append(layer.residual_shift)
    biases = schedule.biases
    bias = max(int(biases.max()).bit_length(), int(-biases.min() - 1).bit_length(), 1) + 1
    residual_shifts = residual_shifts or [0]
    return RequantizerRanges(
        accumulator=max(accumulators), bias=bias, total=max(totals),
        shifts=range(min(shifts), max(shifts) + 1),
        residual_shifts=range(min(residual_shifts), max(residual_shifts) + 1))


def _fields(schedule: Schedule, operation: Operation, ranges: RequantizerRanges,
            formats: list[str]) -> dict[str, int]:
    parameters, banks = schedule.parameters, schedule.banks
    source, output, residual = operation.source, operation.output, operation.residual
    groups, requantizers = parameters.groups, parameters.requantizers
    start = -operation.padding[1]
    mode = None
    if operation.format is not None:
        mode = parameters.array.encoding(operation.format).mode
    fields = {
        "rows": operation.size[0],
        "column_groups": operation.column_groups,
        "tiles": operation.tiles,
        "kernel_rows": operation.kernel[0],
        "kernel_columns": operation.kernel[1],
        "blocks": operation.blocks,
        "passes": operation.passes,
        "vectors": operation.vectors,
        "interval": operation.interval,
        "in_start": source.base - operation.padding[0] * source.row,
        "in_row": source.row,
        "in_row_step": operation.stride[0] * source.row,
        "in_blocks": source.blocks,
        "in_height": source.height,
        "in_width": source.width,
        "row_start": -operation.padding[0],
        "row_step": operation.stride[0],
        "column_start": start,
        "column_step": groups * operation.stride[1],
        "column_stride": operation.stride[1],
        "tap_columns": 1 + operation.pair,
        "pair": operation.pair,
        "halves": operation.halves,
        "bank_start": start % banks,
        "column_address": start // banks * source.blocks,
        "pad": -128 if operation.kind == "maxpool" else source.zero,
        "depthwise": operation.kind != "conv",
        "maximum": operation.kind == "maxpool",
        "format": 0 if operation.format is None else formats.index(operation.format),
        "mode": mode or 0,
        "weight_row": operation.weight_row,
        "requantize_row": operation.requantize_row * (parameters.channels // requantizers),
        "shift": operation.shift - ranges.shifts[0] if output else 0,
        "logits": output is None,
        "reads_input": source.name == schedule.input.name,
    }
    if output is not None:
        fields |= {"out_start": output.base, "out_row": output.row, "out_blocks": output.blocks,
                   "zero": output.zero}
    else:
        fields |= {"out_start": 0, "out_row": 0, "out_blocks": 0, "zero": 0}
    if residual is not None and operation.node.residual is not None:
        stride = operation.node.residual.stride
        fields |= {
            "residual_tiles": -(-len(residual.order) // parameters.channels),
            "residual_start": residual.base,
            "residual_row": stride * residual.row,
            "residual_blocks": residual.blocks,
            "residual_step": groups * stride,
            "residual_stride": stride,
            "residual_zero": residual.zero,
            "residual_multiplier": operation.layer.residual_multiplier,
            "residual_shift": operation.layer.residual_shift - ranges.residual_shifts[0],
        }
    else:
        fields |= dict.fromkeys(
            ["residual_tiles", "residual_start", "residual_row", "residual_blocks",
             "residual_step", "residual_stride", "residual_zero", "residual_multiplier",
             "residual_shift"], 0)
    return {name: int(value) for name, value in fields.items()}


def make_program(schedule: Schedule) -> Program:
    """The program of a schedule."""
    ranges = _ranges(schedule)
    rows = [_fields(schedule, operation, ranges, list(schedule.weights))
            for operation in schedule.operations]
    return Program({name: [row[name] for row in rows] for name in rows[0]}, ranges)
