"""Amaranth components of the accelerator, and their export as Verilog."""
