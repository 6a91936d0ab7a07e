"""Evaluation of networks that differ in one layer each: only what depends on it is computed."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch

from models.evaluate import divergence, ranks
from models.golden import GoldenNetwork
from models.network import INPUT, Network

__all__ = ["PrefixEvaluator", "Score"]


@dataclass(frozen=True)
class Score:
    """What a network did on the images.

    Parameters
    ----------
    correct : :class:`int`
        Images classified correctly.
    divergence : :class:`float`
        Mean Kullback–Leibler divergence from the float network, in nats; NaN without one.
    """

    correct: int
    divergence: float


class PrefixEvaluator:
    """Measures networks on the same images.

    Parameters
    ----------
    pixels, labels : array
        uint8 [N, C, H, W] and integers [N].
    reference : Tensor or None
        Logits of the float network, [N, classes].
    batch : :class:`int`
        Images at a time.

    Attributes
    ----------
    evaluations : :class:`int`
        Networks measured so far.
    """

    def __init__(self, pixels: np.ndarray, labels: np.ndarray, *,
                 reference: torch.Tensor | None = None, batch: int = 50) -> None:
        self.pixels, self.labels, self.reference, self.batch = pixels, labels, reference, batch
        self.evaluations = 0
        self._done = self._full = 0

    @property
    def reused(self) -> float:
        """Share of the multiply-accumulates that keeping the unchanged part saved."""
        return 1 - self._done / self._full if self._full else 0.0

    def _finish(self, golden: GoldenNetwork, tensors: dict[str, torch.Tensor], changed: str
                ) -> torch.Tensor:
        """Logits once the layer ``changed``, and all that depends on it, is computed anew."""
        topology = golden.network.topology
        tensors, dirty = dict(tensors), {changed}
        images = len(tensors[INPUT])
        for node in topology.order:
            reads = {node.input} | ({node.residual.tensor} if node.residual else set())
            cost = topology.macs(node.name) * images if node.weighted else 0
            self._full += cost
            if node.name in dirty or reads & dirty:
                dirty.add(node.name)
                tensors[node.name] = golden.compute(node, tensors)
                self._done += cost
        return tensors[topology.nodes[-1].name].flatten(1)

    @torch.inference_mode()
    def measure(self, base: Network, variants: Mapping[tuple[str, str], Network],
                progress: Callable[[float], None] = lambda share: None
                ) -> dict[tuple[str, str], Score]:
        """Scores of ``variants``; of each key the first part is the layer in which it differs from
        ``base``, empty for ``base`` itself."""
        reference = GoldenNetwork(base)
        golden = {key: GoldenNetwork(network, like=reference)
                  for key, network in variants.items()}
        every = {node.name for node in base.topology.nodes}
        correct, apart = dict.fromkeys(variants, 0), dict.fromkeys(variants, 0.0)
        self._done += len(self.labels) * sum(
            base.topology.macs(node.name) for node in base.topology.weighted)
        for start in range(0, len(self.labels), self.batch):
            part = slice(start, start + self.batch)
            tensors = reference.run(self.pixels[part], keep={INPUT, *every})
            for key, network in golden.items():
                logits = self._finish(network, tensors, key[0])
                correct[key] += int((ranks(logits, self.labels[part]) == 0).sum())
                if self.reference is not None:
                    real = logits * network.network.logit_scale
                    apart[key] += float(divergence(self.reference[part], real).sum())
            progress(len(tensors[INPUT]) / len(self.labels))
        self.evaluations += len(variants)
        return {key: Score(correct[key], apart[key] / len(self.labels)
                           if self.reference is not None else float("nan")) for key in variants}
