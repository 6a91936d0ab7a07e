import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models import data
from models.data import Images


def test_digits():
    train, test = data.load("digits", "train"), data.load("digits", "test")
    assert (len(train), len(test), train.shape) == (1437, 360, (1, 8, 8))
    pixels = np.concatenate([train.pixels, test.pixels])
    levels = np.unique(pixels)
    np.testing.assert_array_equal(levels, np.rint(np.arange(17) * 255 / 16))
    from sklearn.datasets import load_digits
    original = np.rint(load_digits().images * 255 / 16).astype(np.uint8)
    assert sorted(map(bytes, pixels)) == sorted(map(bytes, original))
    share = np.bincount(test.labels) / np.bincount(train.labels)
    assert share.min() > 0.24 and share.max() < 0.26
    real = train.pixels / 255
    assert train.normalization.mean == (round(real.mean(), 4),)
    assert train.normalization.std == (round(real.std(), 4),)


def test_digits_are_the_same_every_time():
    for split, first in [("train", [3, 9, 1, 3, 1, 9]), ("test", [7, 6, 3, 7, 7, 3])]:
        assert data.load("digits", split, limit=6).labels.tolist() == first


@pytest.mark.parametrize("name", data.NORMALIZATIONS)
def test_normalization_is_per_channel(name):
    channels = 1 if name in ("digits", "mnist") else 3
    normalization = data.NORMALIZATIONS[name]
    assert len(normalization.mean) == len(normalization.std) == channels
    assert min(normalization.std) > 0


@given(st.integers(1, 20), st.one_of(st.none(), st.integers(-25, 25)),
       st.one_of(st.none(), st.integers(-25, 25)), st.integers(1, 25))
def test_take_and_batches(count, start, stop, size):
    pixels = np.arange(count, dtype=np.uint8).reshape(count, 1, 1, 1)
    images = Images("digits", pixels, np.arange(count) % 10, 10)
    expected = list(range(count))[start:stop]
    if not expected:
        with pytest.raises(ValueError, match="^digits: expected at least one image, found none$"):
            images.take(start, stop)
        return
    part = images.take(start, stop)
    batches = list(part.batches(size))
    assert [len(labels) for _, labels in batches[:-1]] == [size] * (len(batches) - 1)
    assert np.concatenate([pixels for pixels, _ in batches]).ravel().tolist() == expected
    assert np.concatenate([labels for _, labels in batches]).tolist() == [i % 10 for i in expected]


@pytest.mark.parametrize("limit", [1, 359, 360, 10 ** 6])
def test_limit(limit):
    images = data.load("digits", "test", limit=limit)
    assert len(images) == len(images.pixels) == min(limit, 360)


@pytest.mark.parametrize(("pixels", "labels", "message"), [
    (3, [1, 2], "digits: expected one label for each of 3 images, found 2"),
    (0, [], "digits: expected at least one image, found none"),
    (3, [0, 9, 10], "digits: image 2 has label 10, expected 0 to 9"),
    (2, [0, -1], "digits: image 1 has label -1, expected 0 to 9"),
])
def test_images_refuse(pixels, labels, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        Images("digits", np.zeros((pixels, 1, 8, 8), np.uint8), np.array(labels, np.int64), 10)


@pytest.mark.parametrize(("arguments", "message"), [
    ({"split": "val"}, "split must be train or test, not 'val'"),
    ({"limit": 0}, "limit must be at least 1, not 0"),
    ({"image_size": 0}, "image size must be at least 1, not 0"),
    ({"image_size": 16}, "digits: images are 8 pixels wide, not 16"),
])
def test_wrong_parameters(arguments, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        data.load("digits", **{"split": "test", **arguments})


@pytest.mark.parametrize(("names", "found"), [
    ([], "an empty folder"), (["a.txt"], "none of these")])
def test_unknown_layout(tmp_path, names, found):
    for name in names:
        (tmp_path / name).touch()
    with pytest.raises(ValueError, match=f"^{re.escape(str(tmp_path))}: expected CIFAR-10 .*, "
                                         f"MNIST .* or pictures .*, found {found}$"):
        data.load(tmp_path, "test")


def test_source_that_is_no_folder(tmp_path):
    with pytest.raises(ValueError, match=r"expected 'digits' or a folder of images, found nothing"):
        data.load(tmp_path / "none", "test")
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match=r"expected 'digits' or a folder of images, found a file"):
        data.load(tmp_path / "file", "test")
