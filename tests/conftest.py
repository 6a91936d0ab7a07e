"""Fixtures of all tests."""

import os
import subprocess
import sys
from pathlib import Path

# Its libraries fail to load after scipy.optimize's and a co-simulation; no command does all three.
import matplotlib.figure  # noqa: F401
import pytest

import jobs

ROOT = Path(__file__).resolve().parent.parent
CLUSTER = f"""
import dask
from distributed import LocalCluster
dask.config.set({{"distributed.scheduler.allowed-failures": {jobs.RETRIES}}})
with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:
    print(cluster.scheduler_address, flush=True)
    input()
"""


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """The folder of real networks and images; tests that need it are skipped without it."""
    folder = os.environ.get("DOUBLEQ_DATA")
    if not folder:
        pytest.skip("DOUBLEQ_DATA is not set: no real ResNet-20 and CIFAR-10 images")
    return Path(folder)


@pytest.fixture(scope="module")
def scheduler():
    """Address of a cluster; its own process, because starting one changes ``os.environ``."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")])}
    with subprocess.Popen([sys.executable, "-c", CLUSTER], env=environment, text=True,
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL) as process:
        yield process.stdout.readline().strip()
        process.communicate("\n")


@pytest.fixture(scope="module", params=jobs.EXECUTORS)
def any_executor(request):
    options = {"inline": {}, "processes": {"workers": 2}, "dask": {}}[request.param]
    if request.param == "dask":
        options["scheduler"] = request.getfixturevalue("scheduler")
    with jobs.executor(request.param, **options) as executor:
        executor.kind = request.param
        yield executor
