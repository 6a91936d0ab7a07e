"""Who may import whom: hardware and reference stay independent (DESIGN.md, section 2)."""

import ast
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
OWN = {path.stem for path in ROOT.glob("*.py")} | {
    "benchmarks", "commands", "gen", "models", "sim", "tests"}

# The specification, and what carries it from one side to the other.
SHARED = {"files", "rtl", "models.codes", "models.formats", "models.topology", "models.fields",
          "models.layer", "models.network"}
NUMERIC = {"numpy"}

# Folder or file: third-party packages it may import, and modules of ours; the first match counts.
RULES = [
    ("models/formats.py", NUMERIC, set()),
    ("models/codes.py", NUMERIC, SHARED),
    ("models/topology.py", NUMERIC, SHARED),
    ("models/fields.py", NUMERIC, SHARED),
    ("models/layer.py", NUMERIC, SHARED),
    ("models/network.py", NUMERIC, SHARED),
    ("models/golden.py", {"numpy", "torch"}, SHARED),
    ("models/", {"numpy", "scipy", "torch", "safetensors", "sklearn", "PIL"}, {"files", "models"}),
    ("benchmarks/published.py", set(), set()),
    ("benchmarks/synthesis.py", set(), {"gen", "jobs", "models", "rtl"}),
    ("benchmarks/core_parts.py", set(), {"gen"}),
    ("benchmarks/core_model.py", {"numpy", "scipy"}, {"benchmarks", "gen"}),
    ("benchmarks/cores.py", set(), {"benchmarks.core_parts", "benchmarks.synthesis", "gen", "jobs",
                                    "models", "rtl"}),
    ("benchmarks/network_plots.py", set(), {"svg"}),
    ("benchmarks/network.py", set(), {"benchmarks", "files", "gen", "jobs", "models"}),
    ("benchmarks/area_plots.py", set(), {"svg"}),
    ("benchmarks/area", {"numpy"}, {"benchmarks", "files", "gen", "jobs"}),
    ("benchmarks/", {"numpy", "torch"}, {"benchmarks", "files", "jobs", "models", "svg"}),
    ("gen/", {"amaranth", "amaranth_boards", "numpy", "pyosys"}, {"gen", *SHARED}),
    ("sim/", {"numpy", "torch", "cocotb", "cocotb_tools", "pylibfst"},
     {"sim", "models.golden", *SHARED}),
    ("files.py", set(), set()),
    ("rtl.py", set(), {"files"}),
    ("console.py", {"rich"}, set()),
    ("report.py", set(), {"benchmarks.area_plots", "benchmarks.network_plots", "files", "svg"}),
    ("svg.py", {"matplotlib"}, set()),
    ("jobs.py", {"distributed"}, {"files"}),
    ("inventory.py", set(), {"gen", "models", "rtl"}),
    ("demo.py", {"numpy"}, OWN - {"commands", "doubleq", "tests", "demo"}),
    ("commands/", {"typer"}, OWN - {"doubleq", "tests"}),
    ("doubleq.py", {"typer"}, OWN - {"doubleq", "tests"}),
]
SOURCES = sorted(path.relative_to(ROOT).as_posix() for path in [
    *ROOT.glob("*.py"), *(path for folder in ("benchmarks", "commands", "gen",
                                                           "models", "sim")
                         for path in (ROOT / folder).glob("*.py"))])


def imported(path):
    """Modules that a file imports anywhere in it; of ``from a import b`` both a and a.b."""
    for node in ast.walk(ast.parse((ROOT / path).read_text())):
        if isinstance(node, ast.Import):
            yield from ((alias.name,) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            assert node.module
            yield from ((f"{node.module}.{alias.name}", node.module) for alias in node.names)


def violations(path):
    _, packages, modules = next(rule for rule in RULES if path.startswith(rule[0]))
    for names in imported(path):
        root = names[0].split(".")[0]
        if root in sys.stdlib_module_names:
            continue
        if root not in OWN:
            if root not in packages:
                yield names[-1]
        elif not any(name == module or name.startswith(f"{module}.")
                     for name in names for module in modules):
            yield names[-1]


@pytest.mark.parametrize("path", SOURCES)
def test_imports(path):
    assert list(violations(path)) == []


def test_every_source_has_a_rule():
    for path in SOURCES:
        assert any(path.startswith(rule[0]) for rule in RULES), path


@pytest.mark.parametrize(("path", "line"), [
    ("gen/array.py", "import torch"),
    ("gen/array.py", "from models import golden"),
    ("gen/array.py", "from models.golden import GoldenNetwork"),
    ("sim/cosim.py", "import gen.array"),
    ("sim/cosim.py", "from amaranth import Module"),
    ("models/golden.py", "from models.quantize import fold"),
    ("models/formats.py", "import torch"),
    ("models/train.py", "from gen import array"),
    ("models/network.py", "import doubleq")])
def test_a_wrong_import_is_noticed(path, line, monkeypatch):
    read_text = Path.read_text
    monkeypatch.setattr(Path, "read_text", lambda self: f"{line}\n{read_text(self)}")
    assert list(violations(path)) != []


@pytest.mark.parametrize("path", [
    path for path in SOURCES if path.startswith(("commands/", "doubleq.py"))])
def test_cli_starts_without_the_heavy_packages(path):
    """Commands import what they need when they run: help answers at once."""
    names = {name.split(".")[0] for node in ast.parse((ROOT / path).read_text()).body
             if isinstance(node, ast.Import | ast.ImportFrom)
             for name in ([node.module] if isinstance(node, ast.ImportFrom)
                          else [alias.name for alias in node.names])}
    assert names <= {"sys", "pathlib", "typing", "typer", "commands", "console"}
