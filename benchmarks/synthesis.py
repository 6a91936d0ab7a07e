"""Synthesized arrays, as jobs: what is stored of them counts as long as the Verilog, the device and
the tools are the same, whatever else was edited."""

import hashlib
import importlib.metadata
import json
import tempfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from types import ModuleType
from typing import Any

import gen
import models
import rtl
from gen import arcs, devices, synth, timing, timing_graph
from gen.export import export_array, tool_versions, write_array
from gen.parameters import ArrayParameters
from jobs import Executor

__all__ = ["condensed", "digest", "label", "synthesize_all"]

Progress = Callable[[str, float], None]


def label(parameters: ArrayParameters) -> str:
    """What people call an array."""
    return (f"{parameters.scheme} {parameters.structure}{' with DSPs' * parameters.dsp}, "
            f"{parameters.slices}x{parameters.lanes}")


def digest(modules: Iterable[ModuleType], versions: dict[str, str]) -> str:
    """SHA-256 of source code, of packages all that is in their folder, and of versions."""
    paths: list[Path] = []
    for module in modules:
        path = Path(str(module.__file__))
        paths += sorted(path.parent.glob("*.py")) if path.name == "__init__.py" else [path]
    content = b"".join(path.read_bytes() for path in paths)
    return hashlib.sha256(content + json.dumps(versions).encode()).hexdigest()


def _verilog_sha256(parameters: ArrayParameters) -> str:
    return export_array(parameters)[1]["verilog_sha256"]


def condensed(result: Mapping[str, Any]) -> dict[str, Any]:
    """Of what ``gen.synth.synthesize`` gives, the figures of a row: ``device``, ``parameters``,
    ``total``, ``per_pe``, ``yosys``, ``verilog_sha256``, ``seconds``, ``peak_memory_mb``,
    ``fmax_estimate_mhz``, ``fmax_estimate_range_mhz``, and ``delay_ns`` of the slowest path from a
    ``register`` and from an ``input``, null where there is none."""
    estimate = result["timing"]
    return {
        **{key: result[key] for key in (
            "device", "parameters", "total", "per_pe", "yosys", "verilog_sha256", "seconds",
            "peak_memory_mb")},
        **{key: estimate[key] for key in ("fmax_estimate_mhz", "fmax_estimate_range_mhz")},
        "delay_ns": {kind: path and path["delay_ns"] for kind, path in estimate["paths"].items()},
    }


def _synthesize(parameters: ArrayParameters, device: str, verilog_sha256: str) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="doubleq-area-") as scratch:
        folder = Path(scratch) / "array"
        found = write_array(parameters, folder)["verilog_sha256"]
        if found != verilog_sha256:
            raise ValueError(f"Verilog must have SHA-256 {verilog_sha256}, found {found}: "
                             "does the worker have the same version?")
        return condensed(synth.synthesize(folder, device))


def synthesize_all(arrays: Iterable[ArrayParameters], device: str, executor: Executor, *,
                   store: Path, progress: Progress = lambda what, share: None
                   ) -> list[dict[str, Any]]:
    """Synthesizes arrays, flattened, for ``device``.

    Parameters
    ----------
    store : path
        Folder of the results of finished jobs.

    Returns
    -------
    list of :class:`dict`
        :func:`condensed` of each different array.

    Raises
    ------
    :exc:`ValueError`, :exc:`OSError`
        As the jobs.
    """
    devices.get(device)
    arrays = list(dict.fromkeys(arrays))

    def moved(what: str) -> Callable[[int, int], None]:
        return lambda done, total: progress(what, done / max(total, 1))

    hashes = executor.run(
        _verilog_sha256, {json.dumps(asdict(array)): (array,) for array in arrays}, store=store,
        version=digest((gen, models, rtl), tool_versions()), progress=moved("generating"))
    jobs = {f"{label(array)} on {device} [{sha256}]": (array, device, sha256)
            for array, sha256 in zip(arrays, hashes.values(), strict=True)}
    found = executor.run(
        _synthesize,
        # The largest first: a late one would run alone.
        dict(sorted(jobs.items(), key=lambda job: -job[1][0].pes)), store=store,
        version=digest((synth, timing, timing_graph, arcs, devices),
                        {"pyosys": importlib.metadata.version("pyosys")}),
        progress=moved("synthesizing"))
    return [found[key] for key in jobs]
