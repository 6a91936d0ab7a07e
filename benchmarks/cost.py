"""What making something costs: time and memory."""

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Cost", "measured"]

PROCESS = Path("/proc/self")


@dataclass
class Cost:
    """Filled in when the block of :func:`measured` ends.

    Parameters
    ----------
    seconds : :class:`float`
        Wall clock.
    peak_memory_mb : :class:`float`
        Largest resident memory of the whole process meanwhile, 1 MB = 1000² bytes.
    """

    seconds: float = 0.0
    peak_memory_mb: float = 0.0


def _peak_kib() -> int:
    [line] = [line for line in (PROCESS / "status").read_text().splitlines()
              if line.startswith("VmHWM:")]
    return int(line.split()[1])


@contextlib.contextmanager
def measured() -> Iterator[Cost]:
    """Measures its block."""
    cost = Cost()
    # Sets the high-water mark back; a kernel that does not allow it gives that of the process.
    with contextlib.suppress(OSError):
        (PROCESS / "clear_refs").write_text("5")
    start = time.perf_counter()
    yield cost
    cost.seconds = round(time.perf_counter() - start, 3)
    cost.peak_memory_mb = round(_peak_kib() * 1024 / 1e6, 1)
