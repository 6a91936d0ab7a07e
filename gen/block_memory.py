"""Block memories that yosys gives a memory: in units of a RAMB36, a RAMB18 being half of one."""

import functools
import json
import tempfile
from pathlib import Path

from gen.synth import count, run_yosys

__all__ = ["rom_blocks", "written_blocks"]

# Of a RAMB18 and a RAMB36: what it is of a RAMB36, what yosys takes as its cost, bits of the
# address where words have a bit, and the widths.
_MODES = ((0.5, 129, 14, (1, 2, 4, 9, 18, 36)), (1.0, 257, 15, (1, 2, 4, 9, 18, 36, 72)))


def rom_blocks(*, width: int, depth: int) -> float:
    """Of a memory of ``depth`` words of ``width`` bits that is only read.

    What it takes of one width of block, the columns of all rows of blocks side by side.
    """
    found = []
    for share, cost, bits, widths in _MODES:
        for step, columns in enumerate(widths):
            rows = -(-depth // (1 << bits - step))
            blocks = -(-rows * width // columns)
            found.append((blocks * cost, blocks * share))
    return min(found)[1]


@functools.cache
def written_blocks(*, width: int, depth: int, parts: int = 1, family: str = "xc7") -> float:
    """Of a memory of ``depth`` words of ``width`` bits with a write port, which writes ``parts`` of
    a word separately. Asks yosys, as its choice has no simple form; takes about a second.

    Raises
    ------
    :exc:`ValueError`
        If yosys fails.
    """
    last, part = (depth - 1).bit_length() - 1, width // parts
    writes = "".join(f"if (we[{k}]) m[wa][{part * k}+:{part}] <= d[{part * k}+:{part}];\n"
                     for k in range(parts))
    text = (f"module top(input clk, input [{parts - 1}:0] we, input [{max(last, 0)}:0] ra, wa,\n"
            f"input [{width - 1}:0] d, output reg [{width - 1}:0] q);\n"
            f"(* ram_style = \"block\" *) reg [{width - 1}:0] m [0:{depth - 1}];\n"
            f"always @(posedge clk) begin q <= m[ra];\n{writes}end\nendmodule\n")
    with tempfile.TemporaryDirectory(prefix="doubleq-memory-") as scratch:
        (Path(scratch) / "top.v").write_text(text)
        run_yosys(["read_verilog top.v",
                   f"synth_xilinx -top top -family {family} -run begin:map_ffram",
                   "tee -q -o stat.json stat -json"], scratch, "a memory")
        stat = json.loads((Path(scratch) / "stat.json").read_text())
    return count(stat["design"]["num_cells_by_type"])["bram36"]
