"""Test images never calibrate or select, unless the paper's protocol is asked for."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import doubleq
from models import checkpoints, data, pipeline

ROOT = Path(__file__).resolve().parent.parent
CHECKPOINT = ROOT / "models" / "resnet8_digits.safetensors"
FEW = {"calibration_images": 60, "selection_images": 60}
# Every way to use images: scheme, rounding, selection.
WAYS = [
    {"scheme": "quant8", "rounding": "nearest"},
    {"scheme": "quant8", "rounding": "calibrated"},
    {"scheme": "doubleq", "rounding": "log"},
    {"scheme": "doubleq", "rounding": "nearest"},
    {"scheme": "doubleq", "rounding": "calibrated"},
    {"scheme": "doubleqext", "rounding": "log", "selection": "greedy", "mrt": 50.0},
    {"scheme": "doubleqext", "rounding": "calibrated", "format": "pot3", "selection": "greedy",
     "mrt": 50.0},
    {"scheme": "doubleqext", "rounding": "nearest", "selection": "sensitivity", "budget_kb": 50.0},
    {"scheme": "doubleqext", "rounding": "calibrated", "format": "pot3",
     "selection": "sensitivity", "max_loss": 5.0},
]


def names(way):
    return "-".join(str(way[key]) for key in ("scheme", "rounding", "selection") if key in way)


class Forbidden:
    """Pixels or labels that may not be looked at, whatever is asked of them but their number and
    shape."""

    def __init__(self, array):
        self.shape, self._length = array.shape, len(array)

    def __len__(self):
        return self._length

    def __getitem__(self, part):
        raise AssertionError(f"test images {part} were read")

    def __array__(self, *arguments, **options):
        raise AssertionError("test images were read")


@pytest.fixture(scope="module")
def network():
    return checkpoints.load_model(CHECKPOINT, "resnet8", input_shape=(1, 8, 8))


@pytest.fixture(scope="module")
def train():
    return data.load("digits", "train")


def forbidden():
    test = data.load("digits", "test")
    sealed = object.__new__(data.Images)
    for name, value in {**vars(test), "pixels": Forbidden(test.pixels),
                        "labels": Forbidden(test.labels)}.items():
        object.__setattr__(sealed, name, value)
    return sealed


@pytest.mark.parametrize("way", WAYS, ids=names)
def test_test_images_are_not_read(network, train, way):
    result = pipeline.quantize(network, train, pipeline.Recipe(**way, **FEW), test=forbidden())
    assert result.about.get("search", {}).get("on", "training images") == "training images"


def test_the_papers_protocol_reads_them(network, train):
    recipe = pipeline.Recipe(scheme="doubleqext", rounding="log", paper_protocol=True, **FEW)
    with pytest.raises(AssertionError, match="test images .* were read"):
        pipeline.quantize(network, train, recipe, test=forbidden())
    result = pipeline.quantize(network, train, recipe, test=data.load("digits", "test"))
    assert result.about["recipe"]["paper_protocol"] is True
    assert result.about["search"]["on"] == "test images, as the paper"


def test_selection_and_calibration_share_no_image(train):
    calibrating, selecting = pipeline.split(train, pipeline.Recipe(scheme="quant8"))
    assert np.array_equal(calibrating.pixels, train.pixels[:len(calibrating)])
    assert np.array_equal(selecting.pixels, train.pixels[-len(selecting):])
    assert len(calibrating) + len(selecting) <= len(train)


@pytest.fixture
def command(tmp_path, monkeypatch):
    """The files of an artefact that ``doubleq quantize`` writes when the test images are others."""
    monkeypatch.chdir(tmp_path)
    load, calls = data.load, 0

    def run(way, *, seed, options=()):
        nonlocal calls
        calls += 1

        def changed(source, split, **limits):
            images = load(source, split, **limits)
            if split == "train":
                return images
            rng = np.random.default_rng(seed)
            return replace(images, labels=rng.permutation(images.labels), pixels=rng.integers(
                0, 256, images.pixels.shape, dtype=np.uint8))

        monkeypatch.setattr(data, "load", changed)
        line = ["quantize", str(CHECKPOINT), "-o", f"net{calls}", "--json", *options]
        for key, value in {**way, **FEW}.items():
            line += [f"--{key.replace('_', '-')}", str(value)]
        with pytest.raises(SystemExit) as stop:
            doubleq.main(line)
        assert not stop.value.code
        return {name: (tmp_path / f"net{calls}" / name).read_bytes()
                for name in ("network.json", "weights.npz")}

    return run


@pytest.mark.parametrize("way", WAYS, ids=names)
def test_other_test_images_change_nothing(command, way):
    """Not a byte of the artefact, whatever the command line does with the test images."""
    assert command(way, seed=1) == command(way, seed=2)


def test_other_test_images_change_the_papers_protocol(command):
    """The test above sees what depends on test images."""
    way = {"scheme": "doubleqext", "rounding": "log", "format": "pot3", "mrt": 50.0}
    found = [json.loads(command(way, seed=seed, options=["--paper-protocol"])["network.json"])
             for seed in (1, 2)]
    assert found[0]["about"]["search"]["trace"] != found[1]["about"]["search"]["trace"]
    assert all(one["about"]["search"]["on"] == "test images, as the paper" for one in found)
