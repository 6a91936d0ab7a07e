"""From a float network to an artefact. Equations: DESIGN.md, section 3."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from models import formats
from models.calibrate import pixel_table
from models.floatnet import FloatNetwork
from models.formats import WeightFormat
from models.layer import Layer, QParams
from models.network import INPUT, SCHEMES, Network, Node, Topology
from models.rounding import round_weights

__all__ = ["Fit", "Quantizer", "assign", "fold", "level_one", "multiplier"]

BIAS_LIMIT = 1 << 30
DEAD_CHANNEL = 1024


def fold(network: FloatNetwork) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Weights and bias of every layer that has them, batch norm folded in; float64.

    W' = W·γ/√(var + ε), b' = β + (b − mean)·γ/√(var + ε).
    """
    folded = {}
    for node in network.topology.weighted:
        layer, norm = network.layer(node.name), network.norm(node.name)
        weights = layer.weight.detach().double().numpy()
        bias = (np.zeros(len(weights)) if layer.bias is None
                else layer.bias.detach().double().numpy())
        if norm is not None:
            assert norm.running_var is not None and norm.running_mean is not None
            gain = (norm.weight.detach().double()
                    / (norm.running_var.double() + norm.eps).sqrt()).numpy()
            weights = weights * gain[:, None, None, None]
            bias = norm.bias.detach().double().numpy() + (
                bias - norm.running_mean.double().numpy()) * gain
        folded[node.name] = weights, bias
    return folded


def level_one(weights: np.ndarray, bias: np.ndarray, *, input_scale: float, per_tensor: bool
              ) -> tuple[np.ndarray, np.ndarray]:
    """Symmetric 8-bit weights.

    Parameters
    ----------
    weights, bias : array
        Folded, float64, shapes [out, …] and [out].
    input_scale : :class:`float`
        s_x; the bias must fit the accumulator in units of s_x·s_w.
    per_tensor : :class:`bool`
        One scale for all channels instead of one each.

    Returns
    -------
    tuple
        q, int16, −127 to 127, and s_w, float64 [out].
    """
    rows = weights.reshape(len(weights), -1)
    largest = np.abs(rows).max(1)
    if not largest.any():
        return np.zeros(weights.shape, np.int16), np.ones(len(weights))
    scale = np.full(len(rows), largest.max()) / 127 if per_tensor else largest / 127
    scale = np.maximum(scale, scale.max() / DEAD_CHANNEL)
    # What is left of the limit once z_x·Σw is folded in, |z_x| and |w| being at most 128.
    room = BIAS_LIMIT - 128 * 128 * rows.shape[1] - 1
    needed = np.abs(bias) / (input_scale * room)
    scale = np.maximum(scale, needed.max() if per_tensor else needed)
    q = np.clip(np.rint(rows / scale[:, None]), -127, 127)
    return q.reshape(weights.shape).astype(np.int16), scale


def multiplier(ratios: np.ndarray) -> tuple[np.ndarray, int]:
    """m and n of the requantizer for real ratios s_x·s_w / s_y: n is such that the largest
    m = round(ratio·2^n) is at least 2^15 and below 2^16.

    Raises
    ------
    :exc:`ValueError`
        If no n from 1 to 46 will do.
    """
    for shift in range(46, 0, -1):
        m = np.rint(np.ldexp(ratios, shift))
        if m.max() < 1 << 16:
            if m.max() < 1 << 15:
                break
            return m.astype(np.uint16), shift
    raise ValueError(f"requantization ratio must be 2^-31 to 2^15, found {ratios.max():.3g}")


def _residual_multiplier(ratio: float, shift: int) -> tuple[int, int]:
    """m_r and k with m_r·2^k ≈ ratio·2^shift and m_r as precise as 16 bits allow.

    Raises
    ------
    :exc:`ValueError`
        If the residual vanishes or is too large.
    """
    scaled = ratio * 2.0 ** shift
    k = max(0, int(np.floor(np.log2(scaled))) - 15)
    m = int(np.rint(scaled / 2 ** k))
    if m == 1 << 16:
        m, k = 1 << 15, k + 1
    if m < 1 or k > 30:
        raise ValueError(f"residual scale is {ratio:.3g} of the output's, out of range")
    return m, k


def assign(topology: Topology, *, scheme: str, fmt: str = "pot5",
           critical: tuple[str, ...] = ()) -> dict[str, str]:
    """Weight format of every layer that has weights.

    Parameters
    ----------
    scheme : :class:`str`
        ``quant8``: all int8; ``doubleq``: all ``fmt``; ``doubleqext``: convolutions ``fmt`` but
        for the ``critical`` ones, fully connected layers int8.
    fmt : :class:`str`
        A power-of-two format.
    critical : tuple of :class:`str`
        Names of the convolutions that stay int8.

    Raises
    ------
    :exc:`ValueError`
        If a name is not known, or ``critical`` is given to another scheme.
    """
    if scheme not in SCHEMES:
        raise ValueError(f"scheme must be one of {', '.join(SCHEMES)}, not {scheme!r}")
    if not formats.get(fmt).power_of_two:
        raise ValueError(f"scheme {scheme} takes a power-of-two format, not {fmt!r}")
    unknown = set(critical) - {node.name for node in topology.convs}
    if unknown or (critical and scheme != "doubleqext"):
        raise ValueError(f"critical layers must be convolutions of a doubleqext network, not "
                         f"{', '.join(sorted(unknown or set(critical)))}")
    if scheme == "quant8":
        return {node.name: "int8" for node in topology.weighted}
    return {node.name: "int8" if scheme == "doubleqext" and (
                node.op == "fc" or node.name in critical) else fmt for node in topology.weighted}


@dataclass(frozen=True)
class Fit:
    """What the integers of a layer are made from.

    Parameters
    ----------
    values : array
        Weights on the integer grid, int16, of the shape of the layer's weights.
    scale : array
        Real value of a unit of the grid, float64 [out].
    bias : array
        Real bias, float64 [out].
    """

    values: np.ndarray
    scale: np.ndarray
    bias: np.ndarray


@dataclass(frozen=True)
class Quantizer:
    """Quantizes one float network, whose activations are calibrated, in any assignment of formats.

    Parameters
    ----------
    topology : :class:`Topology`
        The graph.
    folded : dict
        Of :func:`fold`.
    activations : dict of :class:`QParams`
        Of every layer but the last (:func:`models.calibrate.calibrate`).
    mean, std : tuple of :class:`float`
        Normalization of pixels / 255, for each channel.
    rounding : :class:`str`
        Level two, one of :data:`models.rounding.ROUNDINGS`.
    per_tensor : :class:`bool`
        One weight scale a layer instead of one an output channel.
    fits : mapping of :class:`Fit`
        By layer and format: integers that were chosen otherwise (:mod:`models.reconstruct`).
    """

    topology: Topology
    folded: dict[str, tuple[np.ndarray, np.ndarray]]
    activations: dict[str, QParams]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    rounding: str = "nearest"
    per_tensor: bool = False
    fits: Mapping[tuple[str, str], Fit] = field(default_factory=dict)

    def qparams(self, tensor: str) -> QParams:
        """Quantization of a tensor."""
        if tensor == INPUT:
            return pixel_table(self.mean, self.std)[0]
        return self.activations[tensor]

    def layer(self, name: str, fmt: str | None) -> Layer:
        """The integers of one layer in weight format ``fmt`` (None for pooling).

        Raises
        ------
        :exc:`ValueError`
            If scales are out of what the requantizer can do. The message names the layer.
        """
        node = self.topology[name]
        last = node is self.topology.nodes[-1]
        x, y = self.qparams(node.input), None if last else self.qparams(name)
        try:
            if node.op == "maxpool":
                return Layer(output=x)
            if fmt is None:
                assert y is not None
                m, shift = multiplier(np.array([x.scale / (node.kernel ** 2 * y.scale)]))
                return Layer(output=y, multiplier=m, shift=shift)
            return self._weighted(node, formats.get(fmt), x, y)
        except ValueError as error:
            raise ValueError(f"layer {name!r}: {error}") from None

    def _rounded(self, node: Node, fmt: WeightFormat) -> Fit:
        """Level one, then level two, each weight on its own."""
        weights, bias = self.folded[node.name]
        q, scale = level_one(weights, bias, input_scale=self.qparams(node.input).scale,
                             per_tensor=self.per_tensor or node is self.topology.nodes[-1])
        return Fit(round_weights(q, fmt, rounding=self.rounding), scale, bias)

    def _weighted(self, node: Node, fmt: WeightFormat, x: QParams, y: QParams | None) -> Layer:
        fit = self.fits.get((node.name, fmt.name)) or self._rounded(node, fmt)
        values, scale, bias = fit.values, fit.scale, fit.bias
        sums = values.reshape(len(values), -1).sum(1, dtype=np.int64)
        folded_bias = np.rint(bias / (x.scale * scale)).astype(np.int64) - x.zero_point * sums
        fields: dict[str, Any] = {
            "format": fmt.name, "codes": fmt.encode(values), "output": y,
            "weight_scale": tuple(scale.tolist()), "bias": folded_bias.astype(np.int32)}
        if y is not None:
            fields["multiplier"], fields["shift"] = multiplier(x.scale * scale / y.scale)
            if node.residual is not None:
                ratio = self.qparams(node.residual.tensor).scale / y.scale
                fields["residual_multiplier"], fields["residual_shift"] = _residual_multiplier(
                    ratio, fields["shift"])
        return Layer(**fields)

    def with_layer(self, network: Network, name: str, fmt: str) -> Network:
        """``network`` with one layer in weight format ``fmt``."""
        return replace(network, layers={**network.layers, name: self.layer(name, fmt)})

    def network(self, assigned: dict[str, str], *, scheme: str,
                about: dict[str, Any] | None = None) -> Network:
        """The artefact with the formats ``assigned`` to the layers (:func:`assign`)."""
        params, table = pixel_table(self.mean, self.std)
        layers = {node.name: self.layer(node.name, assigned.get(node.name))
                  for node in self.topology.nodes}
        return Network(self.topology, scheme, layers, params, table, about or {})
