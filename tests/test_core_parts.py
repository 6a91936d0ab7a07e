import pytest

from benchmarks.core_parts import parts
from gen import synth

TEXT = """
module requantizer(input clk, input [7:0] a, b, output reg [7:0] o);
  always @(posedge clk) o <= a ^ b;
endmodule
module writer(input clk, input [7:0] a, b, output [7:0] o, output reg p);
  requantizer u(.clk(clk), .a(a), .b(b), .o(o));
  always @(posedge clk) p <= a[0] & b[0];
endmodule
module slice(input clk, input a, output reg o);
  always @(posedge clk) o <= a;
endmodule
module array_2x2(input clk, input [1:0] a, output [1:0] o);
  slice s0(.clk(clk), .a(a[0]), .o(o[0]));
  slice s1(.clk(clk), .a(a[1]), .o(o[1]));
endmodule
module top(input clk, input [7:0] a, b, output [7:0] o, output p, output [3:0] q, output r);
  writer w(.clk(clk), .a(a), .b(b), .o(o), .p(p));
  array_2x2 x0(.clk(clk), .a(a[1:0]), .o(q[1:0]));
  array_2x2 x1(.clk(clk), .a(b[1:0]), .o(q[3:2]));
  assign r = a[3] & b[4] & a[5];
endmodule
"""


def test_parts():
    """By hand, through modules in modules."""
    found = parts(synth.netlist(TEXT, "top", flatten=False), "top")
    assert {part: (taken["lut"], taken["ff"]) for part, taken in found.items()} == {
        "arrays": (0, 4), "requantizers": (8, 8), "writer": (1, 1), "weights": (0, 0),
        "sequencer": (0, 0), "rest": (1, 0)}


def test_other_top():
    with pytest.raises(ValueError, match="^netlist must have a module core, found top$"):
        parts("module top(a);\nendmodule\n", "core")
