"""One job of the accuracy benchmark: a network is made and measured, or a selection is searched.

A job gets paths, loads what is there, and returns JSON; a process that runs several of the same
:class:`Setup` loads once.
"""

import hashlib
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.cost import measured
from models import data, formats, pipeline
from models.calibrate import calibrate, observe
from models.data import Images, Normalization
from models.evaluate import Accuracy, evaluate, normalized, ranks
from models.fakequant import FakeQuantized
from models.floatnet import FloatNetwork
from models.golden import GoldenNetwork
from models.network import Network
from models.pictures import Pictures
from models.pipeline import Recipe
from models.quantize import fold

__all__ = ["Setup", "Task", "images_digest", "load", "work"]

BATCH = 50
# Of the values of a tensor, in the plot of ranges.
QUANTILES = (0.001, 0.999)


@dataclass(frozen=True, kw_only=True)
class Setup:
    """What is measured, and on what.

    Parameters
    ----------
    checkpoint : :class:`str`
        Path of the float network.
    model : :class:`str`
        Its name.
    options : tuple
        Name and value of each option of :func:`models.pipeline.load_checkpoint`.
    data : tuple of :class:`str`
        Data sets. Training images are those of the first.
    image_size, images : :class:`int` or None
        Pixels a side, and how many of the first test images are taken of each data set.
    mean, std : tuple of :class:`float` or None
        Normalization of pixels / 255, for each channel; that of the first data set by default.
    """

    checkpoint: str
    model: str
    data: tuple[str, ...]
    options: tuple[tuple[str, Any], ...] = ()
    image_size: int | None = None
    images: int | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None


@dataclass(frozen=True, kw_only=True)
class Task:
    """A job.

    Parameters
    ----------
    name : :class:`str`
        What people call it.
    kind : :class:`str`
        ``integer``, a network measured by the golden model; ``affine``, one in the paper's affine
        form, fake-quantized; ``float``; ``search``, the selection of a recipe; or ``ranges`` of
        the activations.
    recipe : :class:`Recipe` or None
        How the network is made; None for ``float``.
    search : :class:`str` or None
        Name of the search that the recipe is from.
    """

    name: str
    kind: str
    recipe: Recipe | None = None
    search: str | None = None


@dataclass(frozen=True)
class Loaded:
    """What a :class:`Setup` names.

    Parameters
    ----------
    network : :class:`FloatNetwork`
        In evaluation mode.
    train, tests
        Images.
    normalization : :class:`Normalization`
        Of their pixels.
    """

    network: FloatNetwork
    train: Images
    tests: tuple[Images, ...]
    normalization: Normalization


@lru_cache(maxsize=1)
def load(setup: Setup) -> Loaded:
    """Reads the float network and the images.

    Raises
    ------
    :exc:`ValueError`
        If the network or a data set cannot be read or does not fit the others.
    """
    train = data.load(setup.data[0], "train", image_size=setup.image_size)
    tests = tuple(data.load(source, "test", limit=setup.images, image_size=setup.image_size)
                  for source in setup.data)
    for source, test in zip(setup.data, tests, strict=True):
        if (test.shape, test.classes) != (train.shape, train.classes):
            raise ValueError(f"{source}: {test.classes} classes of images {test.shape}, expected "
                             f"{train.classes} of {train.shape} as in {setup.data[0]}")
    network = pipeline.load_checkpoint(Path(setup.checkpoint), setup.model, train,
                                       **dict(setup.options))
    usual = train.normalization
    return Loaded(network, train, tests,
                  Normalization(setup.mean or usual.mean, setup.std or usual.std))


def images_digest(images: Images) -> str:
    """SHA-256 of labels and pixels, in hexadecimal; of pictures that are read when they are needed,
    the name and size of each file stand for its pixels."""
    digest = hashlib.sha256(f"{images.name} {images.shape}".encode())
    digest.update(images.labels.astype(np.int64).tobytes())
    if isinstance(images.pixels, Pictures):
        for path in images.pixels.paths:
            digest.update(f"{path.parent.name}/{path.name} {path.stat().st_size}\n".encode())
    else:
        digest.update(images.pixels.tobytes())
    return digest.hexdigest()


def _real(network: torch.nn.Module, normalization: Normalization
          ) -> Callable[[np.ndarray], torch.Tensor]:
    return lambda pixels: network(normalized(pixels, normalization.mean, normalization.std))


@lru_cache(maxsize=1)
def _float_logits(setup: Setup) -> tuple[torch.Tensor, ...]:
    """Logits of the float network on each of the test sets."""
    loaded = load(setup)
    logits = _real(loaded.network, loaded.normalization)
    with torch.inference_mode():
        return tuple(torch.cat([logits(pixels) for pixels, _ in test.batches(BATCH)])
                     for test in loaded.tests)


def _accuracy(found: Accuracy) -> dict[str, Any]:
    return {"rank": found.rank.tolist(), "divergence": found.divergence,
            "agreement": found.agreement}


def _measure(setup: Setup, logits: Callable[[np.ndarray], torch.Tensor], scale: float
             ) -> list[dict[str, Any]]:
    return [_accuracy(evaluate(logits, test.pixels, test.labels, batch=BATCH,
                               reference=reference, scale=scale))
            for test, reference in zip(load(setup).tests, _float_logits(setup), strict=True)]


def _quantize(setup: Setup, recipe: Recipe) -> tuple[Network, dict[str, Any]]:
    loaded = load(setup)
    with measured() as cost:
        network = pipeline.quantize(loaded.network, loaded.train, recipe, test=loaded.tests[0],
                                    normalization=loaded.normalization)
    return network, asdict(cost)


def _float_row(setup: Setup) -> dict[str, Any]:
    loaded = load(setup)
    size = 4.0 * sum(node.weight_count for node in loaded.network.topology.convs)
    measurements = [
        _accuracy(Accuracy(ranks(logits, test.labels)))
        for test, logits in zip(loaded.tests, _float_logits(setup), strict=True)]
    return {"conv_bytes": size, "accuracy": measurements}


def _row(setup: Setup, recipe: Recipe, *, affine: bool) -> dict[str, Any]:
    loaded = load(setup)
    network, cost = _quantize(setup, recipe)
    if affine:
        fake = FakeQuantized(network, fold(loaded.network), affine_rounding=recipe.rounding)
        measurements = _measure(setup, _real(fake, loaded.normalization), 1.0)
    else:
        golden = GoldenNetwork(network)
        measurements = _measure(setup, lambda pixels: torch.from_numpy(golden.logits(pixels)),
                                network.logit_scale)
    counts = {name: np.zeros(len(fmt.values), int) for name, fmt in formats.FORMATS.items()}
    for node in network.topology.convs:
        layer = network.layers[node.name]
        assert layer.format is not None
        index = np.searchsorted(formats.get(layer.format).values, layer.weights.reshape(-1))
        counts[layer.format] += np.bincount(index, minlength=len(counts[layer.format]))
    return {"conv_bytes": network.conv_bytes, "full_bytes": network.full_bytes,
            "formats": network.formats, "accuracy": measurements, "cost": cost,
            "weights": {name: count.tolist() for name, count in counts.items() if count.any()}}


def _search(setup: Setup, recipe: Recipe) -> dict[str, Any]:
    network, cost = _quantize(setup, recipe)
    return {**network.about["search"], "formats": network.formats, "cost": cost}


def _ranges(setup: Setup, recipe: Recipe) -> list[dict[str, Any]]:
    """Of the output of every layer but the last: what the float network gave on the calibration
    images, and what the quantized one represents."""
    loaded = load(setup)
    mean, std = loaded.normalization.mean, loaded.normalization.std
    calibrating, _ = pipeline.split(loaded.train, recipe)
    histograms = observe(loaded.network, lambda: (
        normalized(pixels, mean, std) for pixels, _ in calibrating.batches(BATCH)))
    chosen = calibrate(loaded.network.topology, histograms, method=recipe.calibration,
                       percentile=recipe.percentile)
    return [{"layer": name, "low": histogram.low, "high": histogram.high,
             "quantiles": [histogram.quantile(share) for share in QUANTILES],
             "represented": [chosen[name].scale * (q - chosen[name].zero_point)
                             for q in (-128, 127)]}
            for name, histogram in histograms.items()]


@torch.no_grad()
def work(setup: Setup, task: Task) -> Any:
    """Does ``task``.

    Returns
    -------
    JSON value
        Of a network: ``conv_bytes``, ``full_bytes``, ``formats``, ``accuracy`` (of each test set
        the ``rank`` of every label, ``divergence`` and ``agreement`` with the float network),
        ``cost`` of making it, and ``weights``: how often each value of each format was chosen for
        a convolution. Of a search: what the artefact notes, ``formats`` and ``cost``. Of ranges:
        ``low``, ``high``, ``quantiles`` and what is ``represented``, by layer.

    Raises
    ------
    :exc:`ValueError`
        As what it calls.
    """
    if task.kind == "float":
        return _float_row(setup)
    assert task.recipe is not None
    if task.kind == "search":
        return _search(setup, task.recipe)
    if task.kind == "ranges":
        return _ranges(setup, task.recipe)
    return _row(setup, task.recipe, affine=task.kind == "affine")
