"""Evaluation of networks that differ in one layer each: only what depends on it is computed."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch

from models.evaluate import divergence, ranks
from models.golden import GoldenNetwork
from models.network import INPUT, Network

__all__ = ["PrefixEvaluator", "Run", "Score", "inline"]

Variants = Mapping[tuple[str, str], Network]


class Run(Protocol):
    """What runs independent jobs: ``function(*arguments)`` for every job, whose results, JSON
    values, it returns by key in the order of ``jobs``. ``progress`` is told how many are done, of
    how many, after each."""

    def __call__(self, function: Callable, jobs: Mapping[str, tuple], *,
                 progress: Callable[[int, int], None]) -> dict[str, Any]: ...


def inline(function: Callable, jobs: Mapping[str, tuple], *,
           progress: Callable[[int, int], None]) -> dict[str, Any]:
    """Runs one job after another, here."""
    results = {}
    for key, arguments in jobs.items():
        results[key] = function(*arguments)
        progress(len(results), len(jobs))
    return results


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


def _finish(golden: GoldenNetwork, tensors: dict[str, torch.Tensor], changed: str
            ) -> tuple[torch.Tensor, int]:
    """Logits once the layer ``changed``, and all that depends on it, is computed anew, and the
    multiply-accumulates an image that this took."""
    topology = golden.network.topology
    tensors, dirty, done = dict(tensors), {changed}, 0
    for node in topology.order:
        reads = {node.input} | ({node.residual.tensor} if node.residual else set())
        if node.name in dirty or reads & dirty:
            dirty.add(node.name)
            tensors[node.name] = golden.compute(node, tensors)
            done += topology.macs(node.name) if node.weighted else 0
    return tensors[topology.nodes[-1].name].flatten(1), done


@torch.inference_mode()
def _measure(base: Network, variants: Variants, pixels: np.ndarray, labels: np.ndarray,
             reference: np.ndarray | None) -> dict[str, Any]:
    """A job: the variants on some of the images. ``correct`` by variant, ``divergence`` by variant
    and image, and ``macs`` an image that were computed besides those of ``base``."""
    shared = GoldenNetwork(base)
    tensors = shared.run(pixels, keep={INPUT, *(node.name for node in base.topology.nodes)})
    correct, apart, macs = [], [], 0
    for (changed, _), network in variants.items():
        logits, done = _finish(GoldenNetwork(network, like=shared), tensors, changed)
        correct.append(int((ranks(logits, labels) == 0).sum()))
        macs += done
        if reference is not None:
            apart.append(divergence(torch.from_numpy(reference),
                                    logits * network.logit_scale).tolist())
    return {"correct": correct, "divergence": apart, "macs": macs}


class PrefixEvaluator:
    """Measures networks on the same images.

    Parameters
    ----------
    pixels, labels : array
        uint8 [N, C, H, W] and integers [N].
    reference : Tensor or None
        Logits of the float network, [N, classes].
    batch : :class:`int`
        Images at a time, and in a job; no result depends on it.
    run : :class:`Run`
        Runs the jobs.

    Attributes
    ----------
    evaluations : :class:`int`
        Networks measured so far.
    """

    def __init__(self, pixels: np.ndarray, labels: np.ndarray, *,
                 reference: torch.Tensor | None = None, batch: int = 50,
                 run: Run = inline) -> None:
        self.pixels, self.labels, self.batch, self.run = pixels, labels, batch, run
        self.reference = None if reference is None else reference.numpy()
        self.evaluations = 0
        self._done = self._full = 0

    @property
    def reused(self) -> float:
        """Share of the multiply-accumulates that keeping the unchanged part saved."""
        return 1 - self._done / self._full if self._full else 0.0

    def measure(self, base: Network, variants: Variants,
                progress: Callable[[float], None] = lambda share: None
                ) -> dict[tuple[str, str], Score]:
        """Scores of ``variants``; of each key the first part is the layer in which it differs from
        ``base``, empty for ``base`` itself.

        Parameters
        ----------
        progress : callable
            Told the share of the images that is done.
        """
        jobs = {}
        for start in range(0, len(self.labels), self.batch):
            part = slice(start, start + self.batch)
            reference = None if self.reference is None else self.reference[part]
            jobs[f"images from {start}"] = (base, dict(variants), self.pixels[part],
                                            self.labels[part], reference)
        found = list(self.run(_measure, jobs, progress=lambda done, total: progress(
            done / total)).values())
        every = sum(base.topology.macs(node.name) for node in base.topology.weighted)
        self._done += len(self.labels) * (every + found[0]["macs"])
        self._full += len(self.labels) * every * len(variants)
        self.evaluations += len(variants)
        scores = {}
        for i, key in enumerate(variants):
            apart = float("nan") if self.reference is None else sum(
                value for part in found for value in part["divergence"][i]) / len(self.labels)
            scores[key] = Score(sum(part["correct"][i] for part in found), apart)
        return scores
