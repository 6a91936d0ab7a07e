"""MNIST in its IDX files (LeCun, *The MNIST database of handwritten digits*), gzipped or not."""

import gzip
import math
import zlib
from pathlib import Path

import numpy as np

__all__ = ["found", "read"]

SPLITS = {"train": "train", "test": "t10k"}
UINT8 = 8


def _path(folder: Path, split: str, kind: str) -> Path | None:
    """The file of the ``images-idx3`` or ``labels-idx1`` of a split, if it is there."""
    name = f"{SPLITS[split]}-{kind}-ubyte"
    return next((path for path in (folder / name, folder / f"{name}.gz") if path.is_file()), None)


def _array(path: Path, rank: int) -> np.ndarray:
    """Content of an IDX file: two zero bytes, the type (8: unsigned bytes), the number of
    dimensions, each dimension as a big-endian 32-bit integer, then the data in C order."""
    content = path.read_bytes()
    if path.suffix == ".gz":
        try:
            content = gzip.decompress(content)
        except (OSError, EOFError, zlib.error) as error:
            raise ValueError(f"{path}: damaged gzip file: {error}") from None
    start = 4 + 4 * rank
    if len(content) < start or content[:4] != bytes([0, 0, UINT8, rank]):
        raise ValueError(f"{path}: expected an IDX file of unsigned bytes in {rank} dimensions, "
                         f"found a header of {content[:4].hex(' ') or 'no bytes'}")
    shape = [int(size) for size in np.frombuffer(content, ">u4", rank, 4)]
    if min(shape) == 0:
        raise ValueError(f"{path}: expected at least one record, found shape {shape}")
    record = math.prod(shape[1:])
    if len(content) - start != shape[0] * record:
        raise ValueError(f"{path}: expected {shape[0]} records of {record} bytes after the "
                         f"header, found {len(content) - start} bytes")
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)


def found(folder: Path) -> bool:
    """Whether ``folder`` holds MNIST images of any split."""
    return any(_path(folder, split, "images-idx3") for split in SPLITS)


def read(folder: Path, split: str) -> tuple[np.ndarray, np.ndarray]:
    """Pixels and labels of a split.

    Parameters
    ----------
    folder : path
        Holds ``train-images-idx3-ubyte``, ``train-labels-idx1-ubyte`` and the same of ``t10k``,
        each possibly with ``.gz``, of any number of images.
    split : :class:`str`
        ``train`` or ``test``.

    Returns
    -------
    tuple
        Pixels, uint8 [N, 1, rows, columns], and labels, int64 [N].

    Raises
    ------
    :exc:`ValueError`
        If a file is missing or damaged, or the counts differ. The message names the file.
    """
    arrays = []
    for kind, rank in (("images-idx3", 3), ("labels-idx1", 1)):
        path = _path(folder, split, kind)
        if path is None:
            raise ValueError(f"{folder}: no MNIST {split} images: expected "
                             f"{SPLITS[split]}-{kind}-ubyte[.gz]")
        arrays.append(_array(path, rank))
    pixels, labels = arrays
    if len(pixels) != len(labels):
        raise ValueError(f"{path}: expected {len(pixels)} labels, one for each image, "
                         f"found {len(labels)}")
    return pixels[:, None], labels.astype(np.int64)
