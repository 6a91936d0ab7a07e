"""Indices: numbers that count or address a number of things."""

from amaranth import Mux, Shape, Value, unsigned

__all__ = ["index_shape", "wrapped"]


def index_shape(count: int) -> Shape:
    """Shape of a number below ``count``, at least a bit: Verilog has no signals without bits."""
    return unsigned(max(1, (count - 1).bit_length()))


def wrapped(value: Value, count: int) -> Value:
    """``value mod count``, of a value below ``2 * count``."""
    width = index_shape(count).width
    if count & count - 1 == 0:
        return value[:width] if count > 1 else value[:0]
    return Mux(value < count, value, value - count)[:width]
