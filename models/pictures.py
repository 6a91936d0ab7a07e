"""Folders of pictures, one sub-folder a class, as ImageNet is kept; read when they are needed."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

__all__ = ["Pictures", "find", "found", "read_picture"]

SPLITS = {"train": ("train",), "test": ("test", "val")}
SUFFIXES = (".jpg", ".jpeg", ".png")
SIZE = 224
# Of the shorter side to the crop: He et al., Deep Residual Learning, section 3.4 (256 to 224).
MARGIN = 256 / 224


@dataclass(frozen=True)
class Pictures:
    """Pixels of pictures, in colour, scaled and cropped to a square.

    The shorter side is scaled to 8/7 of ``size`` (bilinear, antialiased), then the center
    is cropped.

    Parameters
    ----------
    paths : :class:`tuple` of path
        The files.
    size : :class:`int`
        Height and width, in pixels.
    """

    paths: tuple[Path, ...]
    size: int

    def __len__(self) -> int:
        return len(self.paths)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """[N, C, H, W]."""
        return len(self.paths), 3, self.size, self.size

    def part(self, start: int | None, stop: int | None) -> "Pictures":
        """Some of the pictures, still unread."""
        return Pictures(self.paths[start:stop], self.size)

    def __getitem__(self, part: slice) -> np.ndarray:
        """Pixels, uint8 [n, 3, H, W].

        Raises
        ------
        :exc:`ValueError`
            If a file is not a picture, or is damaged. The message names the file.
        """
        paths = self.paths[part]
        pixels = np.empty((len(paths), *self.shape[1:]), np.uint8)
        for i, path in enumerate(paths):
            pixels[i] = self._read(path)
        return pixels

    def _read(self, path: Path) -> np.ndarray:
        return read_picture(path, (3, self.size, self.size), margin=MARGIN)


def read_picture(path: Path, shape: tuple[int, int, int], *, margin: float = 1.0) -> np.ndarray:
    """A picture, scaled so that it covers ``margin`` times the wanted square (bilinear,
    antialiased) and cropped to its center.

    Parameters
    ----------
    shape : :class:`tuple`
        Channels (3: colour, 1: grey), height and width, which are equal.

    Returns
    -------
    array
        uint8, of that shape.

    Raises
    ------
    :exc:`ValueError`
        If the file is not a picture, or is damaged, or pictures have no such shape.
    """
    from PIL import Image
    channels, size, width = shape
    if channels not in (1, 3) or size != width:
        raise ValueError(f"{path}: a network of pictures has 1 or 3 channels and as many rows as "
                         f"columns, found {list(shape)}")
    try:
        with Image.open(path) as file:
            picture = file.convert("RGB" if channels == 3 else "L")
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise ValueError(f"{path}: not a readable picture: {error}") from None
    shorter = round(size * margin)
    width, height = (max(shorter, extent * shorter // min(picture.size))
                     for extent in picture.size)
    left, top = round((width - size) / 2), round((height - size) / 2)
    scaled = picture.resize((width, height), Image.Resampling.BILINEAR)
    crop = scaled.crop((left, top, left + size, top + size))
    return np.asarray(crop).reshape(size, size, channels).transpose(2, 0, 1)


def _folder(root: Path, split: str) -> Path | None:
    return next((root / name for name in SPLITS[split] if (root / name).is_dir()), None)


def _classes(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir() if entry.is_dir())


def found(root: Path) -> bool:
    """Whether ``root`` holds a folder of one of the splits."""
    return any(_folder(root, split) for split in SPLITS)


def find(root: Path, split: str, size: int | None = None) -> tuple[Pictures, np.ndarray, int]:
    """The pictures of a split: the first of every class, then the second, and so on, so that any
    part of them holds all classes evenly.

    Parameters
    ----------
    root : path
        Holds ``train/CLASS/*`` and ``test/CLASS/*`` or ``val/CLASS/*``: .jpg, .jpeg or .png. The
        classes are the sorted names of the folders, of ``train`` if it is there.
    split : :class:`str`
        ``train`` or ``test``.
    size : :class:`int` or None
        Height and width, in pixels; 224 by default.

    Returns
    -------
    tuple
        The pictures, their labels, int64 [N], and the number of classes.

    Raises
    ------
    :exc:`ValueError`
        If the split is not there, has no picture, or has a class that ``train`` has not.
    """
    folder = _folder(root, split)
    if folder is None:
        raise ValueError(f"{root}: no {split} pictures: expected a folder "
                         f"{' or '.join(SPLITS[split])}")
    classes = _classes(_folder(root, "train") or folder)
    ranked = []
    for name in _classes(folder):
        if name not in classes:
            raise ValueError(f"{folder / name}: a class that {root / 'train'} has not")
        paths = sorted(path for path in (folder / name).iterdir()
                       if path.suffix.lower() in SUFFIXES)
        ranked += [(i, classes.index(name), path) for i, path in enumerate(paths)]
    if not ranked:
        raise ValueError(f"{folder}: no pictures: expected CLASS/*.jpg, .jpeg or .png")
    ranked.sort(key=lambda entry: entry[:2])
    return (Pictures(tuple(path for _, _, path in ranked), size or SIZE),
            np.array([label for _, label, _ in ranked], np.int64), len(classes))
