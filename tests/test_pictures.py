import numpy as np
import pytest
from PIL import Image

from models import data
from models.pictures import Pictures


def write_picture(path, color, size=(12, 10)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, color).save(path)


@pytest.fixture
def picture_folder(tmp_path):
    for name, level, count in [("cat", 10, 3), ("ant", 20, 2), ("dog", 30, 1)]:
        for i in range(count):
            write_picture(tmp_path / "train" / name / f"{i}.png", (level, i, 255))
    write_picture(tmp_path / "val" / "dog" / "x.JPEG", (30, 0, 255))
    (tmp_path / "train" / "cat" / "notes.txt").write_text("not a picture")
    return tmp_path


def test_pictures(picture_folder):
    images = data.load(picture_folder, "train", image_size=7)
    assert (images.name, images.classes, images.shape) == ("imagenet", 3, (3, 7, 7))
    assert images.labels.tolist() == [0, 1, 2, 0, 1, 1]
    assert images.pixels[:].dtype == np.uint8
    np.testing.assert_array_equal(images.pixels[:][:, :, 3, 3],
                                  [[20, 0, 255], [10, 0, 255], [30, 0, 255],
                                   [20, 1, 255], [10, 1, 255], [10, 2, 255]])


def test_pictures_count_classes_of_the_training_split(picture_folder):
    images = data.load(picture_folder, "test", image_size=7)
    assert (images.classes, images.labels.tolist()) == (3, [2])
    (picture_folder / "val" / "emu").mkdir()
    with pytest.raises(ValueError, match=r"val/emu: a class that \S*train has not$"):
        data.load(picture_folder, "test")


def test_pictures_default_size_is_224(picture_folder):
    assert data.load(picture_folder, "test").pixels[:].shape == (1, 3, 224, 224)


@pytest.mark.parametrize("size", [(64, 48), (48, 64), (20, 90)])
def test_pictures_are_scaled_and_cropped_at_the_center(tmp_path, size):
    """A linear ramp stays one: its value is that of the place in the scaled, cropped picture."""
    ramp = np.add.outer(np.arange(size[1]), np.arange(size[0])).astype(np.uint8)
    path = tmp_path / "train" / "a" / "ramp.png"
    path.parent.mkdir(parents=True)
    Image.fromarray(ramp).save(path)
    pixels = data.load(tmp_path, "train", image_size=28).pixels[:][0, 0]
    scale = min(size) / 32
    at = (np.arange(28) - 13.5) * scale
    expected = np.add.outer((size[1] - 1) / 2 + at, (size[0] - 1) / 2 + at)
    assert np.abs(pixels[2:-2, 2:-2] - expected[2:-2, 2:-2]).max() < 2


def test_pictures_are_read_lazily(picture_folder):
    images = data.load(picture_folder, "train", image_size=4)
    (picture_folder / "train" / "ant" / "1.png").write_bytes(b"no picture")
    assert isinstance(images.take(0, 3).pixels, Pictures)
    batches = images.batches(3)
    assert next(batches)[0].shape == (3, 3, 4, 4)
    with pytest.raises(ValueError, match=r"ant/1\.png: not a readable picture: "):
        next(batches)


def test_truncated_picture(picture_folder):
    path = picture_folder / "val" / "dog" / "x.JPEG"
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(ValueError, match=r"x\.JPEG: not a readable picture: "):
        data.load(picture_folder, "test").pixels[:]


def test_take_of_pictures(picture_folder):
    images = data.load(picture_folder, "train", image_size=4)
    np.testing.assert_array_equal(images.take(-2).pixels[:], images.pixels[-2:])
    assert images.take(-2).labels.tolist() == [1, 1]


def pictures_none(folder):
    (folder / "val" / "cat").mkdir(parents=True)


def pictures_split(folder):
    write_picture(folder / "train" / "cat" / "0.png", 0)


@pytest.mark.parametrize(("make", "message"), [
    (pictures_none, r"DIR/val: no pictures: expected CLASS/\*.jpg, .jpeg or .png"),
    (pictures_split, r"DIR: no test pictures: expected a folder test or val"),
])
def test_damaged(tmp_path, make, message):
    make(tmp_path)
    with pytest.raises(ValueError, match=f"^{message.replace('DIR', str(tmp_path))}$"):
        data.load(tmp_path, "test")
