"""Calibration: the scale and zero point of each activation tensor, from unlabelled images."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import torch

from models.floatnet import FloatNetwork
from models.layer import QParams
from models.topology import INPUT, Topology

__all__ = ["CALIBRATIONS", "Histogram", "calibrate", "observe", "pixel_table", "range_to_qparams"]

CALIBRATIONS = ("max", "percentile", "entropy", "mse")
BINS = 4096
LEVELS = 256


@dataclass
class Histogram:
    """Distribution of a tensor's values.

    Parameters
    ----------
    low, high : :class:`float`
        Smallest and largest value seen.
    counts : array
        Float64, shape [bins]: values in equal intervals from ``low`` to ``high``.
    """

    low: float
    high: float
    counts: np.ndarray

    @property
    def centers(self) -> np.ndarray:
        """Middle of each interval."""
        step = (self.high - self.low) / len(self.counts)
        return self.low + step * (np.arange(len(self.counts)) + 0.5)

    def quantile(self, fraction: float) -> float:
        """The value that ``fraction`` of all values do not exceed, to the width of an interval."""
        total = np.cumsum(self.counts)
        index = int(np.searchsorted(total, fraction * total[-1]))
        return self.low + (self.high - self.low) * min(index + 1, len(total)) / len(total)


def range_to_qparams(low: float, high: float) -> QParams:
    """Quantization of the real interval [``low``, ``high``], widened to hold zero, which becomes
    exactly representable; an empty interval gets scale 1.

    scale = (high − low) / 255, zero point = round(−128 − low / scale), half to even.
    """
    low, high = min(low, 0.0), max(high, 0.0)
    if high == low:
        return QParams(1.0, -128)
    scale = (high - low) / (LEVELS - 1)
    return QParams(scale, int(np.clip(np.rint(-128 - low / scale), -128, 127)))


def pixel_table(mean: Iterable[float], std: Iterable[float]) -> tuple[QParams, np.ndarray]:
    """Quantization of the network's input and its table, for pixels normalized as
    (pixel / 255 − mean) / std.

    Returns
    -------
    tuple
        The quantization, which covers all pixels of all channels, and q as int8 [channels, 256].
    """
    real = np.stack([(np.arange(256) / 255 - m) / s for m, s in zip(mean, std, strict=True)])
    params = range_to_qparams(float(real.min()), float(real.max()))
    q = np.rint(real / params.scale) + params.zero_point
    return params, np.clip(q, -128, 127).astype(np.int8)


@torch.inference_mode()
def observe(network: FloatNetwork, batches: Callable[[], Iterable[torch.Tensor]]
            ) -> dict[str, Histogram]:
    """Histograms of the outputs of all layers but the last, in two passes over the images.

    Parameters
    ----------
    network : :class:`FloatNetwork`
        In evaluation mode.
    batches : callable
        Gives, each time it is called, the same normalized images, float32 [N, C, H, W].

    Raises
    ------
    :exc:`ValueError`
        If an activation is NaN or infinite, or there is no image. The message names the layer.
    """
    def outputs(x: torch.Tensor) -> Iterable[tuple[str, torch.Tensor]]:
        tensors = {INPUT: x}
        for node in network.topology.order[:-1]:
            tensors[node.name] = network.compute(node, tensors)
            yield node.name, tensors[node.name]
            for name in network.topology.released[node.name]:
                del tensors[name]

    ranges: dict[str, tuple[float, float]] = {}
    for x in batches():
        for name, y in outputs(x):
            low, high = (float(v) for v in torch.aminmax(y))
            if not np.isfinite([low, high]).all():
                raise ValueError(f"layer {name!r}: activations are not finite")
            seen = ranges.get(name, (low, high))
            ranges[name] = min(low, seen[0]), max(high, seen[1])
    if not ranges:
        raise ValueError("calibration needs at least one image, found none")
    counts = {name: np.zeros(BINS) for name in ranges}
    for x in batches():
        for name, y in outputs(x):
            low, high = ranges[name]
            counts[name] += torch.histc(y, BINS, low, high).numpy()
    return {name: Histogram(*ranges[name], counts[name]) for name in ranges}


def _shrunk(histogram: Histogram, cost: Callable[[Histogram, float, float], float]
            ) -> tuple[float, float]:
    """The interval of least ``cost`` among those that are 100 % to 20 % of the full one."""
    fractions = np.linspace(1.0, 0.2, 161)
    best = min(fractions, key=lambda f: cost(histogram, f * histogram.low, f * histogram.high))
    return best * histogram.low, best * histogram.high


def _mse(histogram: Histogram, low: float, high: float) -> float:
    """Mean squared error of quantization to [``low``, ``high``]."""
    params = range_to_qparams(low, high)
    x = histogram.centers
    q = np.clip(np.rint(x / params.scale) + params.zero_point, -128, 127)
    error = (q - params.zero_point) * params.scale - x
    return float((histogram.counts * error ** 2).sum())


def _divergence(histogram: Histogram, low: float, high: float) -> float:
    """Kullback–Leibler divergence of the quantized distribution from the clipped one (Migacz,
    *8-bit inference with TensorRT*, 2017): each of the 256 levels spreads its mass evenly over its
    occupied intervals."""
    x = histogram.centers
    inside = (x >= low) & (x <= high)
    if not inside.any():
        return np.inf
    p = histogram.counts[inside].copy()
    occupied = p > 0
    p[0] += histogram.counts[x < low].sum()
    p[-1] += histogram.counts[x > high].sum()
    params = range_to_qparams(low, high)
    level = np.clip(np.rint(x[inside] / params.scale) + params.zero_point + 128, 0, 255).astype(int)
    mass = np.bincount(level, histogram.counts[inside], LEVELS)
    share = np.bincount(level, occupied, LEVELS)
    q = np.where(occupied, (mass / np.maximum(share, 1))[level], 0)
    p, q = p / p.sum(), q / max(q.sum(), 1e-30)
    used = p > 0
    return float((p[used] * np.log(p[used] / np.maximum(q[used], 1e-12))).sum())


def calibrate(topology: Topology, histograms: dict[str, Histogram], *, method: str,
              percentile: float = 99.99) -> dict[str, QParams]:
    """Quantization of the outputs of all layers but the last.

    Parameters
    ----------
    method : :class:`str`
        One of :data:`CALIBRATIONS`: ``max`` takes the whole range, ``percentile`` cuts what lies
        beyond, ``entropy`` and ``mse`` search the range of least divergence or squared error.
    percentile : :class:`float`
        For ``percentile``: per cent of the values kept at each end, above 50 and at most 100.

    Raises
    ------
    :exc:`ValueError`
        If ``method`` is not known or ``percentile`` out of range.
    """
    if method not in CALIBRATIONS:
        raise ValueError(f"calibration must be one of {', '.join(CALIBRATIONS)}, not {method!r}")
    if not 50 < percentile <= 100:
        raise ValueError(f"percentile must be above 50 and at most 100, not {percentile}")
    params: dict[str, QParams] = {}
    for node in topology.order[:-1]:
        histogram = histograms[node.name]
        if node.op == "maxpool" and node.input in params:
            params[node.name] = params[node.input]
        elif histogram.low == histogram.high or method == "max":
            params[node.name] = range_to_qparams(histogram.low, histogram.high)
        elif method == "percentile":
            params[node.name] = range_to_qparams(
                0.0 if histogram.low == 0 else histogram.quantile(1 - percentile / 100),
                histogram.quantile(percentile / 100))
        else:
            cost = _mse if method == "mse" else _divergence
            params[node.name] = range_to_qparams(*_shrunk(histogram, cost))
    return params
