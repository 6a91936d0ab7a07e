"""DoubleQExt: which convolutions stay 8 bit (the paper's Algorithm 1)."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np

import files
from models.network import Network
from models.prefix import PrefixEvaluator, Run, inline
from models.quantize import Quantizer, assign

__all__ = ["Search", "Step", "greedy"]


@dataclass(frozen=True)
class Step:
    """One point of the trade-off curve.

    Parameters
    ----------
    layer : :class:`str`
        The convolution returned to 8 bit, or empty for the starting point.
    index : :class:`int`
        Its number as the paper counts, −1 for the starting point.
    correct : :class:`int`
        Images classified correctly with it and all before it at 8 bit.
    conv_bytes : :class:`float`
        Weight memory as the paper counts it, in bytes.
    recovered : :class:`float`
        Recovered accuracy in per cent of what DoubleQ loses against Quant8.
    """

    layer: str
    index: int
    correct: int
    conv_bytes: float
    recovered: float


@dataclass(frozen=True)
class Search:
    """Result of :func:`greedy`.

    Parameters
    ----------
    critical : tuple of :class:`str`
        Convolutions that stay 8 bit, in the order found.
    trace : tuple of :class:`Step`
        The trade-off curve, starting with none.
    images, correct_quant8 : :class:`int`
        Images evaluated, and how many Quant8 classifies correctly.
    evaluations : :class:`int`
        Networks evaluated on all images.
    reused : :class:`float`
        Share of the multiply-accumulates saved by keeping the unchanged prefix.
    """

    critical: tuple[str, ...]
    trace: tuple[Step, ...]
    images: int
    correct_quant8: int
    evaluations: int
    reused: float


def _load_trace(path: Path | None, key: str) -> list[Step]:
    """The steps that an interrupted search with the same ``key`` left in ``path``."""
    if path is None or not path.exists():
        return []
    try:
        content = json.loads(path.read_text())
        return [Step(**step) for step in content["trace"]] if content["key"] == key else []
    except (ValueError, KeyError, TypeError):
        raise ValueError(f"{path}: damaged search state; delete it to start anew") from None


def greedy(quantizer: Quantizer, pixels: np.ndarray, labels: np.ndarray, *, mrt: float,
           fmt: str = "pot5", state: Path | None = None, batch: int = 50, run: Run = inline,
           progress: Callable[[int, float], None] = lambda step, share: None) -> Search:
    """Returns convolutions to 8 bit one by one, always the one that recovers most accuracy, until
    recovered = (acc − acc_DoubleQ) / (acc_Quant8 − acc_DoubleQ) reaches ``mrt`` (Algorithm 1).

    Ties go to the fewer added bytes, then to the lower index. Where Quant8 is not better than
    DoubleQ, no layer is critical.

    Parameters
    ----------
    quantizer : :class:`Quantizer`
        Of the float network.
    pixels, labels : array
        Images to evaluate on: uint8 [N, C, H, W] and integers [N].
    mrt : :class:`float`
        Minimum recovery threshold, 0 to 100, in per cent.
    fmt : :class:`str`
        The power-of-two format.
    state : path or None
        File that keeps the finished steps; a later call with the same inputs goes on from there.
    batch, run
        As :class:`PrefixEvaluator` takes them.
    progress : callable
        Told the number of the step and the share of its images that are done.

    Raises
    ------
    :exc:`ValueError`
        If ``mrt`` is out of range, there is no image, or ``state`` is damaged.
    """
    if not 0 <= mrt <= 100:
        raise ValueError(f"minimum recovery threshold must be 0 to 100 %, not {mrt}")
    if len(pixels) == 0:
        raise ValueError("the search needs at least one image, found none")
    topology = quantizer.topology
    evaluator = PrefixEvaluator(pixels, labels, batch=batch, run=run)

    def network(critical: tuple[str, ...]) -> Network:
        return quantizer.network(assign(topology, scheme="doubleqext", fmt=fmt, critical=critical),
                                 scheme="doubleqext")

    quant8 = quantizer.network(assign(topology, scheme="quant8"), scheme="quant8")
    current = network(())
    key = hashlib.sha256(f"{quant8.hash} {current.hash}".encode() + pixels.tobytes()
                         + labels.astype(np.int64).tobytes()).hexdigest()
    share = partial(progress, 0)
    best = evaluator.measure(quant8, {("", ""): quant8}, share)["", ""].correct
    trace = _load_trace(state, key)
    if not trace:
        start = evaluator.measure(current, {("", ""): current}, share)["", ""].correct
        trace = [Step("", -1, start, current.conv_bytes, 100.0 if best <= start else 0.0)]
    loss = best - trace[0].correct
    index = {node.name: i for i, node in enumerate(topology.convs)}
    while trace[-1].recovered < mrt and len(trace) <= len(index):
        critical = tuple(step.layer for step in trace[1:])
        current = network(critical)
        variants = {node.name: quantizer.with_layer(current, node.name, "int8")
                    for node in topology.convs if node.name not in critical}
        scores = evaluator.measure(current, {(name, "int8"): n for name, n in variants.items()},
                                   partial(progress, len(trace)))
        counts = {name: score.correct for (name, _), score in scores.items()}
        added = {name: variants[name].conv_bytes for name in variants}
        chosen = min(variants, key=lambda name: (-counts[name], added[name], index[name]))
        trace.append(Step(chosen, index[chosen], counts[chosen], added[chosen],
                          100 * (counts[chosen] - trace[0].correct) / loss))
        if state is not None:
            files.write_json(state, {"key": key, "trace": [asdict(step) for step in trace]})
    return Search(tuple(step.layer for step in trace[1:]), tuple(trace), len(pixels), best,
                  evaluator.evaluations, evaluator.reused)
