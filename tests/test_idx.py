import gzip
import struct

import numpy as np
import pytest

from models import data, idx

RNG = np.random.default_rng(1)


def write_idx(path, array, *, shape=None):
    shape = array.shape if shape is None else shape
    content = struct.pack(f">4B{len(shape)}I", 0, 0, 8, len(shape), *shape) + array.tobytes()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_mnist(tmp_path, suffix):
    for split, prefix, count in [("train", "train", 5), ("test", "t10k", 2)]:
        pixels = RNG.integers(0, 256, (count, 28, 28), np.uint8)
        labels = RNG.integers(0, 10, count, np.uint8)
        write_idx(tmp_path / f"{prefix}-images-idx3-ubyte{suffix}", pixels)
        write_idx(tmp_path / f"{prefix}-labels-idx1-ubyte{suffix}", labels)
        images = data.load(tmp_path, split)
        assert (images.name, images.classes, images.shape) == ("mnist", 10, (1, 28, 28))
        np.testing.assert_array_equal(images.pixels[:, 0], pixels)
        np.testing.assert_array_equal(images.labels, labels)


def idx_short(folder):
    write_idx(folder / "t10k-images-idx3-ubyte", np.zeros(783, np.uint8), shape=(2, 28, 14))


def idx_magic(folder):
    write_idx(folder / "t10k-images-idx3-ubyte", np.zeros((2, 28), np.uint8))


def idx_empty(folder):
    (folder / "t10k-images-idx3-ubyte").write_bytes(b"")


def idx_none(folder):
    write_idx(folder / "t10k-images-idx3-ubyte", np.zeros((0, 28, 28), np.uint8))


def idx_gzip(folder):
    path = folder / "t10k-images-idx3-ubyte.gz"
    write_idx(path, np.zeros((2, 28, 28), np.uint8))
    path.write_bytes(path.read_bytes()[:-9])


def idx_labels(folder):
    write_idx(folder / "t10k-images-idx3-ubyte", np.zeros((2, 28, 28), np.uint8))


def idx_count(folder):
    idx_labels(folder)
    write_idx(folder / "t10k-labels-idx1-ubyte", np.zeros(3, np.uint8))


def idx_split(folder):
    write_idx(folder / "train-images-idx3-ubyte", np.zeros((2, 28, 28), np.uint8))


@pytest.mark.parametrize(("make", "message"), [
    (idx_short, r"DIR/t10k-images-idx3-ubyte: expected 2 records of 392 bytes after the header, "
                r"found 783 bytes"),
    (idx_magic, r"DIR/t10k-images-idx3-ubyte: expected an IDX file of unsigned bytes in 3 "
                r"dimensions, found a header of 00 00 08 02"),
    (idx_empty, r"DIR/t10k-images-idx3-ubyte: .* found a header of no bytes"),
    (idx_none, r"DIR/t10k-images-idx3-ubyte: expected at least one record, found shape "
               r"\[0, 28, 28\]"),
    (idx_gzip, r"DIR/t10k-images-idx3-ubyte.gz: damaged gzip file: .*"),
    (idx_labels, r"DIR: no MNIST test images: expected t10k-labels-idx1-ubyte\[.gz\]"),
    (idx_count, r"DIR/t10k-labels-idx1-ubyte: expected 2 labels, one for each image, found 3"),
    (idx_split, r"DIR: no MNIST test images: expected t10k-images-idx3-ubyte\[.gz\]"),
])
def test_damaged(tmp_path, make, message):
    make(tmp_path)
    with pytest.raises(ValueError, match=f"^{message.replace('DIR', str(tmp_path))}$"):
        idx.read(tmp_path, "test")
