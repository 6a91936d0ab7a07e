"""Integers, scale and bias of a layer from the moments of its inputs and targets.

For each output channel the integers p, the scale s and the bias b minimize equation 1 of
:mod:`models.reconstruct`. The steps: column by column with error feedback (Frantar et al., *GPTQ*,
2022; Hassibi & Stork, *Optimal Brain Surgeon*, 1993), columns of large variance first, for each of
many scales; then coordinate descent and the closed form of s in turn, each of which can only lower
the error.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from models.curvature import Curvature
from models.formats import WeightFormat
from models.quantize import Fit

__all__ = ["Moments", "least_squares", "solve"]

Round = Callable[[np.ndarray], np.ndarray]

# Of the mean variance of the inputs, as GPTQ.
DAMPING = 1e-2
SWEEPS = 30
BLOCK = 64
# Scales tried, in octaves around that of level one, and how many an octave.
OCTAVES = {"int8": (-0.5, 0.1), "pot5": (-1.0, 0.5), "pot4": (-1.0, 0.5), "pot3": (-2.0, 0.5)}
STEPS = 16
# Of the scales, how many are descended from where channels have matrices of their own.
STARTS = 8


@dataclass
class Moments:
    """First and second moments of a layer's inputs x and targets t.

    Parameters
    ----------
    gram : array
        Σ x xᵀ, float64 [taps, taps].
    cross : array
        Σ t xᵀ, float64 [out, taps].
    x, t : array
        Σ x and Σ t.
    count : :class:`int`
        Output pixels summed over.
    """

    gram: np.ndarray
    cross: np.ndarray
    x: np.ndarray
    t: np.ndarray
    count: int

    @classmethod
    def empty(cls, taps: int, out: int) -> "Moments":
        return cls(np.zeros((taps, taps)), np.zeros((out, taps)), np.zeros(taps), np.zeros(out), 0)

    def add(self, x: Tensor, t: Tensor) -> None:
        """Adds observations: x [N, taps], t [N, out], float32."""
        self.gram += (x.T @ x).double().numpy()
        self.cross += (t.T @ x).double().numpy()
        self.x += x.sum(0, dtype=torch.float64).numpy()
        self.t += t.sum(0, dtype=torch.float64).numpy()
        self.count += len(x)

    def __add__(self, other: "Moments") -> "Moments":
        return Moments(self.gram + other.gram, self.cross + other.cross, self.x + other.x,
                       self.t + other.t, self.count + other.count)

    def centered(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Covariances of x, and of t with x, and their means."""
        mean_x, mean_t = self.x / self.count, self.t / self.count
        return (self.gram / self.count - np.outer(mean_x, mean_x),
                self.cross / self.count - np.outer(mean_t, mean_x), mean_x, mean_t)


def _grid(x: np.ndarray, magnitudes: np.ndarray, middles: np.ndarray) -> np.ndarray:
    """The nearest value of a format, for reals in units of its grid."""
    return np.copysign(magnitudes[np.searchsorted(middles, np.abs(x))], x)


@dataclass(frozen=True)
class _Feedback:
    """How errors of rounded taps are absorbed by those not yet rounded.

    ``order`` lists the taps, those of large variance first; column i of ``lower``, the Cholesky
    factor of the inverse of H in that order, tells how tap i's error is best spread.
    """

    order: np.ndarray
    lower: np.ndarray

    @classmethod
    def of(cls, hessian: np.ndarray) -> "_Feedback":
        order = np.argsort(-np.diag(hessian), kind="stable")
        return cls(order, np.linalg.cholesky(np.linalg.inv(hessian[np.ix_(order, order)])))

    def round(self, w: np.ndarray, scale: np.ndarray, round_: Round
              ) -> tuple[np.ndarray, np.ndarray]:
        """Integers p for real weights w [taps, out] in units of ``scale`` s [out], and their costs
        (s·p − w)ᵀ H (s·p − w) [out]: the sum of each tap's error squared, in units of its diagonal
        element of ``lower``."""
        w, p, cost = w[self.order], np.empty_like(w), np.zeros(w.shape[1])
        for first in range(0, len(w), BLOCK):
            last = min(first + BLOCK, len(w))
            errors = np.empty((last - first, w.shape[1]))
            for i in range(first, last):
                p[i] = round_(w[i] / scale)
                errors[i - first] = (w[i] - p[i] * scale) / self.lower[i, i]
                w[i + 1:last] -= self.lower[i + 1:last, i, None] * errors[i - first]
            w[last:] -= self.lower[last:, first:last] @ errors
            cost += (errors ** 2).sum(0)
        result = np.empty_like(p)
        result[self.order] = p
        return result, cost


def _descend(p: np.ndarray, scale: np.ndarray, w: np.ndarray, hessian: np.ndarray,
             round_: Round, *, shared: bool) -> tuple[np.ndarray, np.ndarray]:
    """Coordinate descent over the integers, and the best scale for them, until nothing moves."""
    diagonal = np.diag(hessian)
    hp, hw = hessian @ p, hessian @ w
    for _ in range(SWEEPS):
        gradient = hp * scale - hw
        moved = False
        for first in range(0, len(p), BLOCK):
            last = min(first + BLOCK, len(p))
            delta = np.zeros((last - first, p.shape[1]))
            for i in range(first, last):
                new = round_(p[i] - gradient[i] / (diagonal[i] * scale))
                if (new != p[i]).any():
                    moved = True
                    delta[i - first] = (new - p[i]) * scale
                    p[i] = new
                    gradient[i + 1:last] += hessian[i, i + 1:last, None] * delta[i - first]
            gradient[last:] += hessian[last:, first:last] @ delta
        hp = hessian @ p
        top, bottom = (hp * w).sum(0), (hp * p).sum(0)
        if shared:
            top, bottom = np.full_like(top, top.sum()), np.full_like(bottom, bottom.sum())
        better = (bottom > 0) & (top > 0)
        scale = np.where(better, top / np.where(bottom > 0, bottom, 1), scale)
        if not moved:
            break
    return p, scale


def _damped(covariance: np.ndarray) -> np.ndarray:
    """H for a covariance of inputs."""
    return covariance + DAMPING * max(np.diag(covariance).mean(), 1e-12) * np.eye(len(covariance))


def least_squares(halves: tuple[Moments, Moments], weights: np.ndarray) -> np.ndarray:
    """w* of equation 1.

    The step d from the float weights to those of least squares is taken to the share that each
    half's step would best be taken to on the other half; since a step of all images is less noisy,
    a share a of the halves becomes 2a / (1 + a) (Spearman, Brown, 1910).

    Parameters
    ----------
    halves : tuple of :class:`Moments`
        Of different images.
    weights : array
        Float weights, batch norm folded in, [out, …].
    """
    if not all(half.count for half in halves):
        return weights
    w = weights.reshape(len(weights), -1).T

    def step(moments: Moments) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        covariance, cross, _, _ = moments.centered()
        missed = cross.T - covariance @ w
        return np.linalg.solve(_damped(covariance), missed), covariance, missed

    (a, cov_a, missed_a), (b, cov_b, missed_b) = (step(half) for half in halves)
    gain = (a * missed_b).sum() + (b * missed_a).sum()
    size = (a * (cov_b @ a)).sum() + (b * (cov_a @ b)).sum()
    share = float(np.clip(gain / size, 0, 1)) if size > 0 else 0.0
    w = w + 2 * share / (1 + share) * step(halves[0] + halves[1])[0]
    return w.T.reshape(weights.shape)


def solve(moments: Moments, weights: np.ndarray, fmt: WeightFormat, *, per_tensor: bool,
          curvature: Curvature | None = None) -> Fit:
    """The integers, scales and bias that minimize equation 1.

    Parameters
    ----------
    weights : array
        w*, [out, …].
    per_tensor : :class:`bool`
        Whether all channels share one scale.
    curvature : :class:`Curvature` or None
        Gives each channel a matrix H of its own; not where they share a scale.
    """
    # Weights are kept as [taps, out]: the steps below take one tap of all channels at a time.
    best = np.ascontiguousarray(weights.reshape(len(weights), -1).T)
    covariance, _, mean_x, mean_t = moments.centered()
    positive = fmt.values[fmt.values >= 0].astype(float)
    middles = (positive[1:] + positive[:-1]) / 2

    def round_(x: np.ndarray) -> np.ndarray:
        return _grid(x, positive, middles)

    largest = np.abs(best).max(0)
    largest = np.maximum(largest, max(largest.max() / 1024, 1e-30))
    if per_tensor:
        largest[:] = largest.max()
    low, high = OCTAVES[fmt.name]
    scales = largest / 127 * 2.0 ** np.linspace(low, high, round((high - low) * STEPS) + 1)[:, None]
    if curvature is None or per_tensor:
        p, scale = _all_channels(best, scales, _damped(covariance), round_, shared=per_tensor)
    else:
        p, scale = np.empty_like(best), np.empty_like(largest)
        for channel in range(len(weights)):
            p[:, channel], scale[channel] = _one_channel(
                best[:, channel], scales[:, channel],
                _damped(curvature.hessian(channel, covariance)), round_)
    scale = np.where(p.any(0), scale, scale.max())
    bias = mean_t - mean_x @ (p * scale)
    return Fit(p.T.reshape(weights.shape).astype(np.int16), scale, bias)


def _all_channels(best: np.ndarray, scales: np.ndarray, hessian: np.ndarray, round_: Round, *,
                  shared: bool) -> tuple[np.ndarray, np.ndarray]:
    """p and s of all channels for one H, from w* [taps, out] and the scales to try [tries, out]."""
    feedback = _Feedback.of(hessian)
    p, scale, cost = np.zeros_like(best), scales[0].copy(), np.full(best.shape[1], np.inf)
    for tried in scales:
        rounded, costs = feedback.round(best, tried, round_)
        if shared:
            costs[:] = costs.sum()
        better = costs < cost
        p[:, better] = rounded[:, better]
        scale[better], cost[better] = tried[better], costs[better]
    return _descend(p, scale, best, hessian, round_, shared=shared)


def _one_channel(best: np.ndarray, scales: np.ndarray, hessian: np.ndarray, round_: Round
                 ) -> tuple[np.ndarray, float]:
    """p and s of one channel, from w* [taps] and the scales to try; descends from the best few."""
    w = np.repeat(best[:, None], len(scales), 1)
    p, cost = _Feedback.of(hessian).round(w, scales, round_)
    starts = np.argsort(cost, kind="stable")[:STARTS]
    w = np.ascontiguousarray(w[:, starts])
    p, scale = _descend(np.ascontiguousarray(p[:, starts]), scales[starts], w, hessian, round_,
                        shared=False)
    error = p * scale - w
    chosen = (error * (hessian @ error)).sum(0).argmin()
    return p[:, chosen], scale[chosen]
