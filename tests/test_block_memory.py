import json
from pathlib import Path

import pytest

from gen.block_memory import rom_blocks, written_blocks
from gen.synth import count, run_yosys


@pytest.mark.parametrize(("width", "depth", "parts", "expected"), [
    (128, 1024, 8, 4), (128, 3000, 1, 11.5), (256, 1024, 2, 7.5)])
def test_written(width, depth, parts, expected):
    """As yosys gave them in a core: 128 bits are 2 of 72, or 15 of 9 bits where they are deep."""
    assert written_blocks(width=width, depth=depth, parts=parts) == expected


ROMS = [(33, 38), (40, 600), (66, 512), (132, 600), (39, 1130), (112, 1136)]


def test_roms_are_yosys_s(tmp_path: Path):
    """Every one, with content that has no pattern."""
    modules = []
    for number, (width, depth) in enumerate(ROMS):
        words = "\n".join(
            f"m[{k}] = {width}'h{pow(k + 3, 77, 2**521 - 1) % 2**width:x};" for k in range(depth))
        modules.append(
            f"module m{number}(input clk, input [{(depth - 1).bit_length() - 1}:0] a, "
            f"output reg [{width - 1}:0] q);\n(* ram_style = \"block\" *) "
            f"reg [{width - 1}:0] m [0:{depth - 1}];\ninitial begin\n{words}\nend\n"
            f"always @(posedge clk) q <= m[a];\nendmodule\n")
    names = [f"m{number}" for number in range(len(ROMS))]
    top = "module top(input clk, input [10:0] a, output [20000:0] q);\n" + "".join(
        f"{name} u{name}(.clk(clk), .a(a), .q(q[{300 * k}+:{ROMS[k][0]}]));\n"
        for k, name in enumerate(names)) + "endmodule\n"
    (tmp_path / "top.v").write_text("".join(modules) + top)
    run_yosys(["read_verilog top.v", "synth_xilinx -top top -family xc7 -run begin:map_ffram",
               "tee -q -o stat.json stat -json"], str(tmp_path), "ROMs")
    stat = json.loads((tmp_path / "stat.json").read_text())["modules"]
    assert {rom: count(stat[f"\\{name}"]["num_cells_by_type"])["bram36"]
            for rom, name in zip(ROMS, names, strict=True)} == {
        rom: rom_blocks(width=rom[0], depth=rom[1]) for rom in ROMS}
