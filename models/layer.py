"""The numbers of one layer, and the checks that they belong to it."""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from models import formats
from models.topology import Node

__all__ = ["Layer", "QParams", "check_qparams", "check_requantization", "check_weights", "expect",
           "expect_array"]


@dataclass(frozen=True)
class QParams:
    """Affine quantization of an activation tensor: real = scale · (q − zero_point), q an int8."""

    scale: float
    zero_point: int


@dataclass(frozen=True)
class Layer:
    """The numbers of one layer of the graph. Equations: DESIGN.md, section 3.

    Parameters
    ----------
    format : :class:`str` or None
        Weight format; None for pooling, as are ``codes``, ``bias`` and ``weight_scale``.
    codes : array
        Codes of the weights, shape :attr:`Node.weight_shape`, int8 or uint8, one a byte.
    weight_scale : tuple of float
        Real value of one unit of the weight grid, for each output channel.
    bias : array
        b', shape [out], int32. The input's zero point is folded in.
    output : :class:`QParams` or None
        Quantization of the output; None for the logits, which stay accumulators, as are the
        three below.
    multiplier : array
        m, uint16: shape [out], or [1] for average pooling; None for max pooling too.
    shift : :class:`int`
        n, at least 1.
    residual_multiplier, residual_shift : :class:`int`
        m_r and k; zero without a residual.
    """

    format: str | None = None
    codes: np.ndarray | None = None
    weight_scale: tuple[float, ...] | None = None
    bias: np.ndarray | None = None
    output: QParams | None = None
    multiplier: np.ndarray | None = None
    shift: int = 0
    residual_multiplier: int = 0
    residual_shift: int = 0

    @cached_property
    def weights(self) -> np.ndarray:
        """Integer weights, in the shape of the codes, int16."""
        assert self.format is not None and self.codes is not None
        return formats.get(self.format).decode(self.codes)

    @cached_property
    def magnitude(self) -> np.ndarray:
        """Σ|w| of every output channel, shape [out], int64."""
        return np.abs(self.weights.astype(np.int64)).reshape(len(self.weights), -1).sum(1)

    def accumulator_bits(self, *, with_bias: bool = True) -> int:
        """Width of a signed accumulator that no input and no order of summation overflows, from
        128·Σ|w| + |b'|, in bits."""
        bound = 128 * self.magnitude
        if with_bias:
            assert self.bias is not None
            bound = bound + np.abs(self.bias.astype(np.int64))
        return int(bound.max()).bit_length() + 1


def expect(condition: bool, where: str, name: str, expected: str, found: Any) -> None:
    if not condition:
        raise ValueError(f"{where}: {name}: expected {expected}, found {found}")


def expect_array(where: str, name: str, array: Any, dtype: Any, shape: tuple[int, ...]) -> None:
    found = "nothing" if array is None else f"{array.dtype} {list(array.shape)}"
    expect(array is not None and array.dtype == dtype and array.shape == shape, where, name,
            f"{np.dtype(dtype)} {list(shape)}", found)


def check_qparams(where: str, params: QParams | None) -> None:
    assert params is not None
    expect(math.isfinite(params.scale) and params.scale > 0, where, "scale",
            "a positive number", params.scale)
    expect(-128 <= params.zero_point <= 127, where, "zero_point", "-128 to 127",
            params.zero_point)


def check_weights(where: str, node: Node, layer: Layer) -> None:
    if not node.weighted:
        for name in ("format", "codes", "bias", "weight_scale"):
            expect(getattr(layer, name) is None, where, name, "nothing for pooling", "a value")
        return
    expect(layer.format in formats.FORMATS, where, "format",
            f"one of {', '.join(formats.FORMATS)}", layer.format)
    fmt = formats.get(layer.format or "")
    expect_array(where, "codes", layer.codes, fmt.code_dtype, node.weight_shape)
    try:
        layer.weights  # noqa: B018  decoding refuses illegal codes
    except ValueError as error:
        raise ValueError(f"{where}: codes: {error}") from None
    expect_array(where, "bias", layer.bias, np.int32, (node.out_channels,))
    scales = layer.weight_scale
    expect(scales is not None and len(scales) == node.out_channels
            and all(math.isfinite(s) and s > 0 for s in scales), where, "weight_scale",
            f"{node.out_channels} positive numbers", None if scales is None else len(scales))
    bits = layer.accumulator_bits()
    expect(bits <= 32, where, "codes and bias", "accumulators of at most 32 bits", bits)


def check_requantization(where: str, node: Node, layer: Layer) -> None:
    if node.op == "maxpool":
        expect(layer.multiplier is None, where, "multiplier", "nothing for max pooling", "values")
        return
    expect_array(where, "multiplier", layer.multiplier, np.uint16,
           (node.out_channels if node.weighted else 1,))
    expect(1 <= layer.shift <= 46, where, "shift", "1 to 46", layer.shift)
    expect((layer.residual_multiplier > 0) == (node.residual is not None)
            and 0 <= layer.residual_multiplier < 1 << 16, where, "residual_multiplier",
            "1 to 65535 with a residual, else 0", layer.residual_multiplier)
    expect(0 <= layer.residual_shift <= 30, where, "residual_shift", "0 to 30",
            layer.residual_shift)
