"""Accuracy of networks on images."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch

__all__ = ["Accuracy", "Pixels", "evaluate", "normalized"]


class Pixels(Protocol):
    """Images, uint8 [N, C, H, W], or what reads them when it is sliced."""

    def __getitem__(self, part: slice, /) -> np.ndarray: ...


@dataclass(frozen=True)
class Accuracy:
    """How many of ``images`` images have their label among the first or first five classes."""

    images: int
    top1: int
    top5: int

    @property
    def percent(self) -> tuple[float, float]:
        """Top-1 and top-5 accuracy in per cent."""
        return 100 * self.top1 / self.images, 100 * self.top5 / self.images


def normalized(pixels: np.ndarray, mean: tuple[float, ...], std: tuple[float, ...]
               ) -> torch.Tensor:
    """(pixel / 255 − mean) / std for each channel: uint8 [N, C, H, W] to float32."""
    x = torch.from_numpy(np.ascontiguousarray(pixels)).float().div_(255)
    return (x - torch.tensor(mean)[:, None, None]) / torch.tensor(std)[:, None, None]


@torch.inference_mode()
def evaluate(logits: Callable[[np.ndarray], torch.Tensor], pixels: Pixels, labels: np.ndarray,
             *, batch: int = 50, progress: Callable[[int], None] = lambda images: None) -> Accuracy:
    """Accuracy of the network that ``logits`` computes, [N, classes] from uint8 [N, C, H, W].

    Equal logits are ranked by class, the lower first, as a hardware argmax does. With fewer than
    five classes, top-5 counts every image.

    Parameters
    ----------
    pixels : array
        Or whatever gives arrays when it is sliced.
    labels : array
        Integers, shape [N].
    progress : callable
        Told the number of images after each batch.
    """
    top1 = top5 = 0
    for start in range(0, len(labels), batch):
        scores = logits(pixels[start:start + batch])
        label = torch.from_numpy(labels[start:start + batch]).long()[:, None]
        own = scores.gather(1, label)
        before = (scores > own) | ((scores == own)
                                   & (torch.arange(scores.shape[1])[None, :] < label))
        rank = before.sum(1)
        top1 += int((rank == 0).sum())
        top5 += int((rank < 5).sum())
        progress(len(scores))
    return Accuracy(len(labels), top1, top5)
