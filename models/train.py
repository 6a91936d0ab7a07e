"""Training of float networks on small data sets, on a CPU, the same each time."""

import contextlib
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from models import data, resnet
from models.data import Images
from models.evaluate import Accuracy, evaluate, normalized
from models.floatnet import FloatNetwork

__all__ = ["Epoch", "accuracy", "fit", "train"]


@dataclass(frozen=True)
class Epoch:
    """What one pass over the training images did.

    Parameters
    ----------
    epoch : :class:`int`
        Its number, from 1.
    loss : :class:`float`
        Mean cross entropy of the training images while they were learnt from, in nats.
    test : :class:`Accuracy`
        On the held-out images, afterwards.
    """

    epoch: int
    loss: float
    test: Accuracy


@contextlib.contextmanager
def _reproducible(seed: int) -> Iterator[None]:
    """Seeds PyTorch for the block, and has it sum in an order that depends on neither the number of
    cores nor chance; PyTorch's settings and random state are as before afterwards."""
    threads = torch.get_num_threads()
    deterministic = torch.are_deterministic_algorithms_enabled()
    with torch.random.fork_rng(devices=[]):
        try:
            torch.manual_seed(seed)
            torch.set_num_threads(1)
            torch.use_deterministic_algorithms(True)
            yield
        finally:
            torch.use_deterministic_algorithms(deterministic)
            torch.set_num_threads(threads)


def _shifted(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Each image moved by −1, 0 or 1 pixel in both directions, zeros (black) moving in."""
    height, width = pixels.shape[2:]
    padded = np.pad(pixels, ((0, 0), (0, 0), (1, 1), (1, 1)))
    rows, columns = rng.integers(0, 3, (2, len(pixels), 1, 1))
    index = np.arange(len(pixels))[:, None, None]
    moved = padded[index, :, rows + np.arange(height)[:, None], columns + np.arange(width)]
    return moved.transpose(0, 3, 1, 2)


def accuracy(network: FloatNetwork, images: Images) -> Accuracy:
    """Accuracy of a float network on ``images``, in evaluation mode."""
    network.eval()
    mean, std = images.normalization.mean, images.normalization.std
    return evaluate(lambda pixels: network(normalized(pixels, mean, std)),
                    images.pixels[:], images.labels)


def fit(network: FloatNetwork, images: Images, test: Images, *, epochs: int, seed: int,
        batch: int = 64, learning_rate: float = 0.1, momentum: float = 0.9,
        weight_decay: float = 5e-4, progress: Callable[[Epoch], None] = lambda epoch: None
        ) -> list[Epoch]:
    """Trains ``network`` in place: stochastic gradient descent with Nesterov's momentum, the
    learning rate falling to zero along a half cosine (Loshchilov and Hutter, *SGDR*, eq. 5), the
    images shifted by up to a pixel.

    Nothing is chosen by the test images: they are only reported.

    Parameters
    ----------
    epochs, batch : :class:`int`
        Passes over the images, and images a step.
    seed : :class:`int`
        Of the order and the shifts of the images.
    progress : callable
        Told each epoch when it is done.

    Raises
    ------
    :exc:`ValueError`
        If a parameter is out of range, or the loss is not finite any more.
    """
    for name, value in (("epochs", epochs), ("batch", batch)):
        if value < 1:
            raise ValueError(f"{name} must be at least 1, not {value}")
    if not learning_rate > 0:
        raise ValueError(f"learning rate must be positive, not {learning_rate}")
    rng = np.random.default_rng(seed)
    pixels, mean, std = images.pixels[:], images.normalization.mean, images.normalization.std
    optimizer = torch.optim.SGD(network.parameters(), learning_rate, momentum,
                                weight_decay=weight_decay, nesterov=True)
    steps = -(-len(images) // batch)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs * steps)
    history = []
    for epoch in range(1, epochs + 1):
        network.train()
        total, order = 0.0, rng.permutation(len(images))
        for start in range(0, len(images), batch):
            part = order[start:start + batch]
            x = normalized(_shifted(pixels[part], rng), mean, std)
            loss = F.cross_entropy(network(x), torch.from_numpy(images.labels[part]))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.item() * len(part)
        if not math.isfinite(total):
            raise ValueError(f"training diverged in epoch {epoch}: lower the learning rate, "
                             f"now {learning_rate}")
        history.append(Epoch(epoch, total / len(images), accuracy(network, test)))
        progress(history[-1])
    return history


def train(*, model: str = "resnet8", dataset: str | Path = data.DIGITS, epochs: int = 40,
          seed: int = 0, batch: int = 64, learning_rate: float = 0.1, limit: int | None = None,
          progress: Callable[[Epoch], None] = lambda epoch: None
          ) -> tuple[FloatNetwork, list[Epoch]]:
    """Builds ``model`` for a data set and trains it with :func:`fit`; the test split is held out.

    The same parameters give the same network on the same kind of processor.

    Parameters
    ----------
    model : :class:`str`
        One of :data:`resnet.MODELS`.
    dataset : :class:`str` or path
        As :func:`data.load` takes it; the whole set is kept in memory.
    seed : :class:`int`
        Of the initial weights, and of the order and the shifts of the images; at least 0.
    limit : :class:`int` or None
        Takes the first training images only.

    Returns
    -------
    tuple
        The network, in evaluation mode, and what each epoch did.

    Raises
    ------
    :exc:`ValueError`
        If a parameter is out of range, or training diverges.
    """
    if not 0 <= seed < 2 ** 63:
        raise ValueError(f"seed must be 0 to 2^63 - 1, not {seed}")
    images, test = data.load(dataset, "train", limit=limit), data.load(dataset, "test")
    topology = resnet.build(model, classes=images.classes, input_shape=images.shape)
    with _reproducible(seed):
        network = FloatNetwork(topology)
        history = fit(network, images, test, epochs=epochs, seed=seed, batch=batch,
                      learning_rate=learning_rate, progress=progress)
    return network, history
