"""Shape of an index: a signal that counts or addresses a number of things."""

from amaranth import Shape, unsigned

__all__ = ["index_shape"]


def index_shape(count: int) -> Shape:
    """Shape of a number below ``count``, at least a bit: Verilog has no signals without bits."""
    return unsigned(max(1, (count - 1).bit_length()))
