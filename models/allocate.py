"""DoubleQExt by sensitivity: formats for all convolutions at once, within a budget of memory.

Algorithm 1 evaluates O(L²) networks for L convolutions. Here each convolution is measured in each
format alone, O(L) evaluations, by how far it moves the outputs away from the float network's
(Kullback–Leibler divergence, which needs no labels and resolves more than accuracy does), and these
losses are taken to add up. The best assignment under a budget is then a multiple-choice knapsack,
solved exactly by SciPy's mixed-integer solver (HiGHS).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from models import formats
from models.network import Topology
from models.prefix import PrefixEvaluator
from models.quantize import Quantizer, assign

__all__ = ["Choice", "Curve", "allocate", "sensitivity_curve"]

POINTS = 16


@dataclass(frozen=True)
class Choice:
    """One point of the trade-off curve.

    Parameters
    ----------
    formats : dict
        Weight format of every layer that has weights.
    conv_bytes : :class:`float`
        Weight memory as the paper counts it, in bytes.
    predicted : :class:`float`
        Sum of the losses of its layers, in nats.
    correct : :class:`int`
        Images that the network classifies correctly.
    divergence : :class:`float`
        Its mean divergence from the float network, in nats.
    """

    formats: dict[str, str]
    conv_bytes: float
    predicted: float
    correct: int
    divergence: float


@dataclass(frozen=True)
class Curve:
    """Result of :func:`sensitivity_curve`.

    Parameters
    ----------
    points : tuple of :class:`Choice`
        Ascending memory.
    losses : dict
        Loss of every convolution in every format, in nats, by layer and format.
    images, correct_quant8, evaluations : :class:`int`
        Images measured on, how many Quant8 classifies correctly, and networks measured.
    reused : :class:`float`
        Share of the multiply-accumulates saved by keeping the unchanged part.
    """

    points: tuple[Choice, ...]
    losses: dict[tuple[str, str], float]
    images: int
    correct_quant8: int
    evaluations: int
    reused: float

    def within(self, *, budget: float | None = None, loss: float | None = None) -> Choice:
        """The point of least divergence within ``budget`` bytes, or the smallest one that loses at
        most ``loss`` points of accuracy against Quant8.

        Raises
        ------
        :exc:`ValueError`
            If neither or both are given, or there is no such point.
        """
        if (budget is None) == (loss is None):
            raise ValueError("selection by sensitivity takes either a budget or a loss")
        if budget is not None:
            fitting = [point for point in self.points if point.conv_bytes <= budget]
            if not fitting:
                raise ValueError(f"budget must be at least {self.points[0].conv_bytes / 1000:.2f} "
                                 f"kB, not {budget / 1000:.2f}")
            return min(fitting, key=lambda point: (point.divergence, point.conv_bytes))
        assert loss is not None
        least = self.correct_quant8 - loss / 100 * self.images
        fitting = [point for point in self.points if point.correct >= least]
        if not fitting:
            raise ValueError(f"no assignment loses at most {loss} points on the selection images")
        return fitting[0]


def allocate(topology: Topology, losses: dict[tuple[str, str], float], budget: float
             ) -> dict[str, str]:
    """The formats of all convolutions with the least sum of losses within ``budget`` bytes.

    Parameters
    ----------
    losses : dict
        Loss of each convolution in each format that it may take, by layer and format.

    Raises
    ------
    :exc:`ValueError`
        If no assignment fits the budget.
    """
    from scipy.optimize import Bounds, LinearConstraint, milp
    keys = list(losses)
    size = np.array([topology[name].weight_count * formats.get(fmt).bits / 8
                     for name, fmt in keys])
    layers = sorted({name for name, _ in keys})
    once = np.array([[name == layer for name, _ in keys] for layer in layers], float)
    # A loss as small as rounding noise must not decide against memory.
    cost = np.array([losses[key] for key in keys]) + 1e-9 * size / size.sum()
    found = milp(cost, integrality=np.ones(len(keys)), bounds=Bounds(0, 1), constraints=[
        LinearConstraint(once, 1, 1), LinearConstraint(size, ub=budget)])
    if found.x is None:
        raise ValueError(f"no assignment of formats fits {budget / 1000:.2f} kB")
    return {name: fmt for (name, fmt), taken in zip(keys, found.x, strict=True) if taken > 0.5}


def sensitivity_curve(quantizer: Quantizer, evaluator: PrefixEvaluator,
                      choices: tuple[str, ...], *, budget: float | None = None,
                      progress: Callable[[float], None] = lambda share: None) -> Curve:
    """Measures every convolution in every format, and the assignments that follow.

    Parameters
    ----------
    quantizer : :class:`Quantizer`
        Of the float network.
    evaluator : :class:`PrefixEvaluator`
        With the logits of the float network as reference.
    choices : tuple of :class:`str`
        Formats that a convolution may take; fully connected layers are int8.
    budget : :class:`float` or None
        In bytes: a point of the curve lies exactly at it, besides those evenly spread.
    progress : callable
        Told the share of the measurements that is done.

    Raises
    ------
    :exc:`ValueError`
        If there is no format to choose from, or ``budget`` is too small.
    """
    if len(set(choices)) < 2:
        raise ValueError(f"selection needs at least two formats, found {', '.join(choices)}")
    topology = quantizer.topology
    base = quantizer.network(assign(topology, scheme="quant8"), scheme="quant8")
    whole = evaluator.measure(base, {("", ""): base})["", ""]

    scores = evaluator.measure(base, {
        (node.name, fmt): quantizer.with_layer(base, node.name, fmt)
        for node in topology.convs for fmt in choices if fmt != "int8"},
        lambda share: progress(0.7 * share))
    losses = {key: score.divergence - whole.divergence for key, score in scores.items()}
    if "int8" in choices:
        losses |= {(node.name, "int8"): 0.0 for node in topology.convs}
    sizes = [sum(node.weight_count * formats.get(fmt).bits / 8 for node in topology.convs)
             for fmt in choices]
    budgets = set(np.linspace(min(sizes), max(sizes), POINTS).tolist())
    budgets |= {budget} if budget is not None and budget >= min(sizes) else set()
    points: dict[tuple[str, ...], Choice] = {}
    for index, limit in enumerate(sorted(budgets)):
        chosen = allocate(topology, losses, limit + 1e-6)
        assigned = {**assign(topology, scheme="quant8"), **chosen}
        key = tuple(assigned.values())
        if key not in points:
            network = quantizer.network(assigned, scheme="doubleqext")
            score = evaluator.measure(network, {("", ""): network})["", ""]
            points[key] = Choice(assigned, network.conv_bytes,
                                 sum(losses[item] for item in chosen.items()), score.correct,
                                 score.divergence)
        progress(0.7 + 0.3 * (index + 1) / len(budgets))
    return Curve(tuple(sorted(points.values(), key=lambda point: point.conv_bytes)), losses,
                 len(evaluator.labels), whole.correct, evaluator.evaluations, evaluator.reused)
