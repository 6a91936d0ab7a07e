"""cocotb bench of a core in its harness: waits for the logits of all images.

``DOUBLEQ_JOB`` names a folder with ``job.json``, ``pixels.bin``, and what the harness writes.
"""

import json
import os
from pathlib import Path
from typing import Any

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, Timer

PERIOD = 10  # ns
# Python looks at the core so many cycles apart. It sleeps by time, as waiting for edges would wake
# it in every cycle.
STEP = 2000


@cocotb.test()
async def core(dut: Any) -> None:
    folder = Path(os.environ["DOUBLEQ_JOB"])
    job = json.loads((folder / "job.json").read_text())
    dut.rst.value = 1
    Clock(dut.clk, PERIOD, unit="ns").start()
    await ClockCycles(dut.clk, 3)
    dut.rst.value = 0
    done = 0
    while done < job["logits"] and int(dut.cycle.value) < job["limit"]:
        await Timer(STEP * PERIOD, unit="ns")
        (folder / "progress").write_text(str(int(dut.cycle.value)))
        done = (folder / "logits.txt").read_text().count("\n")
    (folder / "result.json").write_text(json.dumps({
        "cycles": int(dut.cycle.value), "logits": done,
        "short": int(dut.short.value), "long": int(dut.long.value)}))
    assert done == job["logits"]
