"""cocotb bench of an array: streams the vectors of a job and checks every sum and its cycle.

``DOUBLEQ_JOB`` names a folder with ``job.json`` and the arrays of each layer; ``result.json`` is
written beside them. Signals are driven and sampled at the falling edge, where every simulator has
settled them, so that one await a cycle is enough.
"""

import json
import os
import random
from collections import deque
from pathlib import Path
from typing import Any

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.triggers import FallingEdge

from models.formats import pack_dense

MAX_REPORTED = 10


def packed(values: np.ndarray, field: dict[str, Any]) -> int:
    """``values`` as they lie in a payload, at the offset of ``field``."""
    return int.from_bytes(pack_dense(values, field["width"]), "little") << field["offset"]


class Bench:
    """Drives one array; outputs fall due ``latency`` cycles after their last vector."""

    def __init__(self, dut: Any, job: dict[str, Any], folder: Path) -> None:
        self.dut, self.job, self.folder = dut, job, folder
        self.edge = FallingEdge(dut.clk)
        self.fields = job["fields"]
        self.acc = job["acc"]
        self.cycle = 0
        self.outputs = self.mismatches = 0
        self.reported: list[dict[str, Any]] = []
        self.due: deque[tuple[int, int, tuple[str, int, int]]] = deque()

    async def reset(self) -> None:
        self.dut.rst.value = 1
        self.dut.i__valid.value = 0
        self.dut.i__payload.value = 0
        Clock(self.dut.clk, 10, unit="ns").start()
        for _ in range(3):
            await self.edge
        self.dut.rst.value = 0

    async def step(self) -> None:
        """Waits for the next cycle and checks the outputs of the one that ended."""
        await self.edge
        self.cycle += 1
        valid = self.dut.o__valid.value == 1
        expected = self.due and self.due[0][0] == self.cycle
        if valid:
            self.outputs += 1
        if expected:
            _, total, where = self.due.popleft()
            if not valid:
                self.report(where, "no output in the predicted cycle", total, None)
            else:
                got = int(self.dut.o__payload.value.to_unsigned())
                if got != total:
                    self.report(where, "value", total, got)
        elif valid:
            self.report(None, "output in a cycle where none is due", None, None)

    def report(self, where: tuple[str, int, int] | None, what: str, expected: int | None,
               got: int | None) -> None:
        """Counts a mismatch and keeps the first ones, one a slice where values differ."""
        width, slices = self.acc["width"], self.acc["shape"][0]
        layer, tile, pixel = where or (None, None, None)
        entries = []
        for k in range(slices if what == "value" else 1):
            values = [None if v is None else (v >> (k * width)) & ((1 << width) - 1)
                      for v in (expected, got)]
            if what != "value" or values[0] != values[1]:
                signed = [v - (v >> (width - 1) << width) if v is not None and what == "value"
                          else None for v in values]
                entries.append({"what": what, "cycle": self.cycle, "layer": layer, "tile": tile,
                                "slice": k if what == "value" else None, "output": pixel,
                                "expected": signed[0], "got": signed[1]})
        self.mismatches += len(entries)
        self.reported += entries[:MAX_REPORTED - len(self.reported)]

    async def layer(self, index: int, entry: dict[str, Any], rng: random.Random) -> None:
        """Streams one layer."""
        with np.load(self.folder / f"{index}.npz", allow_pickle=False) as arrays:
            x, w, expected = arrays["x"], arrays["w"], arrays["expected"]
        xs = [[packed(vector, self.fields["x"]) for vector in output] for output in x]
        first, last = 1 << self.fields["first"]["offset"], 1 << self.fields["last"]["offset"]
        mode = entry["mode"] << self.fields["mode"]["offset"] if entry["mode"] is not None else 0
        steps = x.shape[1]
        payload, gaps = self.dut.i__payload, self.job["gaps"]
        for tile in range(len(w)):
            ws = [packed(w[tile, step], self.fields["w"]) | mode
                  | (first if step == 0 else 0) | (last if step == steps - 1 else 0)
                  for step in range(steps)]
            for output, vectors in enumerate(xs):
                for step in range(steps):
                    while gaps and rng.random() < gaps:
                        self.dut.i__valid.value = 0
                        payload.value = rng.getrandbits(len(payload))
                        await self.step()
                    self.dut.i__valid.value = 1
                    payload.value = vectors[step] | ws[step]
                    if step == steps - 1:
                        total = int.from_bytes(
                            pack_dense(expected[tile, output], self.acc["width"]), "little")
                        self.due.append((self.cycle + self.job["latency"], total,
                                         (entry["layer"], tile, output)))
                    await self.step()
                (self.folder / "progress").write_text(str(self.cycle))
        self.dut.i__valid.value = 0


@cocotb.test()
async def array(dut: Any) -> None:
    folder = Path(os.environ["DOUBLEQ_JOB"])
    job = json.loads((folder / "job.json").read_text())
    bench = Bench(dut, job, folder)
    await bench.reset()
    rng = random.Random(job["seed"])
    spans = []
    for index, entry in enumerate(job["layers"]):
        start = bench.cycle
        await bench.layer(index, entry, rng)
        spans.append(bench.cycle - start)
    for _ in range(job["latency"] + 2):
        await bench.step()
    (folder / "result.json").write_text(json.dumps({
        "cycles": bench.cycle, "layer_cycles": spans, "outputs": bench.outputs,
        "mismatches": bench.mismatches, "reported": bench.reported}))
    assert bench.mismatches == 0
