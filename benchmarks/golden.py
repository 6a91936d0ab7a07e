"""Speed of the golden model beside the float network on the same processor."""

import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from models import resnet
from models.calibrate import calibrate, observe
from models.evaluate import normalized
from models.floatnet import FloatNetwork
from models.golden import GoldenNetwork
from models.quantize import Quantizer, assign, fold

__all__ = ["bench_golden"]

BATCH = 50


def bench_golden(*, model: str = "resnet20", scheme: str = "quant8", images: int = 1000,
                 repeats: int = 3, seed: int = 0,
                 progress: Callable[[float], None] = lambda share: None) -> dict[str, Any]:
    """Times both networks, with random weights, on the same random images, in turn.

    Parameters
    ----------
    images : :class:`int`
        Images a run.
    repeats : :class:`int`
        Runs of each; the medians count.

    Returns
    -------
    dict
        ``float_seconds`` and ``golden_seconds`` (medians), ``ratio`` (golden to float, the median
        of each pair of runs), and the parameters.

    Raises
    ------
    :exc:`ValueError`
        If a parameter is out of range or unknown.
    """
    for name, value in (("images", images), ("repeats", repeats)):
        if value < 1:
            raise ValueError(f"{name} must be at least 1, not {value}")
    topology = resnet.build(model)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = FloatNetwork(topology).eval()
    pixels = np.random.default_rng(seed).integers(
        0, 256, (images, *topology.input_shape), dtype=np.uint8)
    mean, std = (0.5,) * pixels.shape[1], (0.25,) * pixels.shape[1]
    few = normalized(pixels[:BATCH], mean, std)
    activations = calibrate(topology, observe(network, lambda: [few]), method="max")
    quantizer = Quantizer(topology, fold(network), activations, mean, std)
    golden = GoldenNetwork(quantizer.network(assign(topology, scheme=scheme), scheme=scheme))

    def float_logits(part: np.ndarray) -> None:
        network(normalized(part, mean, std))

    times: dict[str, list[float]] = {"float": [], "golden": []}
    with torch.inference_mode():
        for run in range(repeats):
            for name, compute in (("float", float_logits), ("golden", golden.logits)):
                start = time.perf_counter()
                for first in range(0, images, BATCH):
                    compute(pixels[first:first + BATCH])
                times[name].append(time.perf_counter() - start)
            progress((run + 1) / repeats)
    ratios = [g / f for f, g in zip(times["float"], times["golden"], strict=True)]
    return {"model": model, "scheme": scheme, "images": images, "repeats": repeats,
            "threads": torch.get_num_threads(),
            "float_seconds": statistics.median(times["float"]),
            "golden_seconds": statistics.median(times["golden"]),
            "ratio": statistics.median(ratios)}
