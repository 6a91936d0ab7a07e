import os
import pickle
import struct
from pathlib import Path

import numpy as np
import pytest

from models import cifar, data

RNG = np.random.default_rng(1)
SHARED = os.environ.get("DOUBLEQ_DATA")


def pixels_labels(count):
    return (RNG.integers(0, 256, (count, 3, 32, 32), np.uint8),
            RNG.integers(0, 10, count, np.uint8))


def write_binary(path, pixels, labels):
    path.write_bytes(np.hstack([labels[:, None], pixels.reshape(len(labels), -1)]).tobytes())


def write_python(path, pixels, labels, *, keys=str, protocol=4):
    path.write_bytes(pickle.dumps(
        {keys("data"): pixels.reshape(len(labels), -1), keys("labels"): labels.tolist(),
         keys("batch_label"): keys("a batch")}, protocol))


@pytest.mark.parametrize("suffix", [".bin", ""])
def test_cifar(tmp_path, suffix):
    write = write_binary if suffix else write_python
    parts = {name: pixels_labels(count) for name, count in
             [("data_batch_1", 3), ("data_batch_2", 1), ("data_batch_5", 2), ("test_batch", 4)]}
    for name, part in parts.items():
        write(tmp_path / f"{name}{suffix}", *part)
    train, test = data.load(tmp_path, "train"), data.load(str(tmp_path), "test")
    assert (train.name, train.classes, len(train), train.shape) == ("cifar10", 10, 6, (3, 32, 32))
    for images, names in [(train, list(parts)[:3]), (test, ["test_batch"])]:
        np.testing.assert_array_equal(images.pixels, np.concatenate([parts[n][0] for n in names]))
        np.testing.assert_array_equal(images.labels, np.concatenate([parts[n][1] for n in names]))
        assert images.pixels.dtype == np.uint8 and images.labels.dtype == np.int64


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("keys", [str, str.encode])
def test_cifar_python_pickles(tmp_path, protocol, keys):
    pixels, labels = pixels_labels(2)
    write_python(tmp_path / "test_batch", pixels, labels, keys=keys, protocol=protocol)
    np.testing.assert_array_equal(data.load(tmp_path, "test").pixels, pixels)


def test_cifar_python_2_pickle(tmp_path):
    """As Python 2 and NumPy 1 wrote the official batches: protocol 2, byte strings, old modules."""
    pixels = np.arange(2 * 3072).astype(np.uint8)

    def text(value):
        return b"U" + bytes([len(value)]) + value

    raw = pixels.tobytes()
    array = (b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(K\x00t" + text(b"b") + b"tR"
             + b"(K\x01(K\x02M\x00\x0ctcnumpy\ndtype\n(" + text(b"u1") + b"K\x00K\x01tR(K\x03"
             + text(b"|") + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89"
             + b"T" + struct.pack("<I", len(raw)) + raw + b"tb")
    (tmp_path / "data_batch_1").write_bytes(
        b"\x80\x02}(" + text(b"data") + array + text(b"labels") + b"](K\x09K\x03eu.")
    images = data.load(tmp_path, "train")
    np.testing.assert_array_equal(images.pixels.ravel(), pixels)
    np.testing.assert_array_equal(images.labels, [9, 3])


def cifar_size(folder):
    (folder / "test_batch.bin").write_bytes(bytes(3072))


def cifar_empty(folder):
    (folder / "test_batch.bin").write_bytes(b"")


def cifar_split(folder):
    write_binary(folder / "data_batch_1.bin", *pixels_labels(3))


def python_truncated(folder):
    write_python(folder / "test_batch", *pixels_labels(3))
    path = folder / "test_batch"
    path.write_bytes(path.read_bytes()[:5000])


def python_list(folder):
    (folder / "test_batch").write_bytes(pickle.dumps([1]))


def python_field(folder):
    (folder / "test_batch").write_bytes(pickle.dumps({"data": np.zeros((1, 3072), np.uint8)}))


def python_shape(folder):
    (folder / "test_batch").write_bytes(pickle.dumps(
        {"data": np.zeros((2, 3000), np.uint8), "labels": [1, 2]}))


def python_count(folder):
    (folder / "test_batch").write_bytes(pickle.dumps(
        {"data": np.zeros((2, 3072), np.uint8), "labels": [1]}))


@pytest.mark.parametrize(("make", "message"), [
    (cifar_size, r"DIR/test_batch.bin: expected a positive multiple of 3073 bytes \(one image\), "
                 r"found 3072"),
    (cifar_empty, r"DIR/test_batch.bin: expected a positive multiple of 3073 bytes .*found 0"),
    (cifar_split, r"DIR: no CIFAR-10 test images: expected test_batch\[.bin\]"),
    (python_truncated, r"DIR/test_batch: not a CIFAR-10 Python batch: .*"),
    (python_list, r"DIR/test_batch: expected a dictionary, found list"),
    (python_field, r"DIR/test_batch: labels: missing"),
    (python_shape, r"DIR/test_batch: data: expected uint8 of shape \[N, 3072\], found uint8 of "
                   r"shape \[2, 3000\]"),
    (python_count, r"DIR/test_batch: labels: expected 2 integers, found int64 of shape \[1\]"),
])
def test_damaged(tmp_path, make, message):
    make(tmp_path)
    with pytest.raises(ValueError, match=f"^{message.replace('DIR', str(tmp_path))}$"):
        cifar.read(tmp_path, "test")


def test_label_out_of_range(tmp_path):
    pixels, _ = pixels_labels(3)
    write_binary(tmp_path / "test_batch.bin", pixels, np.array([0, 17, 0], np.uint8))
    with pytest.raises(ValueError, match=r"^cifar10: image 1 has label 17, expected 0 to 9$"):
        data.load(tmp_path, "test")


class Evil:
    def __reduce__(self):
        return Path.touch, (Path("evil"),)


def python_evil(folder):
    (folder / "test_batch").write_bytes(pickle.dumps({"data": Evil(), "labels": []}))


def python_dotted(folder):
    """Protocol 4 reaches attributes of allowed modules through dots."""
    (folder / "test_batch").write_bytes(b"\x80\x04\x8c\x05numpy\x8c\x0fndarray.tolist_\x93.")


@pytest.mark.parametrize(("make", "message"), [
    (python_evil, r"DIR/test_batch: not a CIFAR-10 Python batch: it refers to pathlib.Path.*"),
    (python_dotted, r"DIR/test_batch: not a CIFAR-10 Python batch: it refers to numpy.ndarray.t.*"),
])
def test_code_in_a_pickle_does_not_run(tmp_path, monkeypatch, make, message):
    monkeypatch.chdir(tmp_path)
    make(tmp_path)
    with pytest.raises(ValueError, match=f"^{message.replace('DIR', str(tmp_path))}$"):
        cifar.read(tmp_path, "test")
    assert not (tmp_path / "evil").exists()


@pytest.mark.skipif(SHARED is None, reason="DOUBLEQ_DATA is not set")
@pytest.mark.parametrize(("folder", "split", "count"), [
    ("cifar10", "train", 2000), ("cifar10", "test", 500), ("cifar10_jpeg", "test", 5000)])
def test_real_cifar(folder, split, count):
    images = data.load(Path(SHARED) / folder, split)
    assert (len(images), images.shape) == (count, (3, 32, 32))
    assert np.bincount(images.labels, minlength=10).min() > 0.07 * count
    real = images.pixels / 255
    np.testing.assert_allclose(real.mean((0, 2, 3)), images.normalization.mean, atol=0.02)
    np.testing.assert_allclose(real.std((0, 2, 3)), images.normalization.std, atol=0.02)


@pytest.mark.skipif(SHARED is None, reason="DOUBLEQ_DATA is not set")
def test_real_cifar_without_the_split():
    with pytest.raises(ValueError, match=r"no CIFAR-10 train images: expected data_batch_1\[.bin"):
        data.load(Path(SHARED) / "cifar10_jpeg", "train")
