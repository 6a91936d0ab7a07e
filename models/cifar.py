"""CIFAR-10 in its two official formats: the binary version and the Python batches."""

import io
import pickle
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["found", "read"]

PIXELS = 3 * 32 * 32
RECORD = 1 + PIXELS
SPLITS = {"train": tuple(f"data_batch_{i}" for i in range(1, 6)), "test": ("test_batch",)}

# All that pickles of NumPy arrays refer to.
ALLOWED = {("_codecs", "encode"), ("numpy", "dtype"), ("numpy", "ndarray"),
           ("numpy._core.multiarray", "_reconstruct"), ("numpy._core.numeric", "_frombuffer")}


class _ArrayUnpickler(pickle.Unpickler):
    """Reads arrays and plain containers; anything else is refused before it is called."""

    def find_class(self, module: str, name: str) -> Any:
        module = module.replace("numpy.core.", "numpy._core.")  # NumPy 1's name
        if (module, name) not in ALLOWED:
            raise pickle.UnpicklingError(f"it refers to {module}.{name}")
        return super().find_class(module, name)


def _read_binary(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Records of a label byte and three planes of 32×32 bytes: red, green, blue."""
    content = path.read_bytes()
    if not content or len(content) % RECORD:
        raise ValueError(f"{path}: expected a positive multiple of {RECORD} bytes (one image), "
                         f"found {len(content)}")
    records = np.frombuffer(content, np.uint8).reshape(-1, RECORD)
    return records[:, 1:], records[:, 0]


def _read_python(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """A pickled dictionary of ``data``, uint8 [N, 3072], and ``labels``, N integers."""
    content = path.read_bytes()
    try:
        # Python 2 wrote the official batches: its strings are bytes.
        batch = _ArrayUnpickler(io.BytesIO(content), encoding="bytes").load()
    except Exception as error:  # a damaged pickle can raise anything
        raise ValueError(f"{path}: not a CIFAR-10 Python batch: {error}") from None
    if not isinstance(batch, dict):
        raise ValueError(f"{path}: expected a dictionary, found {type(batch).__name__}")
    fields = {key.decode(errors="replace") if isinstance(key, bytes) else key: value
              for key, value in batch.items()}
    for name in ("data", "labels"):
        if name not in fields:
            raise ValueError(f"{path}: {name}: missing")
    data, labels = fields["data"], np.asarray(fields["labels"])
    if not isinstance(data, np.ndarray) or data.dtype != np.uint8 or data.ndim != 2 \
            or data.shape[1] != PIXELS or len(data) == 0:
        raise ValueError(f"{path}: data: expected uint8 of shape [N, {PIXELS}], found "
                         f"{getattr(data, 'dtype', type(data).__name__)} of shape "
                         f"{list(np.shape(data))}")
    if labels.dtype.kind not in "iu" or labels.shape != data.shape[:1]:
        raise ValueError(f"{path}: labels: expected {len(data)} integers, found "
                         f"{labels.dtype} of shape {list(labels.shape)}")
    return data, labels


def _files(folder: Path, split: str) -> list[Path]:
    """The files of a split that are there, in the binary version if it is there in any part."""
    names = [name for part in SPLITS.values() for name in part]
    suffix = ".bin" if any((folder / f"{name}.bin").is_file() for name in names) else ""
    paths = [folder / f"{name}{suffix}" for name in SPLITS[split]]
    return [path for path in paths if path.is_file()]


def found(folder: Path) -> bool:
    """Whether ``folder`` holds CIFAR-10, or a part of it."""
    return any(_files(folder, split) for split in SPLITS)


def read(folder: Path, split: str) -> tuple[np.ndarray, np.ndarray]:
    """Pixels and labels of the batches of a split that are there, each of any length.

    Parameters
    ----------
    folder : path
        Holds ``data_batch_1.bin`` … ``data_batch_5.bin`` and ``test_batch.bin``, or the pickles of
        the same names without suffix. No pickled code is run: what is not an array or a plain
        container is refused.
    split : :class:`str`
        ``train`` or ``test``.

    Returns
    -------
    tuple
        Pixels, uint8 [N, 3, 32, 32], and labels, int64 [N].

    Raises
    ------
    :exc:`ValueError`
        If no file of the split is there or one is damaged. The message names the file.
    """
    paths = _files(folder, split)
    if not paths:
        raise ValueError(f"{folder}: no CIFAR-10 {split} images: expected "
                         f"{SPLITS[split][0]}[.bin]")
    parts = [(_read_binary if path.suffix else _read_python)(path) for path in paths]
    return (np.concatenate([data for data, _ in parts]).reshape(-1, 3, 32, 32),
            np.concatenate([labels.astype(np.int64) for _, labels in parts]))
