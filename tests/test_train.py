import re
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import models
from models import checkpoints, data, resnet, train

CHECKPOINT = Path(models.__file__).parent / "resnet8_digits.safetensors"
SHORT = {"epochs": 2, "limit": 128, "seed": 3}


@pytest.fixture(scope="module")
def digits():
    return data.load("digits", "test")


@pytest.fixture(scope="module")
def shipped():
    return checkpoints.load(CHECKPOINT, resnet.build("resnet8"))


def tensors(network):
    return torch.cat([value.double().flatten() for value in network.state_dict().values()])


# The shipped network.

def test_shipped_accuracy(shipped, digits):
    result = train.accuracy(shipped, digits)
    assert result.images == 360
    assert result.percent[0] >= 98


def test_shipped_size():
    assert CHECKPOINT.stat().st_size < 400_000


def test_shipped_statistics(shipped):
    """No channel is dead, and none is so wide that an int8 scale would be wasted on it."""
    for norm in shipped.norms.values():
        assert norm.running_var.min() > 1e-3 and norm.running_var.max() < 100
        assert norm.running_mean.abs().max() < 10
        assert norm.weight.abs().min() > 1e-2


# Training.

def test_training_is_reproducible():
    torch.manual_seed(99)
    network, history = train.train(**SHORT)
    torch.manual_seed(7)
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1 if threads > 1 else 2)
        again, history_again = train.train(**SHORT)
    finally:
        torch.set_num_threads(threads)
    assert history == history_again
    assert torch.equal(tensors(network), tensors(again))
    assert not network.training


def test_seed_matters():
    network, _ = train.train(**SHORT)
    other, _ = train.train(**{**SHORT, "seed": 4})
    assert not torch.equal(tensors(network), tensors(other))


def test_training_learns(digits):
    """A few passes over a part of the images halve the loss and beat guessing by far."""
    epochs = []
    network, history = train.train(epochs=4, limit=512, progress=epochs.append)
    assert epochs == history
    assert [epoch.epoch for epoch in history] == [1, 2, 3, 4]
    assert history[-1].loss < history[0].loss / 2
    assert history[-1].test == train.accuracy(network, digits)
    assert history[-1].test.percent[0] > 60


def test_settings_are_restored():
    before = (torch.get_num_threads(), torch.are_deterministic_algorithms_enabled(),
              torch.get_rng_state())

    def interrupt(epoch):
        assert torch.get_num_threads() == 1
        assert torch.are_deterministic_algorithms_enabled()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train.train(**SHORT, progress=interrupt)
    assert (torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()) == before[:2]
    assert torch.equal(torch.get_rng_state(), before[2])


def test_other_models_and_data(tmp_path):
    pixels = np.random.default_rng(1).integers(0, 256, (6, 3072), np.uint8)
    for name in ("data_batch_1.bin", "test_batch.bin"):
        (tmp_path / name).write_bytes(
            np.hstack([np.arange(6, dtype=np.uint8)[:, None], pixels]).tobytes())
    network, history = train.train(model="resnet20", dataset=tmp_path, epochs=1, batch=4)
    assert network.topology.input_shape == (3, 32, 32)
    assert history[0].test.images == 6


@given(st.integers(1, 5), st.integers(1, 3), st.integers(2, 9), st.integers(2, 9), st.integers(0))
@settings(deadline=None)
def test_shifts(count, channels, height, width, seed):
    """Each image is moved as a whole, by a pixel at most, and black moves in."""
    rng = np.random.default_rng(seed)
    pixels = rng.integers(1, 256, (count, channels, height, width), np.uint8)
    padded = np.pad(pixels, ((0, 0), (0, 0), (1, 1), (1, 1)))
    moved = train._shifted(pixels, rng)
    for image, frame in zip(moved, padded, strict=True):
        assert any(np.array_equal(image, frame[:, y:y + height, x:x + width])
                   for y in range(3) for x in range(3))


def test_all_shifts_occur():
    image = np.zeros((1, 1, 3, 3), np.uint8)
    image[..., 1, 1] = 1
    moved = train._shifted(np.repeat(image, 500, 0), np.random.default_rng(0))
    assert (moved.sum((0, 1)) > 30).all()


@pytest.mark.parametrize(("arguments", "message"), [
    ({"epochs": 0}, "epochs must be at least 1, not 0"),
    ({"batch": 0}, "batch must be at least 1, not 0"),
    ({"learning_rate": 0.0}, "learning rate must be positive, not 0.0"),
    ({"learning_rate": float("nan")}, "learning rate must be positive, not nan"),
    ({"seed": -1}, "seed must be 0 to 2^63 - 1, not -1"),
    ({"limit": 0}, "limit must be at least 1, not 0"),
    ({"learning_rate": 1e30}, "training diverged in epoch 1: lower the learning rate, now 1e+30"),
])
def test_wrong_parameters(arguments, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        train.train(**{**SHORT, **arguments})


def test_unknown_model():
    with pytest.raises(ValueError, match=r"^model must be one of .*, not 'resnet9'$"):
        train.train(model="resnet9")
