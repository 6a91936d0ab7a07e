# amaranth: UnusedElaboratable=no
"""Fits the model of ``gen.core_estimate`` to measured syntheses."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import nnls

from benchmarks.cores import Job
from gen.core import Core
from gen.core_estimate import (
    DELAY_FEATURES,
    FEATURES,
    PARTS,
    SCHEMA,
    block_memories,
    features,
    predict,
)

__all__ = ["fit", "fitted_jobs", "off"]

# PEs and groups of the cores that a model is fitted to: few and many of both, and more channels
# than requantizers.
FITTED = ((64, 4), (256, 1), (96, 3), (256, 2), (128, 8))
KINDS = ("lut", "ff", "dsp")

Measured = Sequence[tuple[Job, Mapping[str, Any]]]


def fitted_jobs(jobs: Sequence[Job]) -> list[Job]:
    """The cores that a model is fitted to: one of each network and form of ``jobs``, of the sizes
    in turn, where there is one."""
    found = []
    for number, job in enumerate({(job.net, job.form): job for job in jobs}.values()):
        for pes, groups in (*FITTED[number % len(FITTED):], *FITTED):
            candidate = replace(job, pes=pes, groups=groups)
            try:
                candidate.load()
            except ValueError:
                continue
            found.append(candidate)
            break
    return found


def _label(job: Job) -> str:
    groups = "" if job.groups is None else f" in {job.groups} groups"
    return f"{Path(job.net).name} {job.form.structure}{' with DSPs' * job.form.dsp}, " \
           f"{job.pes} PEs{groups}"


def _factors(rows: Sequence[Sequence[float]], measured: Sequence[float],
             scale: Sequence[float]) -> list[float]:
    """None of them negative: least squares of errors relative to ``scale``."""
    weights = 1 / np.maximum(np.array(scale, float), 1)
    table = np.array(rows, float) * weights[:, None]
    sizes = np.maximum(abs(table).max(0), 1e-12)
    found, _ = nnls(table / sizes, np.array(measured, float) * weights)
    return [round(float(value), 6) for value in found / sizes]


def off(model: Mapping[str, Any], areas: Mapping[str, Any], core: Core,
        result: Mapping[str, Any]) -> dict[str, float]:
    """What is predicted of a synthesized core, less what was measured, as shares of it; of none
    where both are 0."""
    measured = {**result["total"], "delay_ns": 1000 / result["fmax_estimate_mhz"]}
    predicted = {**predict(model, areas, core), "bram36": block_memories(core)}
    return {kind: round(float(value - measured[kind]) / max(measured[kind], 1), 4)
            for kind, value in predicted.items()}


def fit(areas: Mapping[str, Any], fitted: Measured, others: Measured, *, made_by: str
        ) -> dict[str, Any]:
    """A model of cores.

    Parameters
    ----------
    areas : :class:`dict`
        The model of ``gen.estimate``.
    fitted, others
        Cores and the results of ``benchmarks.cores``: those that the model is fitted to, and those
        by which it is judged.
    made_by : :class:`str`
        The command that makes it.

    Returns
    -------
    :class:`dict`
        ``schema``, ``made_by``, ``device``, ``yosys``, ``features``, ``delay_features``, ``forms``
        of the arrays (:class:`gen.estimate.Form`); factors of
        the features of each part for ``lut``, ``ff`` and ``dsp``, and of the ``delay_ns``;
        ``fitted``, the names of the cores; ``error``, the largest share by which it is off for
        another core, and ``others``, what it is off for each.

    Raises
    ------
    :exc:`ValueError`
        If there is no other core.
    """
    if not others:
        raise ValueError("a model needs cores that it is not fitted to: all those of --pes are")
    results = [result for _, result in fitted]
    cores = [Core(*job.load()) for job, _ in fitted]
    model: dict[str, Any] = {
        "schema": SCHEMA, "made_by": made_by,
        "device": results[0]["device"], "yosys": results[0]["yosys"],
        "features": {part: list(names) for part, names in FEATURES.items()},
        "delay_features": list(DELAY_FEATURES),
        "forms": list({job.form: asdict(job.form) for job, _ in fitted}.values()),
        "fitted": [_label(job) for job, _ in fitted]}
    for kind in KINDS:
        counts = [features(core, areas, kind) for core in cores]
        model[kind] = {part: _factors([count[part] for count in counts],
                                      [result["parts"][part][kind] for result in results],
                                      [result["total"][kind] for result in results])
                       for part in PARTS}
    delays = [1000 / result["fmax_estimate_mhz"] for result in results]
    crossbar = FEATURES["rest"].index("crossbar bits")
    model["delay_ns"] = _factors(
        [(1, features(core, areas, "lut")["rest"][crossbar]) for core in cores], delays, delays)
    model["others"] = {_label(job): off(model, areas, Core(*job.load()), result)
                       for job, result in others}
    model["error"] = {kind: max(abs(share[kind]) for share in model["others"].values())
                      for kind in (*KINDS, "bram36", "delay_ns")}
    return model
