"""Labelled images: the bundled digits, or a folder of CIFAR-10, MNIST or pictures."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from models import cifar, idx, pictures
from models.pictures import Pictures

__all__ = ["DIGITS", "NORMALIZATIONS", "Images", "Normalization", "load"]

DIGITS = "digits"
DIGITS_TEST = 360


@dataclass(frozen=True)
class Normalization:
    """What a network's input is: (pixel / 255 − mean) / std, for each channel."""

    mean: tuple[float, ...]
    std: tuple[float, ...]


NORMALIZATIONS = {
    DIGITS: Normalization((0.3054,), (0.3760,)),
    "mnist": Normalization((0.1307,), (0.3081,)),
    "cifar10": Normalization((0.491, 0.482, 0.447), (0.247, 0.243, 0.262)),
    "imagenet": Normalization((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
}


@dataclass(frozen=True)
class Images:
    """Images of one data set and split.

    Parameters
    ----------
    name : :class:`str`
        The data set, a key of :data:`NORMALIZATIONS`.
    pixels : array or :class:`Pictures`
        Uint8 [N, C, H, W], or what has that ``shape`` and reads the pixels when it is sliced.
    labels : array
        Classes, int64 [N].
    classes : :class:`int`
        Number of classes.

    Raises
    ------
    :exc:`ValueError`
        If there is no image, the counts differ, or a label is out of range.
    """

    name: str
    pixels: np.ndarray | Pictures
    labels: np.ndarray
    classes: int

    def __post_init__(self) -> None:
        if len(self.pixels) != len(self.labels):
            raise ValueError(f"{self.name}: expected one label for each of {len(self.pixels)} "
                             f"images, found {len(self.labels)}")
        if len(self.labels) == 0:
            raise ValueError(f"{self.name}: expected at least one image, found none")
        wrong = np.flatnonzero((self.labels < 0) | (self.labels >= self.classes))
        if wrong.size:
            raise ValueError(f"{self.name}: image {wrong[0]} has label {self.labels[wrong[0]]}, "
                             f"expected 0 to {self.classes - 1}")

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width of an image."""
        return tuple(self.pixels.shape[1:])

    @property
    def normalization(self) -> Normalization:
        """The usual normalization of the data set."""
        return NORMALIZATIONS[self.name]

    def take(self, start: int | None = None, stop: int | None = None) -> "Images":
        """Images ``start`` to ``stop`` − 1, as a slice counts (−500 takes the last 500)."""
        pixels = (self.pixels.part(start, stop) if isinstance(self.pixels, Pictures)
                  else self.pixels[start:stop])
        return replace(self, pixels=pixels, labels=self.labels[start:stop])

    def batches(self, size: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Pixels, uint8 [n, C, H, W], and labels, int64 [n], of ``size`` images at a time."""
        for start in range(0, len(self), size):
            part = slice(start, start + size)
            yield self.pixels[part], self.labels[part]


def _digits(split: str) -> tuple[np.ndarray, np.ndarray]:
    """scikit-learn's 8×8 digits, each class split in the same proportion: 1,437 images to train,
    360 to test. Grey levels 0 … 16 become pixels 0 … 255."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split
    digits = load_digits()
    pixels = np.rint(digits.images[:, None] * (255 / 16)).astype(np.uint8)
    train, test = train_test_split(np.arange(len(pixels)), test_size=DIGITS_TEST,
                                   random_state=0, stratify=digits.target)
    part = train if split == "train" else test
    return pixels[part], digits.target[part].astype(np.int64)


def load(source: str | Path, split: str, *, limit: int | None = None,
         image_size: int | None = None) -> Images:
    """Images of a split of a data set.

    Parameters
    ----------
    source : :class:`str` or path
        ``digits`` for scikit-learn's digits, or a folder, known by what it holds: CIFAR-10
        (:mod:`models.cifar`), MNIST (:mod:`models.idx`) or folders of pictures
        (:mod:`models.pictures`), whole or any part of the set.
    split : :class:`str`
        ``train`` or ``test``.
    limit : :class:`int` or None
        Takes the first images only.
    image_size : :class:`int` or None
        Height and width that pictures are scaled and cropped to; 224 by default. Other sets have
        a size of their own.

    Raises
    ------
    :exc:`ValueError`
        If a parameter is out of range, the folder is missing, empty or of no known layout, or a
        file is damaged.
    """
    if split not in ("train", "test"):
        raise ValueError(f"split must be train or test, not {split!r}")
    for name, value in (("limit", limit), ("image size", image_size)):
        if value is not None and value < 1:
            raise ValueError(f"{name} must be at least 1, not {value}")
    images = _load(source, split, image_size)
    if image_size not in (None, images.shape[1]):
        raise ValueError(f"{images.name}: images are {images.shape[1]} pixels wide, "
                         f"not {image_size}")
    return images.take(0, limit)


def _load(source: str | Path, split: str, image_size: int | None) -> Images:
    if source == DIGITS:
        return Images(DIGITS, *_digits(split), 10)
    folder = Path(source)
    if not folder.is_dir():
        raise ValueError(f"{source}: expected 'digits' or a folder of images, found "
                         f"{'a file' if folder.exists() else 'nothing'}")
    if cifar.found(folder):
        return Images("cifar10", *cifar.read(folder, split), 10)
    if idx.found(folder):
        return Images("mnist", *idx.read(folder, split), 10)
    if pictures.found(folder):
        return Images("imagenet", *pictures.find(folder, split, image_size))
    raise ValueError(f"{folder}: expected CIFAR-10 (data_batch_1[.bin], test_batch[.bin]), MNIST "
                     f"(train-images-idx3-ubyte[.gz], t10k-…) or pictures (train/CLASS/*.jpg, "
                     f"val/CLASS/*.jpg), found "
                     f"{'none of these' if any(folder.iterdir()) else 'an empty folder'}")
