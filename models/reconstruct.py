"""Calibrated rounding: weights chosen so that a layer's output, not each weight, is approximated.

For every layer in turn, with x its inputs as the quantized network before it produces them and t
the outputs that the float network has there (less what the quantized residual will add), the
integers p, the scale s and the bias b of an output channel minimize

1. E‖s·p·x + b − t‖² = (s·p − w*) H (s·p − w*)ᵀ + const,  b = E t − s·p·E x,

with H = cov(x) + λI and w* the least-squares weights, drawn to the float ones as far as what they
gain on one half of the images does not hold on the other. This is second order and uses no labels.
The steps: column by column with error feedback (Frantar et al., *GPTQ*, 2022; Hassibi & Stork,
*Optimal Brain Surgeon*, 1993), columns of large variance first, for each of many scales; then
coordinate descent and the closed form of s in turn, each of which can only lower (1).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from models import formats
from models.evaluate import Pixels, normalized
from models.floatnet import FloatNetwork, add_residual
from models.formats import WeightFormat
from models.golden import GoldenNetwork
from models.layer import QParams
from models.network import INPUT, Node, Topology
from models.quantize import Fit, Quantizer

__all__ = ["Moments", "affordable", "held_bytes", "least_squares", "reconstruct", "solve"]

Round = Callable[[np.ndarray], np.ndarray]

# Of the mean variance of the inputs, as GPTQ.
DAMPING = 1e-2
SWEEPS = 30
BATCH = 50
# Bytes of tensors held: 800 images of ResNet-34 at 224×224, 16,000 of ResNet-20.
MEMORY = 4_000_000_000
BLOCK = 64
PIXELS = 256
# Scales tried, in octaves around that of level one, and how many an octave.
OCTAVES = {"int8": (-0.5, 0.1), "pot5": (-1.0, 0.5), "pot4": (-1.0, 0.5), "pot3": (-2.0, 0.5)}
STEPS = 16


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


def solve(moments: Moments, weights: np.ndarray, fmt: WeightFormat, *, per_tensor: bool) -> Fit:
    """The integers, scales and bias that minimize equation 1.

    Parameters
    ----------
    weights : array
        w*, [out, …].
    per_tensor : :class:`bool`
        Whether all channels share one scale.
    """
    # Weights are kept as [taps, out]: the steps below take one tap of all channels at a time.
    best = np.ascontiguousarray(weights.reshape(len(weights), -1).T)
    covariance, _, mean_x, mean_t = moments.centered()
    hessian = _damped(covariance)
    positive = fmt.values[fmt.values >= 0].astype(float)
    middles = (positive[1:] + positive[:-1]) / 2

    def round_(x: np.ndarray) -> np.ndarray:
        return _grid(x, positive, middles)

    largest = np.abs(best).max(0)
    largest = np.maximum(largest, max(largest.max() / 1024, 1e-30))
    if per_tensor:
        largest[:] = largest.max()
    low, high = OCTAVES[fmt.name]
    feedback = _Feedback.of(hessian)
    p, scale, cost = np.zeros_like(best), largest / 127, np.full(len(weights), np.inf)
    for factor in 2.0 ** np.linspace(low, high, round((high - low) * STEPS) + 1):
        tried = largest * factor / 127
        rounded, costs = feedback.round(best, tried, round_)
        if per_tensor:
            costs[:] = costs.sum()
        better = costs < cost
        p[:, better] = rounded[:, better]
        scale[better], cost[better] = tried[better], costs[better]
    p, scale = _descend(p, scale, best, hessian, round_, shared=per_tensor)
    scale = np.where(p.any(0), scale, scale.max())
    bias = mean_t - mean_x @ (p * scale)
    return Fit(p.T.reshape(weights.shape).astype(np.int16), scale, bias)


def _sampled(shape: tuple[int, int, int], rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Rows and columns of at most :data:`PIXELS` output pixels of an image."""
    _, height, width = shape
    chosen = np.sort(rng.permutation(height * width)[:PIXELS])
    rows, columns = np.divmod(chosen, width)
    return torch.from_numpy(rows), torch.from_numpy(columns)


def _observations(node: Node, q: Tensor, params: QParams, rows: Tensor, columns: Tensor) -> Tensor:
    """Real inputs of output pixels, [pixels, taps], taps in the order kernel row, kernel column,
    input channel."""
    x = (q.float() - params.zero_point) * params.scale
    if node.op == "fc":
        return x.flatten(1)
    x = F.pad(x, (node.padding,) * 4)
    width = x.shape[3]
    x = x.permute(0, 2, 3, 1).flatten(1, 2).contiguous()
    start = rows * node.stride * width + columns * node.stride
    return torch.cat([x[:, start + (i * width + j)] for i in range(node.kernel)
                      for j in range(node.kernel)], dim=2).flatten(0, 1)


def _in_storage_order(moments: Moments, node: Node) -> Moments:
    """Moments with the taps as weights are kept: input channel, kernel row, kernel column."""
    if node.op == "fc":
        return moments
    taps = np.arange(node.kernel ** 2 * node.in_channels)
    order = taps.reshape(node.kernel ** 2, node.in_channels).T.reshape(-1)
    return Moments(moments.gram[np.ix_(order, order)], moments.cross[:, order], moments.x[order],
                   moments.t, moments.count)


class _Tensors:
    """The tensors of all calibration images that are still read: real ones of the float network,
    int8 ones of the quantized network, by layer and batch."""

    def __init__(self, float_network: FloatNetwork, golden: GoldenNetwork, quantizer: Quantizer,
                 pixels: Pixels, count: int) -> None:
        self.float_network, self.quantizer = float_network, quantizer
        self.real: dict[str, list[Tensor]] = {INPUT: []}
        self.q: dict[str, list[Tensor]] = {INPUT: []}
        for start in range(0, count, BATCH):
            part = pixels[start:min(start + BATCH, count)]
            self.real[INPUT].append(normalized(part, quantizer.mean, quantizer.std))
            self.q[INPUT].append(golden.input(part).to(torch.int8))
        self.batches = len(self.q[INPUT])

    def targets(self, node: Node, batch: int) -> Tensor:
        """Output of the float layer before its rectifier, which goes into :attr:`real`."""
        y = self.float_network.compute(
            replace(node, relu=False), {name: self.real[name][batch] for name in node.reads})
        self.real.setdefault(node.name, []).append(F.relu(y) if node.relu else y)
        return y

    def moments(self, node: Node, rng: np.random.Generator) -> tuple[Moments, Moments]:
        """Moments of a layer with weights over one half of the images, and over the other."""
        rows, columns = _sampled(self.float_network.topology.shapes[node.name], rng)
        taps = math.prod(node.weight_shape[1:])
        halves = [Moments.empty(taps, node.out_channels) for _ in range(2)]
        for batch in range(self.batches):
            t = self.targets(node, batch)
            if node.residual is not None:
                params = self.quantizer.qparams(node.residual.tensor)
                r = self.q[node.residual.tensor][batch].float() - params.zero_point
                t = t - add_residual(torch.zeros_like(t), r * params.scale, node)
            x = _observations(node, self.q[node.input][batch], self.quantizer.qparams(node.input),
                              rows, columns)
            middle = len(t) // 2 * len(rows)
            t = t[:, :, rows, columns].transpose(1, 2).flatten(0, 1)
            halves[0].add(x[:middle], t[:middle])
            halves[1].add(x[middle:], t[middle:])
        first, second = (_in_storage_order(half, node) for half in halves)
        return first, second

    def advance(self, node: Node, golden: GoldenNetwork) -> None:
        """Computes the quantized layer and forgets the tensors that nothing reads any more."""
        self.q[node.name] = [golden.compute(node, {
            name: self.q[name][batch].float() for name in node.reads}).to(torch.int8)
            for batch in range(self.batches)]
        for name in self.float_network.topology.released[node.name]:
            del self.q[name], self.real[name]


def held_bytes(topology: Topology) -> int:
    """The most that :func:`reconstruct` holds of one image's tensors at a time, in bytes."""
    held, most = {INPUT}, 0
    for node in topology.order[:-1]:
        held.add(node.name)
        most = max(most, sum(math.prod(topology.shapes[name]) for name in held))
        held -= set(topology.released[node.name])
    return most * (torch.float32.itemsize + torch.int8.itemsize)


def affordable(topology: Topology, count: int) -> int:
    """As many of ``count`` images as :func:`reconstruct` can hold in :data:`MEMORY`; at least
    one."""
    return min(count, max(1, MEMORY // held_bytes(topology)))


@torch.inference_mode()
def reconstruct(float_network: FloatNetwork, quantizer: Quantizer, pixels: Pixels, count: int,
                assigned: dict[str, str], *, alternatives: tuple[str, ...] = (),
                progress: Callable[[float], None] = lambda share: None) -> Quantizer:
    """``quantizer`` with calibrated integers for every layer in its format of ``assigned``.

    Layers are taken in order of computation, each on what the quantized layers before it make of
    the images. The tensors of all images that a later layer still reads are held at a time:
    :func:`held_bytes` of each.

    Parameters
    ----------
    float_network : :class:`FloatNetwork`
        In evaluation mode.
    quantizer : :class:`Quantizer`
        Gives the quantization of activations, which stays as it is.
    pixels : array
        Calibration images, uint8, of which the first ``count`` are used; never labels.
    assigned : dict
        Format of every layer that has weights.
    alternatives : tuple of :class:`str`
        Formats that every convolution is solved for, too, on the same inputs.
    progress : callable
        Told the share of the layers that is done.
    """
    topology = float_network.topology
    rng = np.random.default_rng(0)
    network = quantizer.network(assigned, scheme="doubleqext")
    golden = GoldenNetwork(network)
    tensors = _Tensors(float_network, golden, quantizer, pixels, count)
    order = topology.order
    for step, node in enumerate(order):
        if node.weighted:
            halves = tensors.moments(node, rng)
            best = least_squares(halves, quantizer.folded[node.name][0])
            moments = halves[0] + halves[1]
            wanted = {assigned[node.name], *(alternatives if node.op == "conv" else ())}
            fits = {(node.name, name): solve(
                moments, best, formats.get(name),
                per_tensor=quantizer.per_tensor or node is topology.nodes[-1])
                for name in sorted(wanted)}
            quantizer = replace(quantizer, fits={**quantizer.fits, **fits})
            network = quantizer.with_layer(network, node.name, assigned[node.name])
            golden = GoldenNetwork(network, like=golden)
        else:
            for batch in range(tensors.batches):
                tensors.targets(node, batch)
        if node is not order[-1]:
            tensors.advance(node, golden)
        progress((step + 1) / len(order))
    return quantizer
