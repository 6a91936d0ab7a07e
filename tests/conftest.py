"""Fixtures of all tests."""

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """The folder of real networks and images; tests that need it are skipped without it."""
    folder = os.environ.get("DOUBLEQ_DATA")
    if not folder:
        pytest.skip("DOUBLEQ_DATA is not set: no real ResNet-20 and CIFAR-10 images")
    return Path(folder)
