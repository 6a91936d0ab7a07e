"""Accuracy of networks on images, and how two networks differ on the same ones."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
import torch.nn.functional as F

__all__ = ["Accuracy", "Pixels", "agreement", "divergence", "evaluate", "normalized", "ranks"]


class Pixels(Protocol):
    """Images, uint8 [N, C, H, W], or what reads them when it is sliced."""

    def __getitem__(self, part: slice, /) -> np.ndarray: ...


@dataclass(frozen=True, eq=False)
class Accuracy:
    """How well a network classified some images.

    Parameters
    ----------
    rank : array
        For each image how many classes came before its label, int64 [N].
    divergence, agreement : :class:`float` or None
        Against another network: mean divergence of its class probabilities, in nats, and share of
        the images on which both have the same first class, in per cent.
    """

    rank: np.ndarray
    divergence: float | None = None
    agreement: float | None = None

    def __eq__(self, other: object) -> bool:
        return (isinstance(other, Accuracy) and np.array_equal(self.rank, other.rank)
                and (self.divergence, self.agreement) == (other.divergence, other.agreement))

    @property
    def images(self) -> int:
        """Number of images."""
        return len(self.rank)

    @property
    def top1(self) -> int:
        """Images whose label came first."""
        return int((self.rank == 0).sum())

    @property
    def top5(self) -> int:
        """Images whose label was among the first five."""
        return int((self.rank < 5).sum())

    @property
    def percent(self) -> tuple[float, float]:
        """Top-1 and top-5 accuracy in per cent."""
        return 100 * self.top1 / self.images, 100 * self.top5 / self.images

    def paired(self, other: "Accuracy") -> tuple[float, float]:
        """Top-1 accuracy less that of ``other`` on the same images, in points, and its standard
        error from the images on which only one of the two is right (McNemar, *Psychometrika* 12,
        1947)."""
        delta = (self.rank == 0).astype(float) - (other.rank == 0)
        return 100 * float(delta.mean()), 100 * float(delta.std() / np.sqrt(len(delta)))


def normalized(pixels: np.ndarray, mean: tuple[float, ...], std: tuple[float, ...]
               ) -> torch.Tensor:
    """(pixel / 255 − mean) / std for each channel: uint8 [N, C, H, W] to float32."""
    x = torch.from_numpy(np.ascontiguousarray(pixels)).float().div_(255)
    return (x - torch.tensor(mean)[:, None, None]) / torch.tensor(std)[:, None, None]


def ranks(scores: torch.Tensor, labels: np.ndarray) -> np.ndarray:
    """Classes before the label of each image, int64 [N], for scores [N, classes].

    Equal scores are ranked by class, the lower first, as a hardware argmax does.
    """
    label = torch.from_numpy(labels).long()[:, None]
    own = scores.gather(1, label)
    before = (scores > own) | ((scores == own)
                               & (torch.arange(scores.shape[1])[None, :] < label))
    return before.sum(1).numpy()


def divergence(reference: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
    """Kullback–Leibler divergence of softmax(``scores``) from softmax(``reference``) for each
    image, in nats; real logits, [N, classes]."""
    p, q = F.log_softmax(reference.double(), 1), F.log_softmax(scores.double(), 1)
    return (p.exp() * (p - q)).sum(1)


def agreement(reference: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
    """Whether both have the same first class, bool [N]."""
    return reference.argmax(1) == scores.argmax(1)


@torch.inference_mode()
def evaluate(logits: Callable[[np.ndarray], torch.Tensor], pixels: Pixels, labels: np.ndarray,
             *, batch: int = 50, reference: torch.Tensor | None = None, scale: float = 1.0,
             progress: Callable[[int], None] = lambda images: None) -> Accuracy:
    """Accuracy of the network that ``logits`` computes, [N, classes] from uint8 [N, C, H, W].

    Parameters
    ----------
    pixels : array
        Or whatever gives arrays when it is sliced.
    labels : array
        Integers, shape [N].
    reference : Tensor or None
        Real logits of the network to compare with, [N, classes].
    scale : :class:`float`
        Real value of a unit of ``logits``, for that comparison.
    progress : callable
        Told the number of images after each batch.
    """
    found, apart, same = [], 0.0, 0
    for start in range(0, len(labels), batch):
        part = slice(start, start + batch)
        scores = logits(pixels[part])
        found.append(ranks(scores, labels[part]))
        if reference is not None:
            apart += float(divergence(reference[part], scores * scale).sum())
            same += int(agreement(reference[part], scores).sum())
        progress(len(scores))
    rank = np.concatenate(found)
    if reference is None:
        return Accuracy(rank)
    return Accuracy(rank, apart / len(rank), 100 * same / len(rank))
