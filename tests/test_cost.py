import time
from pathlib import Path

import numpy as np
import pytest

from benchmarks import cost


def test_time_and_memory_of_the_block():
    with cost.measured() as small:
        time.sleep(0.02)
    with cost.measured() as large:
        block = np.ones(30_000_000)
    del block
    assert small.seconds >= 0.02
    assert large.peak_memory_mb >= small.peak_memory_mb + 200
    assert small.peak_memory_mb > 10


def test_the_mark_cannot_be_set_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Then it is the largest memory of the process so far."""
    (tmp_path / "status").write_text("Name:\tx\nVmHWM:\t    2000 kB\nVmRSS:\t 1 kB\n")
    (tmp_path / "clear_refs").mkdir()
    monkeypatch.setattr(cost, "PROCESS", tmp_path)
    with cost.measured() as found:
        pass
    assert found.peak_memory_mb == 2.0
